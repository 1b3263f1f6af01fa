/**
 * What the agent tells once a second over its WebSocket, and when views should fetch again: the store has changed, the range ends now,
 * nobody holds the pointer down, pauses or looks away.
 */

import { computed, effect, type ReadonlySignal, signal } from '@preact/signals';
import type { LiveMessage, SourceState, StatusResponse } from '../../../agent/server/api.ts';
import { liveIntervalMs, type Range, resolveRange } from '../lib/time-range.ts';
import { isRangeLive, rangeFrom, rangeTo } from './address.ts';

const message = signal<LiveMessage | undefined>(undefined);
const connected = signal(false);
const lostAtMs = signal(0);
const tick = signal(0);

export const status: ReadonlySignal<StatusResponse | undefined> = computed(() => message.value?.status);
export const sources: ReadonlySignal<SourceState[] | undefined> = computed(() => message.value?.sources);
export const isConnected: ReadonlySignal<boolean> = connected;
/** Since when there has been no connection, by the browser's clock; 0 while there is one. */
export const disconnectedAtMs: ReadonlySignal<number> = lostAtMs;
/** Grows when views that follow the present should fetch again. */
export const liveTick: ReadonlySignal<number> = tick;
export const isPaused = signal(false);
/** Unix milliseconds of the agent at which live data was paused; 0 while it is not. */
const pausedAtMs = signal(0);
const isPointerDown = signal(false);
const isHidden = signal(document.visibilityState === 'hidden');

/** The range as it is asked for. A pause makes it fixed: every view then tells of the same moment, whatever is opened next. */
const isFrozen = computed(() => isRangeLive.value && pausedAtMs.value > 0);
export const queryFrom: ReadonlySignal<string> = computed(() =>
  isFrozen.value ? String(Math.round(resolveRange(rangeFrom.value, rangeTo.value, pausedAtMs.value).fromMs)) : rangeFrom.value,
);
export const queryTo: ReadonlySignal<string> = computed(() =>
  isFrozen.value ? String(Math.round(pausedAtMs.value)) : rangeTo.value,
);

export const isFollowing: ReadonlySignal<boolean> = computed(() => isRangeLive.value && !isPaused.value);

/** The part of the range in which there can be data: before the oldest, and in the future, nobody looked. Rates are over this. */
export function recordedRange(): Range {
  const { fromMs, toMs } = resolveRange(queryFrom.value, queryTo.value, agentNowMs());
  const now = status.value;
  if (now === undefined) return { fromMs, toMs };
  const oldestMs = now.store.oldestMs === 0 ? now.startedMs : now.store.oldestMs;
  const end = Math.min(toMs, agentNowMs());
  return { fromMs: Math.min(Math.max(fromMs, oldestMs), end - 1000), toMs: end };
}

let seenVersion = -1;
let lastTickMs = 0;
let retryMs = 500;

/** The agent's clock where it is known: the browser's may be wrong, and ranges are the agent's. */
export function agentNowMs(): number {
  return Date.now() + clockOffsetMs;
}
let clockOffsetMs = 0;

export function startLive(): void {
  window.addEventListener('pointerdown', () => {
    isPointerDown.value = true;
  });
  for (const name of ['pointerup', 'pointercancel', 'blur']) {
    window.addEventListener(name, () => {
      isPointerDown.value = false;
    });
  }
  document.addEventListener('visibilitychange', () => {
    isHidden.value = document.visibilityState === 'hidden';
  });
  effect(() => {
    pausedAtMs.value = isPaused.value ? agentNowMs() : 0;
  });
  effect(() => {
    // After a pause the present is shown at once, not with the next message.
    if (isFollowing.value && !isPointerDown.value && !isHidden.value) advance();
  });
  connect();
}

function connect(): void {
  const scheme = window.location.protocol === 'https:' ? 'wss:' : 'ws:';
  const socket = new WebSocket(`${scheme}//${window.location.host}/api/v1/live`);
  socket.onopen = () => {
    connected.value = true;
    lostAtMs.value = 0;
    retryMs = 500;
  };
  socket.onmessage = event => {
    const next = JSON.parse(String(event.data)) as LiveMessage;
    clockOffsetMs = next.nowMs - Date.now();
    message.value = next;
    advance();
  };
  socket.onclose = () => {
    connected.value = false;
    if (lostAtMs.value === 0) lostAtMs.value = Date.now();
    // The agent may have been restarted: its versions begin again.
    seenVersion = -1;
    window.setTimeout(connect, retryMs);
    retryMs = Math.min(retryMs * 2, 8000);
  };
}

function advance(): void {
  const latest = message.peek();
  if (latest === undefined || latest.storeVersion === seenVersion) return;
  if (!isFollowing.peek() || isPointerDown.peek() || isHidden.peek()) return;
  const nowMs = Date.now();
  // A message may come a little early; a whole second of waiting for it would halve the rate.
  const waitMs = liveIntervalMs(resolveRange(rangeFrom.peek(), rangeTo.peek(), nowMs)) - 100;
  if (nowMs - lastTickMs < waitMs) return;
  seenVersion = latest.storeVersion;
  lastTickMs = nowMs;
  tick.value = tick.peek() + 1;
}

/** The one time range of all pages: as it stands in the address ("now-15m", Unix milliseconds), as numbers, and as words. */

import { formatDate, formatDuration, formatTime } from './format.ts';

export interface Range {
  fromMs: number;
  toMs: number;
}

export const defaultFrom = 'now-15m';
export const defaultTo = 'now';

export const presets: readonly { from: string; label: string }[] = [
  { from: 'now-1m', label: 'last minute' },
  { from: 'now-5m', label: 'last 5 min' },
  { from: 'now-15m', label: 'last 15 min' },
  { from: 'now-1h', label: 'last hour' },
  { from: 'now-3h', label: 'last 3 hours' },
  { from: 'now-12h', label: 'last 12 hours' },
  { from: 'now-1d', label: 'last day' },
  { from: 'now-7d', label: 'last 7 days' },
];

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Unix milliseconds of a point in time as the address has it; undefined for what is no time. */
export function parseTimePoint(text: string, nowMs: number): number | undefined {
  if (text === 'now') return nowMs;
  const relative = /^now-(\d+)([smhd])$/.exec(text);
  if (relative !== null) return nowMs - Number(relative[1]) * (unitMs[relative[2] ?? ''] ?? 0);
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** A broken or empty range in the address falls back to the default one, so that a page always has something to show. */
export function resolveRange(from: string, to: string, nowMs: number): Range {
  const fromMs = parseTimePoint(from, nowMs);
  const toMs = parseTimePoint(to, nowMs);
  if (fromMs === undefined || toMs === undefined || fromMs >= toMs) return { fromMs: nowMs - 15 * 60_000, toMs: nowMs };
  return { fromMs, toMs };
}

/** "last 15 min", or "14:03:10 – 14:05:22 (2 min 12 s)", with dates where the range is not of today. */
export function describeRange(from: string, to: string, nowMs: number): string {
  const preset = to === 'now' ? presets.find(entry => entry.from === from) : undefined;
  if (preset !== undefined) return preset.label;
  const { fromMs, toMs } = resolveRange(from, to, nowMs);
  const length = formatDuration((toMs - fromMs) * 1e6);
  if (to === 'now') return `last ${length}`;
  const digits = toMs - fromMs < 10_000 ? 1 : 0;
  const point = (ms: number) => (formatDate(ms) === formatDate(nowMs) ? '' : `${formatDate(ms)} `) + formatTime(ms, digits);
  const end = formatDate(fromMs) === formatDate(toMs) ? formatTime(toMs, digits) : point(toMs);
  return `${point(fromMs)} – ${end} (${length})`;
}

/**
 * How often live data is fetched: at most once a second, and not more than 300 times over the length of the range, for the picture of
 * a long range hardly changes in a second and asking for it costs the host that is being watched.
 */
export function liveIntervalMs(range: Range): number {
  return Math.max(1000, Math.round((range.toMs - range.fromMs) / 300));
}

/** The store tells seconds apart, so that nothing is seen in less than a few. */
const shortestMs = 5000;

/** The range made longer or shorter by a factor around its middle, in whole seconds, and not beyond the present. */
export function zoomed({ fromMs, toMs }: Range, factor: number, nowMs: number): Range {
  const lengthMs = Math.max(shortestMs, (toMs - fromMs) * factor);
  const middleMs = (fromMs + toMs) / 2;
  return before({ fromMs: middleMs - lengthMs / 2, toMs: middleMs + lengthMs / 2 }, nowMs);
}

/** The range moved by a share of its length, not beyond the present. */
export function moved({ fromMs, toMs }: Range, share: number, nowMs: number): Range {
  const byMs = (toMs - fromMs) * share;
  return before({ fromMs: fromMs + byMs, toMs: toMs + byMs }, nowMs);
}

function before({ fromMs, toMs }: Range, nowMs: number): Range {
  const overMs = Math.max(0, toMs - nowMs);
  return { fromMs: Math.floor((fromMs - overMs) / 1000) * 1000, toMs: Math.ceil((toMs - overMs) / 1000) * 1000 };
}

/** What a native datetime-local field holds. */
export function toLocalField(unixMs: number): string {
  return `${formatDate(unixMs)}T${formatTime(unixMs)}`;
}

export function fromLocalField(text: string): number | undefined {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

/** A server answer in a component: the last one stays while the next is fetched, so that nothing jumps or blinks. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { type ApiFailure, ApiFailure as Failure, getJson } from './api.ts';
import { liveTick } from './live.ts';

export interface Answer<T> {
  data: T | undefined;
  failure: ApiFailure | undefined;
  /** Another answer than the shown one has been asked for (not: the same one again, live). */
  isLoading: boolean;
  reload: () => void;
}

/** Answers that were left a moment ago are shown at once when a user comes back to them. */
const recent = new Map<string, unknown>();
const recentLimit = 24;

/** Live data is never older than this and the time that the answer takes. */
const maxRestMs = 10_000;

export interface UseApiOptions {
  /** Fetch again while the range follows the present; on by default. */
  isLive?: boolean;
}

/** undefined as url asks for nothing. */
export function useApi<T>(url: string | undefined, options: UseApiOptions = {}): Answer<T> {
  return useAnswer<T>(url, (signal, key) => getJson<T>(key, signal), options);
}

/** The same over any asynchronous work; key stands for all that the work depends on. */
export function useAnswer<T>(
  key: string | undefined,
  load: (signal: AbortSignal, key: string) => Promise<T>,
  options: UseApiOptions = {},
): Answer<T> {
  const [shown, setShown] = useState<{ key: string | undefined; data: T | undefined; failure: ApiFailure | undefined }>({
    key: undefined,
    data: undefined,
    failure: undefined,
  });
  const [reloads, setReloads] = useState(0);
  const running = useRef<{ key: string; controller: AbortController } | undefined>(undefined);
  const lastAnswer = useRef({ key: '', reloads: 0, endedMs: 0, tookMs: 0 });
  const tick = options.isLive === false ? 0 : liveTick.value;

  useEffect(() => {
    if (key === undefined) return;
    // The same question is still open: a slow server is not asked faster than it answers.
    if (running.current?.key === key) return;
    const startedMs = performance.now();
    const last = lastAnswer.current;
    // What takes the agent long is asked less often, so that looking on does not keep a core of the host busy.
    if (last.key === key && last.reloads === reloads && startedMs - last.endedMs < Math.min(maxRestMs, 3 * last.tookMs)) return;
    running.current?.controller.abort();
    const mine = { key, controller: new AbortController() };
    running.current = mine;
    const known = recent.get(key) as T | undefined;
    if (known !== undefined) setShown(before => (before.key === key ? before : { key, data: known, failure: undefined }));
    const finish = (data: T | undefined, failure: ApiFailure | undefined) => {
      if (running.current !== mine) return;
      running.current = undefined;
      const endedMs = performance.now();
      lastAnswer.current = { key, reloads, endedMs, tookMs: endedMs - startedMs };
      // A failed refresh keeps the last good answer in sight, with the failure told beside it.
      setShown(before => ({ key, data: data ?? (before.key === key ? before.data : undefined), failure }));
    };
    load(mine.controller.signal, key).then(
      data => {
        remember(key, data);
        finish(data, undefined);
      },
      (error: unknown) => {
        if (!mine.controller.signal.aborted) finish(undefined, toFailure(error));
      },
    );
  }, [key, tick, reloads]);
  useEffect(() => () => running.current?.controller.abort(), []);

  return {
    data: key === undefined ? undefined : shown.data,
    failure: key === undefined ? undefined : shown.failure,
    isLoading: key !== undefined && shown.key !== key,
    reload: () => setReloads(count => count + 1),
  };
}

export function toFailure(error: unknown): ApiFailure {
  if (error instanceof Failure) return error;
  return new Failure(
    error instanceof Error ? error.message : String(error),
    'Reload the page; if it stays, this is a defect of hotspan.',
    0,
  );
}

function remember(key: string, data: unknown): void {
  recent.delete(key);
  recent.set(key, data);
  const oldest = recent.keys().next().value;
  if (recent.size > recentLimit && oldest !== undefined) recent.delete(oldest);
}

/** Geometry of the threads' timelines: bars per step stacked by kind of time, and what lies under a pointer. Pure. */

import type { ThreadsResult, ThreadTimeline, TimeKind } from '../../../agent/server/api.ts';
import { replaceTerms } from './filter.ts';
import { kindOrder } from './profile-types.ts';

export interface Bar {
  kind: TimeKind;
  /** First step and the one after the last: neighbours that look the same are one bar. */
  from: number;
  to: number;
  /** Bottom and top as shares of the row's height, 0-1. */
  bottom: number;
  top: number;
}

/** Differences below this share of a row's height are not seen. */
const sameShare = 1 / 64;

/** Bars of a row by kind, the working kinds at the bottom. A step's kinds together are as high as the time known of it. */
export function barsOf(thread: ThreadTimeline, result: ThreadsResult, without: readonly TimeKind[]): Bar[] {
  const bars: Bar[] = [];
  const below = new Float64Array(result.steps);
  for (const kind of kindOrder) {
    const values = without.includes(kind) ? undefined : thread.kinds.find(own => own.kind === kind)?.values;
    if (values === undefined) continue;
    let open: Bar | undefined;
    values.forEach((value, step) => {
      const bottom = below[step] ?? 0;
      // Clocks differ by a little: a step is never more than full.
      const top = Math.min(1, bottom + value / (result.stepMs * 1e6));
      below[step] = top;
      if (top - bottom <= 0) {
        open = undefined;
      } else if (open !== undefined && Math.abs(open.bottom - bottom) < sameShare && Math.abs(open.top - top) < sameShare) {
        open.to = step + 1;
      } else {
        open = { kind, from: step, to: step + 1, bottom, top };
        bars.push(open);
      }
    });
  }
  return bars;
}

/** The step under a place, 0 <= x < width. */
export function stepAt(result: ThreadsResult, x: number, widthPx: number): number {
  return Math.min(result.steps - 1, Math.max(0, Math.floor((x / Math.max(1, widthPx)) * result.steps)));
}

export function stepStartMs(result: ThreadsResult, step: number): number {
  return result.fromMs + step * result.stepMs;
}

/** Where a moment lies in what is drawn, whose last step may reach beyond the range: 0 at the left, 1 at the right. */
export function shareOfRange(result: ThreadsResult, ms: number): number {
  return (ms - result.fromMs) / Math.max(1, result.steps * result.stepMs);
}

/** What a thread did in some steps, most first. */
export function kindsOf(thread: ThreadTimeline, from: number, to: number): { kind: TimeKind; ns: number }[] {
  return thread.kinds
    .map(({ kind, values }) => ({ kind, ns: values.slice(from, to).reduce((sum, value) => sum + value, 0) }))
    .filter(({ ns }) => ns > 0)
    .sort((a, b) => b.ns - a.ns);
}

/** Share of a thread's known time that went to a kind. */
export function shareOf(thread: ThreadTimeline, kind: TimeKind): number {
  const all = thread.kinds.reduce((sum, own) => sum + own.totalNs, 0);
  return all === 0 ? 0 : (thread.kinds.find(own => own.kind === kind)?.totalNs ?? 0) / all;
}

/** A range of time of some threads, as a brush chose it. */
export interface ThreadChoice {
  fromMs: number;
  toMs: number;
  threads: readonly ThreadTimeline[];
}

/** What a brush from one place to another covers: whole steps, and every row that it touches. Undefined beside all rows. */
export function choiceBetween(
  result: ThreadsResult,
  from: { x: number; row: number },
  to: { x: number; row: number },
  widthPx: number,
): ThreadChoice | undefined {
  const [first, last] = [from.x, to.x].sort((a, b) => a - b).map(x => stepAt(result, x, widthPx)) as [number, number];
  const [top, bottom] = [from.row, to.row].sort((a, b) => a - b) as [number, number];
  const threads = result.threads.slice(Math.max(0, top), Math.max(0, bottom + 1));
  if (threads.length === 0) return undefined;
  return { fromMs: stepStartMs(result, first), toMs: stepStartMs(result, last + 1), threads };
}

/** The filter that keeps these threads and no other, with what else it asks for. */
export function filterOfThreads(filter: string, threads: readonly ThreadTimeline[]): string {
  const pids = [...new Set(threads.map(thread => thread.pid))];
  const tids = threads.map(thread => thread.tid);
  return replaceTerms(filter, ['pid', 'tid'], [oneOf('pid', pids), oneOf('tid', tids)]);
}

function oneOf(key: string, values: readonly number[]): { key: string; op: string; value: string } {
  if (values.length === 1) return { key, op: '=', value: String(values[0]) };
  return { key, op: '=~', value: `^(${values.join('|')})$` };
}

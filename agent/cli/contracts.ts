/** What the commands ask of the agent's own entry points, which they import only when they run. */

import type { Config } from '../config/index.ts';
import type { FullProfile } from '../store/full-profile.ts';
import type { SpanDetail } from '../store/rows.ts';

/** agent/main.ts: runs until a signal ends it; gives the exit code. */
export type RunAgent = (config: Config) => Promise<number>;

/** Profile types that `hotspan record` can make. */
export const recordEvents = [
  'cpu',
  'wall',
  'offcpu',
  'runq',
  'wakeup',
  'faults',
  'rss-growth',
  'rss-released',
  'mapped',
  'unmapped',
  'go-heap',
  'block',
  'lock',
  'lockhold',
] as const;
export type RecordEvent = (typeof recordEvents)[number];

export interface RecordOptions {
  readonly durationMs: number;
  /** Only this process; undefined: the whole host. */
  readonly pid: number | undefined;
  /** Only processes of this command name. */
  readonly comm: string | undefined;
  readonly event: RecordEvent;
  readonly frequencyHz: number;
  /** Aborted by Ctrl-C: recording ends early and gives what it has. */
  readonly signal: AbortSignal;
}

export interface RecordProgress {
  readonly elapsedMs: number;
  readonly samples: number;
  readonly lost: number;
}

/** agent/record.ts. `onProgress` is called about four times a second. */
export type RecordProfile = (options: RecordOptions, onProgress: (progress: RecordProgress) => void) => Promise<FullProfile>;

export interface TraceOptions {
  /** "kernel:do_sys_openat2", "uprobe:/path/bin:symbol", globs allowed. */
  readonly targets: readonly string[];
  /** Calls shorter than this are counted in the kernel and not reported. */
  readonly minNs: number;
  readonly withStack: boolean;
  readonly pid: number | undefined;
  readonly signal: AbortSignal;
  /** Called once, when everything is attached: "3 functions by fentry". */
  readonly onStarted: (how: string) => void;
}

export interface TraceSummary {
  /** Calls seen by the probes, spans reported, and why the rest was not. */
  readonly seen: number;
  readonly reported: number;
  readonly lost: Readonly<Record<string, number>>;
}

/** agent/trace.ts: resolves after the signal, when the last span was reported and everything is detached. */
export type TraceTargets = (options: TraceOptions, onSpan: (span: SpanDetail) => void) => Promise<TraceSummary>;

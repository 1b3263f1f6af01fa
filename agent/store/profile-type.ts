/** What the store knows of profile types: which are composed of others, which source they come from, and their units. */

import { type FrameRow, type TimeKind, timeKinds } from './rows.ts';
import { QueryError } from './store-error.ts';

/** Wall-clock: samples of time on the CPU, waits and time in the run queue, in one tree. Nothing is stored under this name. */
export const wallType = 'wall';

/** What the store has to know of a stored type. */
interface StoredType {
  /** The source whose losses it suffers from. */
  readonly source: string;
  /** Of its values. */
  readonly unit: 'nanoseconds' | 'bytes' | 'count';
  /** Of its time series: nanoseconds per nanosecond are cores where they are CPU time, and threads where they are waits. */
  readonly rateUnit: string;
  /** Whether the number of its samples says something of itself: how many waits, requests, faults. */
  readonly isCounted: boolean;
}

const waits = { unit: 'nanoseconds', rateUnit: 'threads', isCounted: true } as const;

/** A type that stands nowhere here is sampled time of the source of its name. */
const storedTypes: Readonly<Record<string, StoredType>> = {
  offcpu: { source: 'sched', ...waits },
  runq: { source: 'sched', ...waits },
  wakeup: { source: 'sched', ...waits },
  threads: { source: 'sched', ...waits },
  faults: { source: 'fault', unit: 'count', rateUnit: 'faults/s', isCounted: false },
  'rss-growth': { source: 'fault', unit: 'bytes', rateUnit: 'bytes/s', isCounted: false },
  mapped: { source: 'mem', unit: 'bytes', rateUnit: 'bytes/s', isCounted: true },
  unmapped: { source: 'mem', unit: 'bytes', rateUnit: 'bytes/s', isCounted: true },
  'go-heap': { source: 'mem', unit: 'bytes', rateUnit: 'bytes/s', isCounted: true },
  malloc: { source: 'mem', unit: 'bytes', rateUnit: 'bytes/s', isCounted: true },
  'rss-released': { source: 'fault', unit: 'bytes', rateUnit: 'bytes/s', isCounted: false },
  block: { source: 'block', ...waits, rateUnit: 'requests' },
  lock: { source: 'lock', ...waits },
  lockhold: { source: 'lock', ...waits },
};

const parts: Readonly<Record<string, readonly string[]>> = { [wallType]: ['cpu', 'offcpu', 'runq'] };

function storedType(name: string): StoredType {
  const known = storedTypes[name];
  return known ?? { source: name, unit: 'nanoseconds', rateUnit: 'cores', isCounted: false };
}

/** The frame that stands on samples of CPU time in a wall profile, as the marks of `sched` stand on its stacks. */
export const onCpuFrame: FrameRow = {
  kind: 'on-cpu',
  module: '',
  buildId: '',
  address: 0n,
  lines: [{ name: 'on CPU', file: '', line: 0 }],
  isGuess: false,
};

/** The stored types that a type is made of: most of themselves. */
export function partsOf(type: string): readonly string[] {
  return parts[type] ?? [type];
}

/** Whether samples of a part get the mark of CPU time on top: within a composed type, those that have no mark of their own. */
export function isMarkedOnCpu(type: string, part: string): boolean {
  return type === wallType && part === 'cpu';
}

/** Whether the number of a part's samples says something of itself. */
export function isCounted(part: string): boolean {
  return storedType(part).isCounted;
}

/** The sources whose losses a type suffers from. */
export function sourcesOf(type: string): readonly string[] {
  return [...new Set(partsOf(type).map(part => storedType(part).source))];
}

/** Unit of a type's values; its parts share one. */
export function unitOf(type: string): StoredType['unit'] {
  return storedType(partsOf(type)[0] ?? type).unit;
}

/** Unit of a type's time series. */
export function rateUnitOf(type: string): string {
  return type === wallType ? waits.rateUnit : storedType(type).rateUnit;
}

/** What a series' sum over some time is divided by: time in nanoseconds per nanosecond, other values per second. */
export function ratePeriodsPerMs(type: string): number {
  return unitOf(type) === 'nanoseconds' ? 1e6 : 1e-3;
}

/** A test for kinds of time that a profile is wanted without. Throws a QueryError for a kind that is none. */
export function compileWithout(without: readonly string[] = []): (kind: TimeKind | undefined) => boolean {
  const unknown = without.find(kind => !(timeKinds as readonly string[]).includes(kind));
  if (unknown !== undefined)
    throw new QueryError(`"${unknown.slice(0, 40)}" is no kind of time`, `use some of ${timeKinds.join(', ')}`);
  return kind => kind !== undefined && without.includes(kind);
}

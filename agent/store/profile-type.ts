/** What the store knows of profile types: which are composed of others, which source they come from, and their units. */

import { type FrameRow, type TimeKind, timeKinds } from './rows.ts';
import { QueryError } from './store-error.ts';

/** Wall-clock: samples of time on the CPU, waits and time in the run queue, in one tree. Nothing is stored under this name. */
export const wallType = 'wall';

const parts: Readonly<Record<string, readonly string[]>> = { [wallType]: ['cpu', 'offcpu', 'runq'] };

/** Types that the source `sched` accounts; every other type is of the source of its name. */
const schedTypes: ReadonlySet<string> = new Set(['offcpu', 'runq', 'wakeup', 'threads']);

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

/** Whether the samples of a part are waits, whose number says something of itself. */
export function areWaits(part: string): boolean {
  return schedTypes.has(part);
}

/** The sources whose losses a type suffers from. */
export function sourcesOf(type: string): readonly string[] {
  return [...new Set(partsOf(type).map(part => (schedTypes.has(part) ? 'sched' : part)))];
}

/** Nanoseconds for types measured in time; other types name their own unit here when they come. */
export function unitOf(_type: string): string {
  return 'nanoseconds';
}

/** Nanoseconds per nanosecond: of CPU time they are cores, of waits threads. */
export function rateUnitOf(type: string): string {
  return type === wallType || schedTypes.has(type) ? 'threads' : 'cores';
}

/** A test for kinds of time that a profile is wanted without. Throws a QueryError for a kind that is none. */
export function compileWithout(without: readonly string[] = []): (kind: TimeKind | undefined) => boolean {
  const unknown = without.find(kind => !(timeKinds as readonly string[]).includes(kind));
  if (unknown !== undefined)
    throw new QueryError(`"${unknown.slice(0, 40)}" is no kind of time`, `use some of ${timeKinds.join(', ')}`);
  return kind => kind !== undefined && without.includes(kind);
}

/** Records running programs as `hotspan record` does, and counts for each how many of its stacks reach the thread's true root. */

import { recordProfile } from '../../agent/record.ts';
import type { FullProfile } from '../../agent/store/full-profile.ts';
import type { FrameRow } from '../../agent/store/rows.ts';
import { ROOTS } from './roots.ts';

export interface LiveTally {
  samples: number;
  /** Reach the root, and it is one that threads begin with. */
  complete: number;
  /** Samples that do not, by the reason that they carry. */
  readonly reasons: Record<string, number>;
  /** Samples that claim to be complete and begin elsewhere, by the name of what they begin with: they lie. */
  readonly falseRoots: Record<string, number>;
  /** Both of these, by the reason and the functions that the stack was lost above, outermost first. */
  readonly places: Record<string, number>;
}

const incompletePrefix = 'incomplete: ';

/** A binary without symbols gives its roots no names: then they are not known to be wrong. */
function isRoot(frame: FrameRow): boolean {
  const name = frame.lines.at(-1)?.name ?? '';
  return frame.isGuess || ROOTS.test(name);
}

function add(record: Record<string, number>, key: string, count: number): void {
  record[key] = (record[key] ?? 0) + count;
}

function placeOf(frames: readonly (FrameRow | undefined)[]): string {
  const words = (frame: FrameRow | undefined) => {
    const name = frame?.lines.at(-1)?.name ?? '';
    return frame?.kind === 'kernel' ? 'kernel' : `${name} [${frame?.module.split('/').at(-1)}+${frame?.address.toString(16)}]`;
  };
  return frames.map(words).join(' > ');
}

function countEntry(tally: LiveTally, frames: readonly (FrameRow | undefined)[], count: number): void {
  const root = frames.at(-1);
  tally.samples += count;
  const name = root?.lines.at(-1)?.name ?? 'no frames';
  const isIncomplete = name.startsWith(incompletePrefix);
  if (!isIncomplete && root !== undefined && isRoot(root)) {
    tally.complete += count;
    return;
  }
  if (isIncomplete) add(tally.reasons, name.slice(incompletePrefix.length), count);
  else add(tally.falseRoots, name, count);
  add(
    tally.places,
    `${isIncomplete ? name : 'false root'}: ${placeOf(frames.slice(isIncomplete ? -4 : -3, isIncomplete ? -1 : undefined).toReversed())}`,
    count,
  );
}

export function emptyTally(): LiveTally {
  return { samples: 0, complete: 0, reasons: {}, falseRoots: {}, places: {} };
}

/** By pid. Samples of other programs, and those that were in the kernel alone, do not count. */
export function tallyProfile(profile: FullProfile, pids: ReadonlySet<number>): Map<number, LiveTally> {
  const tallies = new Map<number, LiveTally>();
  for (const { thread, stack, count } of profile.entries) {
    const pid = profile.threads[thread]?.pid ?? 0;
    const frames = profile.stacks[stack] ?? [];
    const root = profile.frames[frames.at(-1) ?? -1];
    if (!pids.has(pid) || root?.kind === 'kernel') continue;
    const tally = tallies.get(pid) ?? emptyTally();
    tallies.set(pid, tally);
    countEntry(
      tally,
      frames.map(frame => profile.frames[frame]),
      count,
    );
  }
  return tallies;
}

/** Records the whole host for so long. */
export async function recordLive(
  pids: ReadonlySet<number>,
  durationMs: number,
  frequencyHz: number,
): Promise<Map<number, LiveTally>> {
  const { signal } = new AbortController();
  const options = { durationMs, pid: undefined, comm: undefined, event: 'cpu', frequencyHz, signal } as const;
  return tallyProfile(await recordProfile(options, () => {}), pids);
}

/** Compares the stacks of one running program, or of cores that are made of it, and adds up what was found. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type Comparison, type Coverage, compareStacks, type Difference, type Walk } from './compare.ts';
import { isCovered, switchesStacks } from './coverage.ts';
import { type CoreGdb, type Stop, type StoppedThread, stopAtRandom } from './gdb.ts';
import type { NameJudge } from './names.ts';
import type { CodeAt, Walked, Walker } from './walker.ts';

export interface Subject {
  readonly name: string;
  readonly pid: number;
  /** Where gdb and readelf find what the binary was stripped of; empty where there is nothing better than the binary. */
  readonly symbolFile: string;
  readonly binary: string;
  stop(): void;
}

export interface Tally {
  readonly name: string;
  stops: number;
  /** Stops of which a core was read. */
  cores: number;
  stacks: number;
  /** Frames that gdb and the walk both have a well-founded opinion about, and how many of them are equal. */
  frames: number;
  equal: number;
  /** Stacks by kind of difference. */
  readonly differences: Partial<Record<Difference, number>>;
  /** Walks by why they ended. */
  readonly ends: Record<string, number>;
  /** One for each place where stacks differ, in words, with how often it was met. */
  readonly places: Map<string, number>;
}

export interface CompareOptions {
  readonly stops: number;
  readonly seed: number;
  readonly threads: number;
  /** Core files of stops whose stacks are `different` or `walk-short` go here; none are kept where it is empty. */
  readonly coreFolder: string;
  /** Reads cores of the first so many stops, as gdb and as the walker see them. */
  readonly cores?: { readonly gdb: CoreGdb; readonly stops: number };
  /** Whether the process itself is looked at, in each stop. */
  readonly isLive: boolean;
  /** Is given all of gdb's stacks, to judge how they are named. */
  readonly names?: NameJudge;
}

function describeCode(code: CodeAt): string {
  return `${code.path === '' ? 'no file' : code.path.split('/').at(-1)}+${code.elfAddress.toString(16)} (${code.rule})`;
}

function words(thread: StoppedThread, walk: Walk, { difference, at }: Comparison, below: string): string {
  const gdb = thread.frames[at];
  const gdbSays = gdb ? gdb.pc.toString(16) : `its end (${thread.end})`;
  const weSay = walk.addresses[at]?.toString(16) ?? `end ${walk.end}`;
  return `${difference} above ${below}: gdb ${gdbSays}, walk ${weSay}`;
}

/** Addresses differ from run to run; the place in words without them tells equal ones together. */
function placeOf(text: string): string {
  return text.replace(/\b[0-9a-f]{9,16}\b/g, 'ADDRESS');
}

interface Looked {
  readonly subject: Subject;
  readonly walked: Walked;
  readonly walker: Walker;
  readonly tally: Tally;
}

async function compareThread({ subject, walked, walker, tally }: Looked, thread: StoppedThread): Promise<Comparison> {
  const walk = await walker.walk(walked, thread.ip, thread.registers);
  const gdbAddresses = thread.frames.map(({ pc }) => pc);
  // A call may be the last instruction of its function; but what a signal interrupted is not the address of a call.
  const lookup = (frame: number): bigint => {
    const isReturn = frame > 0 && thread.frames[frame - 1]?.type !== 'signal';
    return (gdbAddresses[frame] ?? 0n) - (isReturn ? 1n : 0n);
  };
  let first = 0;
  while (first < gdbAddresses.length && gdbAddresses[first] === walk.addresses[first]) first += 1;
  const code = await walker.codeAt(walked, lookup(Math.max(0, first - 1)));
  const coverage = (): Coverage => {
    if (code.path === '' || code.path.startsWith('[')) return code.rule === 'none' ? 'none' : 'rules';
    const path = code.path === subject.binary && subject.symbolFile !== '' ? subject.symbolFile : code.path;
    if (switchesStacks(path, code.elfAddress)) return 'switch';
    return isCovered(path, code.elfAddress) ? 'rules' : 'none';
  };
  const comparison = compareStacks(gdbAddresses, walk, coverage);
  tally.stacks += 1;
  tally.frames += comparison.compared;
  tally.equal += comparison.equal;
  tally.ends[walk.end] = (tally.ends[walk.end] ?? 0) + 1;
  if (comparison.difference) {
    tally.differences[comparison.difference] = (tally.differences[comparison.difference] ?? 0) + 1;
    const place = placeOf(words(thread, walk, comparison, describeCode(code)));
    tally.places.set(place, (tally.places.get(place) ?? 0) + 1);
  }
  return comparison;
}

/** Whether all stacks are gdb's. */
async function compareThreads(looked: Looked, threads: readonly StoppedThread[]): Promise<boolean> {
  let isFault = false;
  for (const thread of threads) {
    const { difference } = await compareThread(looked, thread);
    isFault ||= difference === 'different' || difference === 'walk-short';
  }
  return !isFault;
}

/** Has a core of the process written, which gdb and the walker read for themselves: the registers, and all memory. */
async function compareCore(looked: Looked & { walked: string }, stop: Stop, gdb: CoreGdb, threads: number): Promise<boolean> {
  const { walked: core, subject, walker } = looked;
  await stop.writeCore(core);
  looked.tally.cores += 1;
  const seen = await gdb.read(core, subject.symbolFile || subject.binary, threads);
  assert.ok(seen.length > 0, `gdb sees no thread in ${core}`);
  await walker.refresh(core);
  for (const { tid, ip, registers } of seen) assert.deepEqual(await walker.registers(core, tid), { ip, registers });
  return compareThreads(looked, seen);
}

/** Stops the program so many times and compares all stacks of the threads that are looked at. */
export async function compareSubject(subject: Subject, walker: Walker, options: CompareOptions): Promise<Tally> {
  const { coreFolder, cores, names, threads: threadCount } = options;
  const tally: Tally = {
    name: subject.name,
    stops: 0,
    cores: 0,
    stacks: 0,
    frames: 0,
    equal: 0,
    differences: {},
    ends: {},
    places: new Map(),
  };
  const folder = mkdtempSync(join(tmpdir(), 'hotspan-core-'));
  const core = join(folder, 'core');
  try {
    await stopAtRandom({ ...options, pid: subject.pid, symbolFile: subject.symbolFile }, async stop => {
      tally.stops += 1;
      let isEqual = true;
      if (options.isLive) {
        await walker.refresh(subject.pid);
        isEqual = await compareThreads({ subject, walked: subject.pid, walker, tally }, stop.threads);
      }
      for (const { frames } of stop.threads) await names?.add(subject.pid, frames);
      if (cores && tally.stops <= cores.stops) {
        isEqual = (await compareCore({ subject, walked: core, walker, tally }, stop, cores.gdb, threadCount)) && isEqual;
      }
      if (!isEqual && coreFolder !== '') await stop.writeCore(`${coreFolder}/${subject.name}-${tally.stops}.core`);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return tally;
}

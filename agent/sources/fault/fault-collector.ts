/**
 * Reads the kernel's sums once a second and makes profile samples of them: `faults` (page faults, by class), `rss-growth` (bytes of
 * resident memory that came) and `rss-released` (bytes that went). Growth less released is what VmRSS has changed by.
 */

import type { NativeObject } from '../../bpf/native.ts';
import {
  type FaultSumKey,
  faultClass,
  faultMember,
  faultMmBytes,
  faultReason,
  faultSumBytes,
  faultSumKeyBytes,
  faultWhat,
  readFaultMm,
  readFaultSum,
  readFaultSumKey,
} from '../../events/index.ts';
import type { KnownStacks } from '../known-stacks.ts';
import { emptyStack } from '../known-stacks.ts';
import type { Mark, Sample, Sink } from '../source.ts';
import type { MapLetter, TurningSums } from '../turning-sums.ts';

/** Of x86-64. The counters of resident memory count these, whatever the size of what is mapped. */
const pageBytes = 4096;

/** Rounds between two looks at which processes have gone. */
const roundsPerLook = 10;

const classNames: Readonly<Record<number, string>> = {
  [faultClass.heap]: 'heap',
  [faultClass.stack]: 'stack',
  [faultClass.anonymous]: 'anonymous memory',
  [faultClass.file]: 'file mapping',
  [faultClass.copied]: 'file mapping, copied on write',
  [faultClass.shared]: 'shared memory',
  [faultClass.no_page]: 'no new page',
  [faultClass.kernel]: 'by the kernel: filled or pinned',
};

const memberNames: Readonly<Record<number, string>> = {
  [faultMember.file]: 'file pages',
  [faultMember.anonymous]: 'anonymous memory',
  [faultMember.shared]: 'shared memory',
};

const reasonNames: Readonly<Record<number, string>> = {
  [faultReason.fork]: ', given at fork',
  [faultReason.exec]: ', given at exec',
  [faultReason.end]: ', the process or its image ended',
  [faultReason.kernel]: ', by the kernel or another process',
};

/** The frame on top of a sum's stack: what the fault brought, or of what kind the pages are. */
export function markOf({ what, detail, reason }: Pick<FaultSumKey, 'what' | 'detail' | 'reason'>): Mark {
  if (what === faultWhat.resident) {
    return { name: `${memberNames[detail] ?? 'other memory'}${reasonNames[reason] ?? ''}`, kind: 'page-fault' };
  }
  const name = classNames[detail] ?? 'other memory';
  return what === faultWhat.major ? { name: `major: ${name}`, kind: 'disk' } : { name, kind: 'page-fault' };
}

/** Whether a thread's stack tells of it: not of what the kernel did by itself, nor of what comes and goes with a process. */
function hasStack({ what, detail, reason }: FaultSumKey): boolean {
  return what === faultWhat.resident ? reason === faultReason.thread : detail !== faultClass.kernel;
}

/** What a sum says. Nothing where what came and what went are equal. */
export function measureOf(what: number, value: number): Pick<Sample, 'profileType' | 'value' | 'count'> | undefined {
  if (value === 0) return undefined;
  if (what === faultWhat.resident) {
    return { profileType: value > 0 ? 'rss-growth' : 'rss-released', value: Math.abs(value) * pageBytes };
  }
  return value > 0 ? { profileType: 'faults', value, count: value } : undefined;
}

/** What the collector needs of the running source. */
export interface CollectorHost {
  readonly stacks: KnownStacks;
  readonly sums: TurningSums;
  isAlive(pid: number): boolean;
}

export class FaultCollector {
  private readonly host: CollectorHost;
  private round = 0;

  constructor(host: CollectorHost) {
    this.host = host;
  }

  /** One round. `isLast`: the programs are detached, and all that is left is told. */
  collect(object: NativeObject, sink: Sink, nowNs: number, isLast = false): void {
    this.host.sums.turn(object, isLast, letter => this.readSums(object, letter, sink, nowNs));
    this.host.stacks.trim(object);
    this.round += 1;
    if (this.round % roundsPerLook === 0) this.forgetEnded(object);
  }

  private readSums(object: NativeObject, letter: MapLetter, sink: Sink, nowNs: number): void {
    const { keys, values, count } = object.mapEntries(`fault_sums_${letter}`, true);
    for (let i = 0; i < count; i += 1) {
      const key = readFaultSumKey(keys, i * faultSumKeyBytes);
      const { value, comm } = readFaultSum(values, i * faultSumBytes);
      const measure = measureOf(key.what, value);
      if (measure === undefined) continue;
      const { stacks } = this.host;
      const stack = hasStack(key) ? stacks.shown(stacks.get(key.stack, nowNs)) : emptyStack;
      sink.sample({ ...measure, timeNs: nowNs, pid: key.pid, tid: key.pid, comm, cgroupId: 0n, stack, mark: markOf(key) });
    }
  }

  /** Address spaces that were there before the source started are not seen to end. */
  private forgetEnded(object: NativeObject): void {
    const { keys, values, count } = object.mapEntries('fault_mms', false);
    for (let i = 0; i < count; i += 1) {
      if (this.host.isAlive(readFaultMm(values, i * faultMmBytes).pid)) continue;
      const key = keys.subarray(i * 8, i * 8 + 8);
      object.mapDelete('fault_mms', key);
      object.mapDelete('fault_parts', key);
    }
  }
}

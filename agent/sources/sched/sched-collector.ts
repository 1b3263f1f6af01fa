/**
 * Reads the kernel's sums once a second and makes profile samples of them: `offcpu` (where threads were blocked, by cause), `runq`
 * (where they waited for a CPU), `wakeup` (who ended the waiting, on top of where it was) and `threads` (each thread's whole time
 * by state, without stacks).
 */

import type { NativeObject } from '../../bpf/native.ts';
import {
  readSchedSum,
  readSchedSumKey,
  readSchedThread,
  type SchedSumKey,
  schedState,
  schedSumBytes,
  schedSumKeyBytes,
  schedThreadBytes,
} from '../../events/index.ts';
import type { FunctionNames } from '../function-names.ts';
import { emptyStack, type KnownStack } from '../known-stacks.ts';
import type { Mark, Sample, Sink, TimeKind } from '../source.ts';
import type { MapLetter, TurningSums } from '../turning-sums.ts';
import type { SchedSource } from './sched.ts';
import { ThreadAccounts, type ThreadTime, type Wait } from './thread-accounts.ts';
import { causeOfSleep, type WaitCause } from './wait-cause.ts';

/** SCHED_FLAG_* of bpf/sched/sched.h. */
const flagIoWait = 1;
const flagUninterruptible = 2;
const flagWakerInterrupt = 4;
const flagLock = 16;

const kindOfCause: Readonly<Record<WaitCause, TimeKind>> = {
  lock: 'lock',
  condition: 'waiting',
  disk: 'disk',
  'file system': 'disk',
  'page fault': 'page-fault',
  'network receive': 'network',
  'network send': 'network',
  idle: 'idle',
  sleep: 'idle',
  pipe: 'waiting',
  child: 'waiting',
  uninterruptible: 'waiting',
  other: 'waiting',
};

const marks = {
  onCpu: { name: 'on CPU', kind: 'on-cpu' },
  preempted: { name: 'runnable: preempted', kind: 'runnable' },
  woken: { name: 'runnable: woken', kind: 'runnable' },
  runnable: { name: 'runnable: short waits', kind: 'runnable' },
  unseen: { name: 'unknown: the kernel left out a switch', kind: 'waiting' },
  short: { name: 'blocked: short waits', kind: 'waiting' },
} as const satisfies Record<string, Mark>;

function blockedMark(cause: WaitCause): Mark {
  return { name: `blocked: ${cause}`, kind: kindOfCause[cause] };
}

/** What the collector needs of the running source. */
export interface CollectorHost {
  readonly source: SchedSource;
  readonly names: FunctionNames;
  readonly sums: TurningSums;
}

export class SchedCollector {
  private readonly host: CollectorHost;
  private readonly accounts = new ThreadAccounts();

  constructor(host: CollectorHost) {
    this.host = host;
  }

  /** One round. `isLast`: the programs are detached, and all that is left is told. */
  collect(object: NativeObject, sink: Sink, nowNs: number, isLast = false): void {
    this.accounts.begin();
    this.readThreads(object, sink, nowNs);
    for (const end of this.host.source.takeEnds()) {
      this.tellTime(sink, this.accounts.end(end.tid, end), nowNs);
    }
    this.host.sums.turn(object, isLast, letter => this.readSums(object, letter, sink, nowNs));
    this.accounts.finish();
    this.host.source.stacks.trim(object);
  }

  private readThreads(object: NativeObject, sink: Sink, nowNs: number): void {
    const { keys, values, count } = object.mapEntries('sched_threads', false);
    for (let i = 0; i < count; i += 1) {
      const tid = keys.readUInt32LE(i * 4);
      const thread = readSchedThread(values, i * schedThreadBytes);
      const { time, wait } = this.accounts.thread(tid, thread, nowNs);
      this.tellTime(sink, time, nowNs);
      if (wait !== undefined) this.tellWait(sink, wait, nowNs);
    }
  }

  private readSums(object: NativeObject, letter: MapLetter, sink: Sink, nowNs: number): void {
    const { keys, values, count } = object.mapEntries(`sched_sums_${letter}`, true);
    for (let i = 0; i < count; i += 1) {
      const key = readSchedSumKey(keys, i * schedSumKeyBytes);
      const wait = this.accounts.sum(key, readSchedSum(values, i * schedSumBytes));
      if (wait !== undefined && (wait.ns > 0 || wait.count > 0)) this.tellWait(sink, wait, nowNs);
    }
  }

  private tellTime(sink: Sink, time: ThreadTime, nowNs: number): void {
    const tell = (mark: Mark, value: number): void => {
      if (value > 0) sink.sample(this.sampleOf('threads', time, { value, count: 1, timeNs: nowNs, mark, stack: emptyStack }));
    };
    tell(marks.onCpu, time.onCpuNs);
    tell(marks.runnable, time.untoldRunnableNs);
    tell(marks.short, time.untoldBlockedNs);
    tell(marks.unseen, time.unseenNs);
  }

  private tellWait(sink: Sink, { key, ns, count }: Wait, nowNs: number): void {
    const { stacks } = this.host.source;
    const known = stacks.get(key.stack, nowNs);
    const stack = stacks.shown(known);
    const isBlocked = key.state === schedState.blocked;
    const mark = isBlocked
      ? blockedMark(this.causeOf(key, known))
      : key.state === schedState.woken
        ? marks.woken
        : marks.preempted;
    const base = { value: ns, count, timeNs: nowNs, mark };
    sink.sample(this.sampleOf(isBlocked ? 'offcpu' : 'runq', key, { ...base, stack }));
    sink.sample(this.sampleOf('threads', key, { ...base, stack: emptyStack }));
    if (isBlocked && count > 0 && (key.wakerTid !== 0 || key.wakerStack !== 0n)) {
      const waker = stacks.get(key.wakerStack, nowNs);
      const isInterrupt = (key.flags & flagWakerInterrupt) !== 0;
      const name = isInterrupt ? 'an interrupt' : this.accounts.commOf(key.wakerTid) || 'a thread that has ended';
      sink.sample({
        ...this.sampleOf('wakeup', key, { ...base, stack }),
        waker: { pid: key.wakerPid, name, stack: stacks.shown(waker) },
      });
    }
  }

  private sampleOf(
    profileType: string,
    { pid, tid }: { pid: number; tid: number },
    rest: Pick<Sample, 'value' | 'count' | 'timeNs' | 'mark' | 'stack'>,
  ): Sample {
    return { profileType, pid, tid, comm: this.accounts.commOf(tid), cgroupId: 0n, ...rest };
  }

  private causeOf(key: SchedSumKey, known: KnownStack | undefined): WaitCause {
    const functions = known === undefined ? undefined : this.host.names.of(known.kernelIds);
    return causeOfSleep({
      functions: functions ?? [],
      callers: () => (known === undefined ? [] : this.host.source.stacks.callers(known)),
      isLock: (key.flags & flagLock) !== 0,
      syscall: key.syscall,
      isIoWait: (key.flags & flagIoWait) !== 0,
      isUninterruptible: (key.flags & flagUninterruptible) !== 0,
    });
  }
}

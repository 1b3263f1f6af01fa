/**
 * Source sched: stacks as they are told and threads as they end. The sums that refer to the stacks are read by the collector
 * (sched-collector.ts), which asks here for what a number stands for.
 */

import type { SchedEndEvent, SchedEvent } from '../../events/index.ts';
import type { Hook, Sink, Source, StackBytes } from '../source.ts';
import type { KernelNames } from './kernel-names.ts';

/** A stack that was told, kept as long as sums refer to it. */
export interface KnownStack {
  readonly pid: number;
  readonly stack: StackBytes;
  /** Of the names of its kernel functions, which were asked for when it was told. */
  readonly kernelIds: Uint32Array;
  /** Kernel time at which it was last referred to. */
  usedNs: number;
}

/** What waits for the collector between two of its rounds: ends of threads. More are summed by the kernel alone. */
const maxEnds = 50_000;

/** Stacks kept with a copy of their memory, 16 KiB each. */
const maxRaw = 256;
const noBytes = new Uint8Array(0);

export const schedHooks: readonly Hook[] = [
  {
    observes: 'switches between threads (sched_switch)',
    ways: [{ name: 'btf_tracepoint', programs: [{ program: 'sched_switched', attach: { type: 'auto' } }] }],
  },
  {
    observes: 'wake-ups and who makes them (sched_waking, sched_wakeup, sched_wakeup_new)',
    ways: [
      {
        name: 'btf_tracepoint',
        programs: ['sched_waking', 'sched_wakeup', 'sched_wakeup_new'].map(program => ({ program, attach: { type: 'auto' } })),
      },
    ],
  },
];

export class SchedSource implements Source<'sched'> {
  readonly name = 'sched';
  readonly needs = schedHooks;
  readonly stacks = new Map<bigint, KnownStack>();
  private readonly names: Pick<KernelNames, 'want'>;
  private readonly withRaw = new Set<bigint>();
  private ends: SchedEndEvent[] = [];

  constructor(names: Pick<KernelNames, 'want'>) {
    this.names = names;
  }

  assemble(event: SchedEvent, sink: Sink): void {
    if (event.kind === 'stack') {
      const { pid, stack, timeNs, kernelStack, userStack, userEnd, userRaw } = event;
      const raw = this.keepRaw(stack, userRaw);
      const kept = { kernel: kernelStack.slice(), user: userStack.slice(), end: userEnd, raw };
      this.stacks.set(stack, { pid, stack: kept, kernelIds: this.names.want(kept.kernel), usedNs: timeNs });
    } else if (this.ends.length < maxEnds) {
      this.ends.push(event);
    } else {
      sink.drop('too_many_ends', 1);
    }
  }

  /** Forgets a stack; true where there was one. */
  forget(stack: bigint): boolean {
    this.withRaw.delete(stack);
    return this.stacks.delete(stack);
  }

  /** Copies of stacks are large, and each is of one wait: the oldest go first. What remains is the walk as far as it came. */
  private keepRaw(stack: bigint, raw: Uint8Array): Uint8Array {
    if (raw.length === 0) return noBytes;
    this.withRaw.add(stack);
    for (const oldest of this.withRaw) {
      if (this.withRaw.size <= maxRaw) break;
      this.withRaw.delete(oldest);
      const known = this.stacks.get(oldest);
      if (known !== undefined) this.stacks.set(oldest, { ...known, stack: { ...known.stack, raw: noBytes } });
    }
    return raw.slice();
  }

  takeEnds(): SchedEndEvent[] {
    const ends = this.ends;
    this.ends = [];
    return ends;
  }
}

/**
 * Source sched: stacks as they are told and threads as they end. The sums that refer to the stacks are read by the collector
 * (sched-collector.ts), which asks here for what a number stands for.
 */

import type { SchedEndEvent, SchedEvent } from '../../events/index.ts';
import type { FunctionNames } from '../function-names.ts';
import { KnownStacks } from '../known-stacks.ts';
import type { Hook, Sink, Source } from '../source.ts';

/** What waits for the collector between two of its rounds: ends of threads. More are summed by the kernel alone. */
const maxEnds = 50_000;

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
  readonly stacks: KnownStacks;
  private ends: SchedEndEvent[] = [];

  constructor(names: Pick<FunctionNames, 'want' | 'wantUser' | 'of'>) {
    this.stacks = new KnownStacks(names);
  }

  assemble(event: SchedEvent, sink: Sink): void {
    if (event.kind === 'stack') {
      this.stacks.tell(event);
    } else if (this.ends.length < maxEnds) {
      this.ends.push(event);
    } else {
      sink.drop('too_many_ends', 1);
    }
  }

  takeEnds(): SchedEndEvent[] {
    const ends = this.ends;
    this.ends = [];
    return ends;
  }
}

/** Source fault: stacks as they are told. The sums that refer to them are read by the collector (fault-collector.ts). */

import type { FaultEvent } from '../../events/index.ts';
import { KnownStacks, type StackNames } from '../known-stacks.ts';
import type { Hook, HookWay, Source } from '../source.ts';

function byBtf(...programs: string[]): readonly HookWay[] {
  return [{ name: 'btf_tracepoint', programs: programs.map(program => ({ program, attach: { type: 'auto' } })) }];
}

export const faultHooks: readonly Hook[] = [
  {
    observes: 'page faults, where the kernel counts them (software events page-faults-min and page-faults-maj)',
    ways: [
      {
        name: 'perf_event',
        programs: [
          { program: 'fault_minor', attach: { type: 'page-faults', isMajor: false } },
          { program: 'fault_major', attach: { type: 'page-faults', isMajor: true } },
        ],
      },
    ],
  },
  { observes: 'changes of resident memory (rss_stat)', ways: byBtf('fault_rss') },
  {
    observes: 'address spaces and threads that begin and end (task_newtask, sched_process_exec, _exit, _free)',
    ways: byBtf('fault_fork', 'fault_exec', 'fault_exit', 'fault_free'),
  },
];

export class FaultSource implements Source<'fault'> {
  readonly name = 'fault';
  readonly needs = faultHooks;
  readonly stacks: KnownStacks;

  constructor(names: StackNames) {
    this.stacks = new KnownStacks(names);
  }

  assemble(event: FaultEvent): void {
    this.stacks.tell(event);
  }
}

/** Source lock: stacks as they are told. The sums that refer to them are read by the collector (lock-collector.ts). */

import type { LockEvent } from '../../events/index.ts';
import type { FunctionNames } from '../function-names.ts';
import { KnownStacks } from '../known-stacks.ts';
import type { Hook, HookWay, Source } from '../source.ts';

function tracepoints(programs: Readonly<Record<string, string>>): readonly HookWay[] {
  const entries = Object.entries(programs);
  return [
    {
      name: 'tracepoint',
      programs: entries.map(([name, program]) => ({ program, attach: { type: 'tracepoint', category: 'syscalls', name } })),
    },
  ];
}

/** The return before the entry: a wait that begins between the two is then not seen, instead of lasting for ever. */
export const lockHooks: readonly Hook[] = [
  {
    observes: 'waits and wake-ups of locks (futex)',
    ways: tracepoints({ sys_exit_futex: 'lock_exit', sys_enter_futex: 'lock_futex_enter' }),
  },
  {
    observes: 'who ends the waits (sched_waking)',
    ways: [{ name: 'btf_tracepoint', programs: [{ program: 'lock_waking', attach: { type: 'auto' } }] }],
  },
];

/** System calls that newer kernels have beside futex: since 5.16 and 6.7. */
export const newerLockHooks: Readonly<Record<string, Hook>> = {
  futex_waitv: {
    observes: 'waits for one of several locks (futex_waitv)',
    ways: tracepoints({ sys_exit_futex_waitv: 'lock_exit', sys_enter_futex_waitv: 'lock_waitv_enter' }),
  },
  futex_wait: {
    observes: 'waits of locks by the newer call (futex_wait)',
    ways: tracepoints({ sys_exit_futex_wait: 'lock_exit', sys_enter_futex_wait: 'lock_wait_enter' }),
  },
  futex_wake: {
    observes: 'wake-ups by the newer call (futex_wake)',
    ways: tracepoints({ sys_enter_futex_wake: 'lock_wake_enter' }),
  },
};

export class LockSource implements Source<'lock'> {
  readonly name = 'lock';
  readonly needs: readonly Hook[];
  readonly stacks: KnownStacks;

  constructor(names: Pick<FunctionNames, 'want' | 'wantUser' | 'of'>, needs: readonly Hook[] = lockHooks) {
    this.stacks = new KnownStacks(names);
    this.needs = needs;
  }

  assemble(event: LockEvent): void {
    this.stacks.tell(event);
  }
}

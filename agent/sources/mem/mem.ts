/** Source mem: stacks as they are told, victims of the out-of-memory killer, and the word that malloc is called too often. */

import type { MemEvent } from '../../events/index.ts';
import { attributes } from '../attributes.ts';
import { KnownStacks, type StackNames } from '../known-stacks.ts';
import type { Hook, Sink, Source } from '../source.ts';

const calls = ['mmap', 'munmap', 'mremap'];

export const memHooks: readonly Hook[] = [
  {
    observes: 'address space mapped and unmapped (mmap, munmap, mremap, brk)',
    ways: [
      {
        name: 'tracepoint',
        programs: [
          ...calls.map(call => ({
            program: 'mem_call_exit',
            attach: { type: 'tracepoint' as const, category: 'syscalls', name: `sys_exit_${call}` },
          })),
          { program: 'mem_brk_enter', attach: { type: 'tracepoint', category: 'syscalls', name: 'sys_enter_brk' } },
          { program: 'mem_brk_exit', attach: { type: 'tracepoint', category: 'syscalls', name: 'sys_exit_brk' } },
        ],
      },
    ],
  },
  {
    observes: 'victims of the out-of-memory killer (oom:mark_victim)',
    ways: [
      {
        name: 'tracepoint',
        programs: [{ program: 'mem_oom', attach: { type: 'tracepoint', category: 'oom', name: 'mark_victim' } }],
      },
    ],
  },
  {
    observes: 'programs that start, to find those of Go (sched:sched_process_exec)',
    ways: [
      {
        name: 'tracepoint',
        programs: [{ program: 'mem_exec', attach: { type: 'tracepoint', category: 'sched', name: 'sched_process_exec' } }],
      },
    ],
  },
];

/** What the source's probes have to be told. */
export interface MemProbes {
  /** malloc is called more often than is allowed. */
  endMalloc(): void;
  /** The process has begun another program. */
  execed(pid: number): void;
}

export class MemSource implements Source<'mem'> {
  readonly name = 'mem';
  readonly needs = memHooks;
  readonly stacks: KnownStacks;
  private readonly probes: MemProbes;

  constructor(names: StackNames, probes: MemProbes) {
    this.stacks = new KnownStacks(names);
    this.probes = probes;
  }

  assemble(event: MemEvent, sink: Sink): void {
    switch (event.kind) {
      case 'stack':
        this.stacks.tell(event);
        return;
      case 'limit':
        this.probes.endMalloc();
        return;
      case 'exec':
        this.probes.execed(event.pid);
        return;
      case 'oom':
        sink.span({
          name: 'oom kill',
          startNs: event.timeNs,
          durationNs: 0,
          pid: event.victimPid,
          tid: event.victimPid,
          comm: '',
          spanKey: 0n,
          parentKey: 0n,
          traceKey: 0n,
          error: 'out-of-memory',
          attributes: { [attributes.oomCausePid]: event.pid, [attributes.oomCauseName]: event.comm },
          stack: undefined,
        });
    }
  }
}

/** Source cpu: each tick of a CPU's sampling clock becomes a sample worth one period of CPU time. */

import type { CpuEvent } from '../../events/index.ts';
import type { Hook, Sink, Source } from '../source.ts';

export class CpuSource implements Source<'cpu'> {
  readonly name = 'cpu';
  readonly needs: readonly Hook[];

  constructor(frequencyHz: number) {
    this.needs = [{ observes: 'CPU clock ticks', ways: [samplingWay(frequencyHz)] }];
  }

  assemble(event: CpuEvent, sink: Sink): void {
    sink.sample({
      profileType: 'cpu',
      timeNs: event.timeNs,
      pid: event.pid,
      tid: event.tid,
      comm: event.comm,
      cgroupId: event.cgroupId,
      value: event.periodNs,
      stack: { kernel: event.kernelStack, user: event.userStack, end: event.userEnd, raw: event.userRaw },
    });
  }
}

/** The software clock: it needs no hardware counters, so that it works in VMs, and its period is exact. */
export function samplingWay(frequencyHz: number): Hook['ways'][number] {
  return { name: 'perf_event', programs: [{ program: 'cpu_sample', attach: { type: 'perf', event: 'cpu-clock', frequencyHz } }] };
}

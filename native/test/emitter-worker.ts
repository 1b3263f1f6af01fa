/**
 * A thread of the tests. As told by workerData it makes events, or loads the probe with a reader of its own, makes events without end
 * and waits to be terminated.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { loadAddon } from '../../agent/bpf/addon.ts';
import { counters, loadProbe, makeEvents, sumOfCpus } from './probe.ts';

export type EmitterTask =
  | { readonly task: 'emit'; readonly count: number }
  /** Counts its own events with its own reader, answers with what it received, and ends by itself. */
  | { readonly task: 'read'; readonly count: number }
  /** Attaches all it can, floods its reader, and never ends. */
  | { readonly task: 'hold' };

const task = workerData as EmitterTask;

if (task.task === 'emit') {
  makeEvents(task.count);
} else {
  const addon = loadAddon();
  // Without the number of this thread in the kernel, which Node does not tell, the probe listens to the whole process.
  const object = loadProbe(addon);
  let received = 0;
  const reader = addon.createPerfReader({ intervalMs: 1, maxRecords: 256, maxBytes: 1 << 16 }, batch => {
    received += batch.count;
  });
  reader.add(1, object, 'probe_events', 64);
  const links = ['probe_raw', 'probe_btf', 'probe_tracepoint'].map(program => object.attach(program, { type: 'auto' }));
  if (task.task === 'read') {
    makeEvents(task.count);
    for (const link of links) link.detach();
    await reader.remove(1);
    const lost = reader.stats(1).lostByCpu.reduce((sum, count) => sum + count, 0);
    parentPort?.postMessage({ seen: sumOfCpus(object, 'probe_counts', counters.raw), received, lost });
    reader.close();
    object.close();
  } else {
    addon.enableProgramStats();
    object.attach('probe_perf', { type: 'perf', event: 'cpu-clock', frequencyHz: 99 });
    void reader.flush();
    setInterval(() => makeEvents(200), 0);
    parentPort?.postMessage('ready');
  }
}

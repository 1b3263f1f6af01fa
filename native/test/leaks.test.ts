/** Nothing is left behind: not by a thousand rounds from open to close, not by a worker that is terminated, not by kill -9. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { before, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { loadAddon } from '../../agent/bpf/addon.ts';
import type { EmitterTask } from './emitter-worker.ts';
import {
  buildProbe,
  heldIds,
  leftBehind,
  loadProbe,
  makeEvents,
  openDescriptors,
  probePath,
  root,
  settle,
  threads,
} from './probe.ts';

const addon = loadAddon();
/** The sanitizer test asks for fewer: each costs ten times as much there. */
const rounds = Number(process.env.HOTSPAN_TEST_ROUNDS ?? 1000);

before(buildProbe);

/** From open to close, with each kind of link; every other round leaves the detaching to close. */
function oneRound(round: number): void {
  const object = addon.openObject(probePath);
  for (const { name } of object.programs)
    object.setAutoload(name, ['probe_raw', 'probe_tracepoint', 'probe_perf'].includes(name));
  object.setConstant('target_pid', process.pid);
  object.load();
  // Each waits for its thread's end, which is long where the machine is busy: every fourth round is enough.
  const reader =
    round % 4 === 0 ? addon.createPerfReader({ intervalMs: 5, maxRecords: 64, maxBytes: 65_536 }, () => {}) : undefined;
  reader?.add(round & 0xff, object, 'probe_events', 1);
  const links = [
    object.attach('probe_raw', { type: 'auto' }),
    object.attach('probe_perf', { type: 'perf', event: 'cpu-clock', frequencyHz: 99 }),
  ];
  // Detaching from a tracepoint waits for the kernel to settle, some milliseconds: every tenth round is enough.
  if (round % 10 === 0) links.push(object.attach('probe_tracepoint', { type: 'auto' }));
  makeEvents(20);
  if (round % 2 === 0) for (const link of links) link.detach();
  if (round % 3 === 0) object.close();
  reader?.close();
  object.close();
}

function hold(task: EmitterTask): Worker {
  return new Worker(new URL('./emitter-worker.ts', import.meta.url), { workerData: task });
}

describe('nothing is left', () => {
  it(`after ${rounds} times open, load, attach, close`, async () => {
    oneRound(0);
    // Events of tracepoints are closed up to half a second after they are detached.
    await new Promise(resolve => setTimeout(resolve, 1000));
    const before = { descriptors: openDescriptors(), threads: threads() };
    const held = { programs: [] as number[], maps: [] as number[] };
    for (let round = 0; round < rounds; round++) {
      oneRound(round);
      // The last thing in a round is closed, so what is held is looked at in a round of its own.
      if (round % 100 === 50) {
        const object = loadProbe(addon);
        const ids = heldIds();
        assert.ok(ids.programs.length >= object.stats().length && ids.maps.length > 5);
        held.programs.push(...ids.programs);
        held.maps.push(...ids.maps);
        object.close();
      }
    }
    assert.equal(await settle(openDescriptors, before.descriptors), before.descriptors);
    assert.equal(await settle(threads, before.threads), before.threads);
    assert.deepEqual(heldIds(), { programs: [], maps: [] });
    assert.deepEqual(await leftBehind(held), []);
  });

  it('after a worker is terminated in full flight', async () => {
    const count = { descriptors: 0, threads: 0 };
    for (let round = 0; round < 5; round++) {
      const worker = hold({ task: 'hold' });
      await once(worker, 'message');
      // Both readers' threads, the worker's and this one's, are at work when it ends.
      const ids = heldIds();
      assert.ok(ids.programs.length >= 4 && ids.maps.length > 5);
      await new Promise(resolve => setTimeout(resolve, 30));
      await worker.terminate();
      assert.deepEqual(heldIds(), { programs: [], maps: [] });
      assert.deepEqual(await leftBehind(ids), []);
      // The first worker brings threads and descriptors that Node keeps.
      if (round === 0) Object.assign(count, { descriptors: openDescriptors(), threads: threads() });
    }
    assert.ok((await settle(openDescriptors, count.descriptors)) <= count.descriptors);
    assert.ok((await settle(threads, count.threads)) <= count.threads);
  });

  it('after a process ends without closing anything, by itself or by kill -9', async () => {
    const text = `
      import { loadAddon } from '${root}agent/bpf/addon.ts'; import { loadProbe } from '${root}native/test/probe.ts';
      const addon = loadAddon(); const object = loadProbe(addon);
      for (const program of ['probe_raw', 'probe_btf', 'probe_tracepoint']) object.attach(program, { type: 'auto' });
      const reader = addon.createPerfReader({ intervalMs: 5, maxRecords: 64, maxBytes: 65536 }, () => {});
      reader.add(1, object, 'probe_events', 8);
      process.stdin.on('data', () => process.exit(7)); console.log('ready');`;
    for (const end of ['exit', 'kill'] as const) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', text], { stdio: ['pipe', 'pipe', 'inherit'] });
      await once(child.stdout, 'data');
      const ids = heldIds(child.pid);
      assert.ok(ids.programs.length >= 3);
      const exited = once(child, 'exit');
      if (end === 'kill') child.kill('SIGKILL');
      else child.stdin.write('x');
      assert.deepEqual(await exited, end === 'kill' ? [null, 'SIGKILL'] : [7, null]);
      assert.deepEqual(await leftBehind(ids), []);
    }
  });
});

describe('several threads at once', () => {
  it('each have an addon, objects and a reader of their own', async () => {
    const workers = Array.from({ length: 3 }, () => hold({ task: 'read', count: 3000 }));
    // Listened to from the start: a worker may be gone by the time that the answer of another is here.
    const ends = workers.map(worker => once(worker, 'exit'));
    const answers = await Promise.all(workers.map(async worker => (await once(worker, 'message'))[0] as Record<string, number>));
    await Promise.all(ends);
    for (const { seen = 0, received = 0, lost = 0 } of answers) {
      // At least its own events; those of the others as far as it was attached then.
      assert.ok(seen >= 3000 && seen <= 9000, `${seen} seen`);
      assert.equal(received + lost, seen);
    }
  });
});

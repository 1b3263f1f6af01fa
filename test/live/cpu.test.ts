/** Source cpu tells the truth: shares of known functions, threads by name, and samples that add up to the CPU time used. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { cpuKit } from '../../agent/sources/cpu/kit.ts';
import type { Sample, SourceKit } from '../../agent/sources/source.ts';
import { buildZoo, startAnimal } from '../zoo/zoo.ts';
import { accountedFor, isEmulated, runSource, type SourceRun } from './source-run.ts';

/** Enough samples in few seconds that chance moves a share of 60 % by less than a point; an emulated CPU would do little else. */
const hz = isEmulated ? 199 : 997;
const runSeconds = isEmulated ? 6 : 5;
/** An emulated CPU that does not get to run misses ticks, several in a row. */
const shareTolerance = isEmulated ? 0.15 : 0.02;
// An emulated clock loses ticks as it likes when its host is busy, so there only a total above what was used would be a fault.
const totalTolerance = isEmulated ? 0.99 : 0.05;

/** CPU time in nanoseconds of a process so far, by its threads' exact run times (schedstat: nanoseconds on the CPU). */
function cpuTimeNs(pid: number): number {
  const tids = readdirSync(`/proc/${pid}/task`);
  return tids.reduce((sum, tid) => sum + Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'latin1').split(' ')[0]), 0);
}

/** ktime, and the CPU time used up to then. */
function moment(pid: number): { timeNs: number; cpuNs: number } {
  return { timeNs: Number(process.hrtime.bigint()), cpuNs: cpuTimeNs(pid) };
}

/** Samples by the function that is innermost in user space, as far as it is one of the program's. */
async function leaves(run: SourceRun, pid: number, samples: readonly Sample[]): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  const ids = samples.map(sample =>
    sample.stack.user.length === 0 ? 0 : run.symbolizer.locate(pid, sample.stack.user, false)[0]!,
  );
  const distinct = [...new Set(ids)].filter(id => id !== 0);
  const frames = await run.symbolizer.describe(Uint32Array.from(distinct));
  const nameOf = new Map(frames.map(frame => [frame.id, frame.lines[0]?.name ?? '']));
  for (const id of ids) {
    const name = nameOf.get(id) ?? '';
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

function assertShare(counts: ReadonlyMap<string, number>, name: string, expected: number, tolerance: number): void {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const share = (counts.get(name) ?? 0) / total;
  assert.ok(Math.abs(share - expected) < tolerance, `${name} has ${share.toFixed(4)} of ${total} samples, not ${expected}`);
}

test('shares of functions and threads are those of the program, and the samples add up to its CPU time', async () => {
  const run = await runSource(cpuKit as unknown as SourceKit, { settings: { hz }, bufferPages: 128 });
  try {
    const animal = await startAnimal(await buildZoo('shares'), [String(runSeconds * 4), 'threads']);
    const before = moment(animal.pid);
    await new Promise(resolve => setTimeout(resolve, (runSeconds - 0.5) * 1000));
    const after = moment(animal.pid);
    await run.flush();
    const usedNs = after.cpuNs - before.cpuNs;
    const samples = run.samples.filter(
      ({ pid, timeNs }) => pid === animal.pid && timeNs >= before.timeNs && timeNs < after.timeNs,
    );
    const counts = await leaves(run, animal.pid, samples);
    animal.child.kill('SIGKILL');

    for (const [name, share] of [
      ['burn_sixty', 0.6],
      ['burn_twenty_five', 0.25],
      ['burn_ten', 0.1],
      ['burn_five', 0.05],
    ] as const) {
      assertShare(counts, name, share, shareTolerance);
    }
    assert.equal(new Set(samples.map(sample => sample.value)).size, 1, 'one period for all');
    assert.equal(samples[0]?.value, Math.floor(1e9 / hz));
    const sampledNs = samples.reduce((sum, sample) => sum + sample.value, 0);
    assert.ok(Math.abs(sampledNs / usedNs - 1) < totalTolerance, `${sampledNs / 1e9} s sampled of ${usedNs / 1e9} s used`);

    const byThread = new Map<string, number>();
    for (const sample of samples) byThread.set(sample.comm, (byThread.get(sample.comm) ?? 0) + 1);
    assert.deepEqual([...byThread.keys()].filter(name => name !== 'shares').sort(), ['shares-left', 'shares-right']);
    assert.ok(new Set(samples.map(sample => sample.tid)).size >= 2);
  } finally {
    const counts = await run.stop();
    assert.equal(run.malformed(), 0);
    assert.ok((counts.seen ?? 0) > 0);
    assert.equal(counts.seen, accountedFor(counts));
    assert.equal(counts.emitted, run.received());
  }
});

test('time in the kernel is seen there, below the call that leads to it', async () => {
  const run = await runSource(cpuKit as unknown as SourceKit, { settings: { hz } });
  try {
    const animal = await startAnimal(await buildZoo('ddloop'), ['2']);
    await animal.output;
    await run.flush();
    const samples = run.samples.filter(sample => sample.pid === animal.pid);
    const inKernel = samples.filter(sample => sample.stack.kernel.length > 0);
    assert.ok(inKernel.length > samples.length / 2, `${inKernel.length} of ${samples.length} samples are in the kernel`);
    const names = new Set<string>();
    for (const sample of inKernel) {
      const ids = run.symbolizer.locate(sample.pid, sample.stack.kernel, true);
      for (const frame of await run.symbolizer.describe(ids)) names.add(frame.lines[0]?.name ?? '');
    }
    assert.ok(
      names.has('ksys_read') || names.has('ksys_write') || names.has('vfs_read') || names.has('vfs_write'),
      [...names].slice(0, 50).join(' '),
    );
  } finally {
    await run.stop();
  }
});

test('the frequency changes while it runs, and bad ones are refused', async () => {
  const run = await runSource(cpuKit as unknown as SourceKit, { settings: { hz: 100 } });
  try {
    const animal = await startAnimal(await buildZoo('shares'), ['10']);
    run.running.update({ hz: 1000 });
    const before = moment(animal.pid);
    await new Promise(resolve => setTimeout(resolve, 2000));
    const after = moment(animal.pid);
    animal.child.kill('SIGKILL');
    await run.flush();
    const samples = run.samples.filter(
      ({ pid, timeNs }) => pid === animal.pid && timeNs >= before.timeNs && timeNs < after.timeNs,
    );
    const rateHz = samples.length / ((after.cpuNs - before.cpuNs) / 1e9);
    assert.ok(rateHz > (isEmulated ? 1 : 900) && rateHz < 1100, `${rateHz} samples per second of CPU time at 1000 Hz`);
    assert.deepEqual([...new Set(samples.map(sample => sample.value))], [1e6]);
    for (const bad of [0, 10_001, -1]) assert.throws(() => run.running.update({ hz: bad }), RangeError);
  } finally {
    await run.stop();
  }
});

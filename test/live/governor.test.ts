/**
 * The budget: totals of known programs stay right at every step short of a pause, what was asked for comes back exactly, and a pipeline
 * that is over its budget climbs the steps by itself, says so, and gives all back when it may.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { loadAddon } from '../../agent/bpf/addon.ts';
import { budgetSteps } from '../../agent/budget-steps.ts';
import { Capture } from '../../agent/capture.ts';
import { Pipeline } from '../../agent/pipeline.ts';
import { ProgramMeter } from '../../agent/program-meter.ts';
import { SourceControl } from '../../agent/source-control.ts';
import type { Sample } from '../../agent/sources/source.ts';
import { openStoreReader } from '../../agent/store/reader.ts';
import { openStoreWriter } from '../../agent/store/writer.ts';
import { buildZoo, startAnimal } from '../zoo/zoo.ts';
import { eventually } from './agent.ts';
import { isEmulated, projectDir } from './source-run.ts';

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'hotspan-governor-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** The steps before the first pause. */
const settingSteps = budgetSteps.findIndex(step => 'isPause' in step);
const objectDir = join(projectDir, '.build/bpf');
/** Of elapsed time. */
const tolerance = isEmulated ? 0.05 : 0.01;
/** Of a sampled time: four times what chance makes of it where a thread has the CPU for a part of the time, and a sample at each end. */
const samplingSlack = (onCpuNs: number, elapsedNs: number, periodNs: number): number => {
  const share = Math.min(1, onCpuNs / elapsedNs);
  return periodNs * (4 * Math.sqrt((elapsedNs / periodNs) * share * (1 - share)) + 2);
};
/** A thread's first and last moments are in its own figures or not; each may be a wait until all who want the CPU had a turn. */
const turnNs = 3e6;

interface Observed {
  readonly sources: SourceControl;
  readonly capture: Capture;
  readonly samples: Sample[];
}

async function withSources(work: (observed: Observed) => Promise<void>): Promise<void> {
  const samples: Sample[] = [];
  const native = loadAddon();
  const nothing = (): void => {};
  const capture = new Capture({
    native,
    objectDir,
    ownPid: process.pid,
    output: {
      frame: nothing,
      sample: (_source, sample) => void samples.push(sample),
      span: nothing,
      processStarted: nothing,
      processExited: nothing,
    },
  });
  const collect = (): void => capture.expire(Number(native.clockPair().monotonicNs));
  const timer = setInterval(collect, 1000);
  const warn = (message: string): void => assert.fail(message);
  const meter = new ProgramMeter(capture, native);
  try {
    await work({ capture, samples, sources: new SourceControl({ capture, meter, counts: () => ({}), warn }) });
  } finally {
    clearInterval(timer);
    await capture.close();
  }
}

/** Runs a program of waits.c and gives its one thread's own figures. */
async function waits(program: string): Promise<{ tid: number; onCpuNs: number; elapsedNs: number }> {
  const { stdout } = await run(await buildZoo('waits'), [program, '3']);
  const [, tid = 0, onCpuNs = 0, , elapsedNs = 0] = stdout.trim().split(' ').map(Number);
  return { tid, onCpuNs, elapsedNs };
}

function total(samples: readonly Sample[], profileType: string, tid: number): number {
  return samples
    .filter(sample => sample.profileType === profileType && sample.tid === tid)
    .reduce((sum, { value }) => sum + value, 0);
}

for (const level of [0, settingSteps]) {
  test(`with ${level} steps in force the totals are those of the programs`, async t => {
    await withSources(async ({ capture, samples, sources }) => {
      const animal = await startAnimal(await buildZoo('filecalls'), [folder, '40', '400', '10']);
      await sources.start('cpu', {});
      await sources.start('sched', {});
      await sources.start('file', { pid: animal.pid });
      await sources.hold(level);
      process.kill(animal.pid, 'SIGUSR1');
      const calls = (await animal.output).split('\n').map(line => line.split(' ')[0]);
      const mixture = await waits('mixture');
      const spin = await waits('spin');
      for (const { operation, calls: counted } of capture.running('file')?.running.sums() ?? []) {
        assert.equal(counted, calls.filter(call => call === operation).length, operation);
      }
      for (const name of capture.runningNames()) await capture.stop(name);
      await capture.flush();
      for (const { tid, elapsedNs } of [mixture, spin]) {
        const told = total(samples, 'threads', tid);
        const slack = tolerance * elapsedNs + 2 * turnNs * Math.max(1, loadavg()[0] ?? 0);
        assert.ok(Math.abs(told - elapsedNs) < slack, `${told} of ${elapsedNs} ns elapsed`);
      }
      // By the clock, as samples are taken by it: the kernel's own figure leaves out what a hypervisor took.
      const onCpu = total(
        samples.filter(({ mark }) => mark?.name === 'on CPU'),
        'threads',
        spin.tid,
      );
      const sampled = total(samples, 'cpu', spin.tid);
      t.diagnostic(`on CPU: sampled ${sampled}, by the switches ${onCpu}, by the kernel ${spin.onCpuNs} ns`);
      const periodNs = 1e9 / (level === 0 ? 99 : 19);
      const slack = samplingSlack(onCpu, spin.elapsedNs, periodNs);
      assert.ok(Math.abs(sampled - onCpu) < slack, `${sampled} of ${onCpu} ns on CPU, give or take ${slack}`);
      const mine = samples.filter(({ profileType, tid }) => profileType === 'cpu' && tid === spin.tid);
      const weights = new Set(mine.map(({ value }) => value));
      assert.deepEqual([...weights], [Math.floor(periodNs)], 'each sample weighs its own period');
    });
  });
}

test('what the kernel takes to call programs is measured, and the system calls that pay for it are counted', async t => {
  const native = loadAddon();
  const cost = await native.measureDispatch();
  t.diagnostic(JSON.stringify(cost));
  assert.ok(cost.tracepointNs > 0 && cost.rawNs > 0, JSON.stringify(cost));
  const statistics = native.enableProgramStats();
  try {
    const link = native.countSystemCalls();
    for (let i = 0; i < 5000; i += 1) statSync(folder);
    const counted = native.systemCallsCounted();
    link.detach();
    assert.ok(counted >= 5000, `${counted} of at least 5000`);
    assert.equal(native.systemCallsCounted(), 0);
  } finally {
    statistics.detach();
  }
});

test('what people set stays theirs: it is never exceeded, and comes back exactly', async () => {
  await withSources(async ({ capture, sources }) => {
    await sources.start('cpu', { hz: 29 });
    await sources.start('file', { min: 2000 });
    await sources.start('sched', {});
    const settings = () => ['cpu', 'file', 'sched'].map(name => sources.state(name as 'cpu').settings);
    const before = structuredClone(settings());
    await sources.hold(budgetSteps.findIndex(step => step.source === 'cpu') + 1);
    assert.deepEqual(sources.differences('cpu'), [], '29 Hz are below the 49 of the step');
    assert.deepEqual(sources.differences('file'), []);
    await sources.hold(settingSteps);
    assert.match(sources.state('cpu').message, /^held back to keep the CPU budget: hz 19 Hz instead of 29$/);
    assert.match(sources.state('file').message, /min 5000 us instead of 2000$/);
    assert.deepEqual(settings(), before, 'settings tell what was asked for');
    await sources.update('cpu', { hz: 39 });
    assert.match(sources.state('cpu').message, /hz 19 Hz instead of 39$/);
    await sources.hold(budgetSteps.length);
    assert.deepEqual(capture.runningNames(), ['cpu']);
    assert.match(sources.state('sched').message, /^paused to keep the CPU budget/);
    await sources.stop('sched');
    await sources.hold(0);
    assert.deepEqual(capture.runningNames().sort(), ['cpu', 'file'], 'what was stopped meanwhile stays so');
    assert.deepEqual(
      ['cpu', 'file'].flatMap(name => sources.differences(name as 'cpu')),
      [],
    );
    assert.deepEqual(sources.state('cpu').settings, { hz: 39 });
    assert.equal(sources.state('cpu').message, '');
  });
});

test('over its budget a pipeline climbs the steps by itself, and tells of it; without one it gives all back', async () => {
  const path = join(folder, 'hotspan.db');
  const pipeline = new Pipeline({
    ...{ native: loadAddon(), store: openStoreWriter({ path }), objectDir, ownPid: process.pid },
    ...{ hasJvmPerfMaps: false, budget: 1e-5, quietMs: 0, warn: (message: string) => assert.fail(message) },
  });
  try {
    for (const name of ['cpu', 'file', 'sched'] as const) await pipeline.startSource(name, {});
    pipeline.begin();
    const state = () => pipeline.status().governor;
    const limits = () => state().limits.map(({ source, setting, inForce }) => `${source} ${setting} ${inForce}`);
    await eventually(
      'all steps but pauses',
      isEmulated ? 60_000 : 20_000,
      async () => limits().includes('cpu hz 19') || undefined,
    );
    // Paused are only those whose programs cost something here; the others are held back as far as it goes.
    const held = { file: ['file min 5000'], sched: ['sched floor 10000', 'sched stacks 0'] };
    for (const [name, wanted] of Object.entries(held)) {
      // The sources follow one after the other.
      await eventually(`${name} is paused, or held back as ${wanted}`, isEmulated ? 20_000 : 5000, async () => {
        const isPaused = state().paused.includes(name);
        const isHeld = wanted.every(limit => limits().includes(limit) !== isPaused);
        const { message } = pipeline.sourceState(name as 'file');
        return (isHeld && (isPaused ? /^paused to keep/ : /^held back to keep/).test(message)) || undefined;
      });
    }
    await eventually('a second of it is told', 5000, async () => state().secondsHeldBack > 0 || undefined);
    pipeline.setBudget(0);
    await eventually('all is given back', 5000, async () => (state().level === 0 && state().limits.length === 0) || undefined);
    await eventually(
      'all run',
      10_000,
      async () => pipeline.sourceStates().filter(({ state: now }) => now === 'running').length === 3 || undefined,
    );
    assert.equal(pipeline.sourceState('cpu').message, '');
    await pipeline.sync();
  } finally {
    await pipeline.close();
  }
  const reader = openStoreReader(path);
  try {
    const { other } = reader.ledger({ fromMs: Date.now() - 600_000, toMs: Date.now() + 60_000 });
    const stages = new Map(other.filter(({ source }) => source === 'governor').map(({ stage, count }) => [stage, count]));
    for (const stage of ['steps_up', 'steps_down', 'seconds_held_back']) {
      assert.ok((stages.get(stage) ?? 0) > 0, `${stage} of ${JSON.stringify([...stages])}`);
    }
    assert.equal(stages.get('steps_up'), stages.get('steps_down'));
  } finally {
    reader.close();
  }
});

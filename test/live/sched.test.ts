/**
 * Source sched against programs whose wall-clock is known by construction: every nanosecond of every thread is accounted for, under
 * the right cause, and who woke whom is right.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { loadavg } from 'node:os';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { kits } from '../../agent/sources/index.ts';
import type { OperationSums, Sample } from '../../agent/sources/source.ts';
import { buildZoo } from '../zoo/zoo.ts';
import { isEmulated, runSource, type SourceRun } from './source-run.ts';

const run = promisify(execFile);
const seconds = isEmulated ? 4 : 3;
/** Of elapsed time. */
const tolerance = isEmulated ? 0.05 : 0.01;
/**
 * A thread's first and last moments, in which it is made and ends, are in the sums and not in its own figures. Each may be a wait for
 * the CPU, as long as it takes all who want it to have a turn.
 */
const turnNs = 3e6;
/** From the begin of a wake-up, where ours starts, to the place in the queue, where the kernel's own figure does. */
const wakeUpNs = 500;

interface ThreadReport {
  readonly name: string;
  readonly tid: number;
  readonly onCpuNs: number;
  readonly runnableNs: number;
  readonly elapsedNs: number;
}

interface Observed {
  readonly reports: ThreadReport[];
  readonly samples: readonly Sample[];
}

/**
 * Those that run at the same time: what truth they are held to is counted for each of their threads. Those that wait most of their
 * time do not mind each other, and two that spin have a CPU each.
 */
const companies: readonly (readonly string[])[] = [
  ['sleep', 'lock', 'loopback', 'mixture'],
  ['spin', 'touch'],
];

/** By company: one run serves all tests that look at one of its programs. */
const observed = new Map<string, Promise<ReadonlyMap<string, Observed>>>();
let shared: SourceRun | undefined;
after(() => shared?.stop());

async function observe(program: string): Promise<Observed> {
  const company = companies.find(names => names.includes(program)) ?? [program];
  const running = observed.get(company.join()) ?? observeTogether(company);
  observed.set(company.join(), running);
  const found = (await running).get(program);
  assert.ok(found !== undefined && found.reports.length > 0, `threads of ${program}`);
  return found;
}

async function observeTogether(company: readonly string[]): Promise<ReadonlyMap<string, Observed>> {
  const binary = await buildZoo('waits');
  // One start serves all: a kernel checks the programs of this source for a second, an emulated one for many.
  shared ??= await runSource(kits.sched);
  const source = shared;
  const runs = company.map(program => run(binary, [program, String(seconds)], { cwd: process.cwd() }));
  const outputs = await collecting(source, Promise.all(runs));
  await source.flush();
  source.collect();
  source.collect();
  assert.equal(source.running.counts().inflight_full, 0, 'the maps had room');
  const { samples } = source;
  return new Map(company.map((program, i) => [program, { reports: reportsOf(outputs[i]!.stdout), samples }]));
}

async function collecting<T>(source: SourceRun, work: Promise<T>): Promise<T> {
  const timer = setInterval(() => source.collect(), 1000);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}

function reportsOf(text: string): ThreadReport[] {
  return text
    .trim()
    .split('\n')
    .map(line => {
      const [name = '', ...numbers] = line.split(' ');
      const [tid = 0, onCpuNs = 0, runnableNs = 0, elapsedNs = 0] = numbers.map(Number);
      return { name, tid, onCpuNs, runnableNs, elapsedNs };
    });
}

/** Nanoseconds by mark of one thread in one profile type. */
function byMark(samples: readonly Sample[], type: string, tid: number): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { profileType, tid: owner, mark, value } of samples) {
    if (profileType !== type || owner !== tid || mark === undefined) continue;
    sums.set(mark.name, (sums.get(mark.name) ?? 0) + value);
  }
  return sums;
}

function total(sums: ReadonlyMap<string, number>, prefix = ''): number {
  let sum = 0;
  for (const [name, value] of sums) if (name.startsWith(prefix)) sum += value;
  return sum;
}

function assertNear(actual: number, expected: number, slack: number, what: string): void {
  assert.ok(
    Math.abs(actual - expected) <= slack,
    `${what}: ${(actual / 1e6).toFixed(1)} ms of ${(expected / 1e6).toFixed(1)} ms`,
  );
}

/**
 * The kernel saves itself a look at the clock between a wake-up and the switch that it leads to (wakeup_preempt in
 * kernel/sched/core.c), and so counts as time on CPU what a woken thread waits while an idle CPU comes back. Here it waits. And what
 * a wake-up of an idle CPU takes on its way there counts here as a wait, there as sleep.
 */
function assertCpuTimes(
  { name, onCpuNs, runnableNs }: ThreadReport,
  sums: ReadonlyMap<string, number>,
  { slackNs, waits }: { slackNs: number; waits: number },
): void {
  const onCpu = total(sums, 'on CPU');
  const woken = total(sums, 'runnable: woken') + total(sums, 'runnable: short waits') + total(sums, 'unknown');
  const runnable = total(sums, 'runnable');
  assert.ok(onCpu <= onCpuNs + slackNs, `${name} on CPU: ${onCpu} of ${onCpuNs} ns`);
  assert.ok(onCpu + woken + waits * wakeUpNs >= onCpuNs - slackNs, `${name} on CPU and woken: ${onCpu + woken} of ${onCpuNs} ns`);
  const [mine, kernels] = [onCpu + runnable + total(sums, 'unknown'), onCpuNs + runnableNs];
  assert.ok(mine >= kernels - slackNs - waits * wakeUpNs, `${name} on CPU and runnable: ${mine} of ${kernels} ns`);
}

/** The histograms of a program that sleeps for 10 ms at a time, watched alone from soon after its start. */
async function latenciesOfSleeper(): Promise<{ sums: readonly OperationSums[]; counted: number }> {
  const binary = await buildZoo('waits');
  const source = await runSource(kits.sched);
  try {
    const sleeper = run(binary, ['sleep', String(seconds)]);
    await source.running.update({ pid: sleeper.child.pid ?? 0 });
    const [report] = reportsOf((await sleeper).stdout);
    await source.flush();
    source.collect();
    source.collect();
    const sleeps = source.samples.filter(
      ({ profileType, tid, mark }) => profileType === 'offcpu' && tid === report?.tid && mark?.name === 'blocked: sleep',
    );
    return { sums: source.running.sums(), counted: sleeps.reduce((all, { count = 0 }) => all + count, 0) };
  } finally {
    await source.stop();
  }
}

test('histograms count every wait, by what the thread slept in and how long', async () => {
  const { sums, counted } = await latenciesOfSleeper();
  const sleep = sums.find(({ operation }) => operation === 'blocked: sleep');
  assert.ok(sleep !== undefined && counted > 50, `${counted} sleeps`);
  // Those before the source was told which process it is are in the samples alone.
  assert.ok(sleep.calls <= counted && sleep.calls >= 0.9 * counted, `${sleep.calls} of ${counted} sleeps`);
  const long = sleep.buckets.slice(23).reduce((all, count) => all + count, 0);
  // 2^23 ns are 8.4 ms. A thread that was kept from sleeping after it had set its timer sleeps shorter.
  assert.ok(long >= 0.95 * sleep.calls, `of about 10 ms and more: ${sleep.buckets.join()}`);
  const woken = sums.find(({ operation }) => operation === 'run queue: woken');
  assert.ok(woken !== undefined && woken.calls >= sleep.calls - 1, `${woken?.calls} times woken after ${sleep.calls} sleeps`);
});

/** By program: the cause under which its blocked time stands, and which share of it at least. */
const programs: Readonly<Record<string, { causes: readonly string[]; share: number }>> = {
  spin: { causes: [], share: 0 },
  sleep: { causes: ['blocked: sleep'], share: 0.97 },
  lock: { causes: ['blocked: lock', 'blocked: sleep'], share: 0.97 },
  pipe: { causes: ['blocked: pipe', 'blocked: short waits'], share: 0.97 },
  direct: { causes: ['blocked: disk', 'blocked: short waits'], share: 0.97 },
  fsync: { causes: ['blocked: file system', 'blocked: disk'], share: 0.97 },
  touch: { causes: [], share: 0 },
  loopback: { causes: ['blocked: network receive', 'blocked: sleep', 'blocked: idle'], share: 0.97 },
  crowd: { causes: [], share: 0 },
  mixture: { causes: ['blocked: sleep'], share: 0.97 },
};

/** What a VM of the matrix writes lies in memory: it has no disk to wait for. */
const needsDisk: ReadonlySet<string> = new Set(['direct', 'fsync']);

for (const [program, { causes, share }] of Object.entries(programs)) {
  if (isEmulated && needsDisk.has(program)) continue;
  test(`${program}: on CPU + runnable + blocked = elapsed, each as the kernel and the program count it`, async t => {
    const { reports, samples } = await observe(program);
    for (const report of reports) {
      const sums = byMark(samples, 'threads', report.tid);
      const slack = tolerance * report.elapsedNs + 2 * turnNs * Math.max(1, loadavg()[0] ?? 0);
      const wakeUps = samples.filter(sample => sample.profileType === 'runq' && sample.tid === report.tid);
      const waits = wakeUps.reduce((sum, { count = 0 }) => sum + count, 0);
      t.diagnostic(
        `${waits} waits for the CPU; kernel ${(report.onCpuNs / 1e6).toFixed(1)} and ${(report.runnableNs / 1e6).toFixed(1)}; ${report.name}: ${[...sums].map(([name, ns]) => `${name} ${(ns / 1e6).toFixed(1)}`).join(', ')}; elapsed ${(report.elapsedNs / 1e6).toFixed(1)} ms`,
      );
      assertNear(total(sums), report.elapsedNs, slack, `${report.name} in all`);
      assertCpuTimes(report, sums, { slackNs: slack, waits });
      const blocked = total(sums, 'blocked');
      const expected = causes.reduce((sum, cause) => sum + (sums.get(cause) ?? 0), 0);
      if (causes.length > 0) assert.ok(expected >= share * blocked, `${report.name}: ${expected} of ${blocked} ns blocked`);
      const short = sums.get('blocked: short waits') ?? 0;
      assertNear(total(byMark(samples, 'offcpu', report.tid)), blocked - short, slack, `${report.name}'s stacks of blocked time`);
    }
  });
}

test('two threads that wake each other: at least 99 % of wake-ups name the other one, and its stack', async () => {
  const { reports, samples } = await observe('pipe');
  const tids = new Set(reports.map(report => report.tid));
  let wakeups = 0;
  let right = 0;
  let withStack = 0;
  for (const { profileType, tid, count = 0, mark } of samples) {
    if (profileType !== 'offcpu' || !tids.has(tid) || mark?.name !== 'blocked: pipe') continue;
    wakeups += count;
  }
  for (const { profileType, tid, count = 0, mark, waker } of samples) {
    if (profileType !== 'wakeup' || !tids.has(tid) || mark?.name !== 'blocked: pipe') continue;
    const other = reports.find(report => report.tid !== tid);
    if (waker?.name === other?.name) right += count;
    if ((waker?.stack.user.length ?? 0) > 0) withStack += count;
  }
  assert.ok(wakeups > 1000, `only ${wakeups} wake-ups`);
  assert.ok(right >= 0.99 * wakeups, `${right} of ${wakeups} name the right waker`);
  assert.ok(withStack >= 0.99 * wakeups, `${withStack} of ${wakeups} have its stack`);
});

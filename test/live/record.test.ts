/** Profiles are true: known shares of CPU come out, in every format alike, and the total is samples times period. */

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import type { ProfileResult } from '../../agent/server/api.ts';
import { buildZoo, startAnimal } from '../zoo/zoo.ts';
import { eventually, source, startAgent } from './agent.ts';

const run = promisify(execFile);
const launcher = join(import.meta.dirname, '../../scripts/hotspan');
const folder = mkdtempSync(join(tmpdir(), 'hotspan-record-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const expected: Readonly<Record<string, number>> = { burn_sixty: 60, burn_twenty_five: 25, burn_ten: 10, burn_five: 5 };

/**
 * 4,999 Hz for 20 s give up to 99,980 samples, on a busy host far fewer: with 15,000 the standard deviation of the largest
 * share is 0.40 points, so 2 points are five of them and a false alarm is rarer than one in a million.
 */
const hz = 4999;
const minSamples = 15_000;
const tolerancePoints = 2;

/** Self value by function from folded text: the last frame of each line has the line's value. */
function selfOfFolded(text: string): Map<string, number> {
  const self = new Map<string, number>();
  for (const line of text.split('\n').filter(candidate => candidate !== '')) {
    const space = line.lastIndexOf(' ');
    const frame = line.slice(line.lastIndexOf(';', space) + 1, space);
    self.set(frame, (self.get(frame) ?? 0) + Number(line.slice(space + 1)));
  }
  return self;
}

/** Flat value by function from `go tool pprof -top`, in nanoseconds. */
function flatOfPprof(path: string): Map<string, number> {
  const text = execFileSync(
    'go',
    ['tool', 'pprof', '-top', '-unit=ns', '-nodefraction=0', '-edgefraction=0', '-nodecount=100000', path],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  const flat = new Map<string, number>();
  for (const line of text.split('\n')) {
    const fields = /^ *([0-9.]+)(?:ns)? +[0-9.]+% +[0-9.]+% +[0-9.]+(?:ns)? +[0-9.]+% +(.+?)(?: \(inline\))?$/.exec(line);
    if (fields !== null && Number(fields[1]) > 0)
      flat.set(fields[2] as string, Number(fields[1]) + (flat.get(fields[2] as string) ?? 0));
  }
  return flat;
}

function selfOfSpeedscope(text: string): Map<string, number> {
  const file = JSON.parse(text) as {
    shared: { frames: { name: string }[] };
    profiles: { samples: number[][]; weights: number[] }[];
  };
  const self = new Map<string, number>();
  for (const { samples, weights } of file.profiles) {
    for (const [i, stack] of samples.entries()) {
      const name = file.shared.frames[stack.at(-1) ?? -1]?.name ?? '';
      self.set(name, (self.get(name) ?? 0) + (weights[i] ?? 0));
    }
  }
  return self;
}

function selfOfJson(profile: ProfileResult): Map<string, number> {
  const self = new Map<string, number>();
  for (const [node, value] of profile.self.entries()) {
    if (value === 0) continue;
    const name = profile.functions.name[profile.fn[node] as number] as string;
    self.set(name, (self.get(name) ?? 0) + value);
  }
  return self;
}

/** Share in percent of the stacks that run through a function, what interrupts it included. */
function shareThrough(folded: string, name: string): number {
  let total = 0;
  let through = 0;
  for (const line of folded.trim().split('\n')) {
    const space = line.lastIndexOf(' ');
    const value = Number(line.slice(space + 1));
    total += value;
    if (line.slice(0, space).split(';').includes(name)) through += value;
  }
  return (100 * through) / total;
}

const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);

test('record: known shares within the bound, three formats alike, total = samples x period', async () => {
  const animal = await startAnimal(await buildZoo('shares'), ['26']);
  const path = (suffix: string) => join(folder, `shares${suffix}`);
  const { stderr } = await run(launcher, [
    ...['record', '--duration', '20s', '--hz', String(hz), '--pid', String(animal.pid)],
    ...['-o', path('.pb.gz'), '-o', path('.folded'), '-o', path('.speedscope.json')],
  ]);
  animal.child.kill();
  const folded = readFileSync(path('.folded'), 'utf8');
  const samples = Number(/^([\d,]+) samples/.exec(stderr)?.[1]?.replaceAll(',', ''));
  assert.ok(samples >= minSamples, `${samples} samples: too few to judge shares`);
  for (const [name, share] of Object.entries(expected)) {
    const found = shareThrough(folded, name);
    assert.ok(
      Math.abs(found - share) <= tolerancePoints,
      `${name} has ${found.toFixed(2)} % of ${samples} samples, not ${share} %`,
    );
  }
  const self = selfOfFolded(folded);
  const total = sum(self.values());
  assert.ok(
    Math.abs(total - samples * (1e9 / hz)) <= 0.01 * total,
    `total ${total} ns is not ${samples} samples of ${1e9 / hz} ns`,
  );
  const flat = flatOfPprof(path('.pb.gz'));
  for (const name of Object.keys(expected)) assert.equal(flat.get(name), self.get(name), `pprof and folded agree on ${name}`);
  assert.equal(sum(flat.values()), total);
  const speedscope = selfOfSpeedscope(readFileSync(path('.speedscope.json'), 'utf8'));
  assert.deepEqual([...speedscope].sort(), [...self].sort());
});

test('the running agent: JSON of the UI, pprof, folded and speedscope agree exactly; threads and kernel time are told apart', async () => {
  // Ten times the default rate, so that some seconds are enough on a busy host too.
  const agent = await startAgent({ env: { HOTSPAN_SOURCES_CPU_HZ: '999' } });
  try {
    const shares = await startAnimal(await buildZoo('shares'), ['120', 'threads']);
    const dd = await startAnimal(await buildZoo('ddloop'), ['120']);
    const query = (pid: number, extra = '') =>
      `type=cpu&from=${fromMs}&to=${toMs}&minShare=0&filter=${encodeURIComponent(`pid=${pid}${extra}`)}`;
    const fromMs = Date.now();
    const samplesOf = async (pid: number) =>
      (await agent.get<ProfileResult>(`/api/v1/profile?type=cpu&from=${fromMs}&to=now&filter=pid%3D${pid}`)).samples;
    await eventually('enough samples of both programs', 110_000, async () =>
      (await samplesOf(shares.pid)) > 1500 && (await samplesOf(dd.pid)) > 500 ? true : undefined,
    );
    // Stopped and named, so that every question is answered from the same samples.
    await agent.post('/api/v1/sources/cpu/stop');
    await eventually('all samples are stored', 30_000, async () =>
      (await source(agent, 'cpu')).counts.inFlight === 0 ? true : undefined,
    );
    const toMs = Date.now();

    const json = await agent.get<ProfileResult>(`/api/v1/profile?${query(shares.pid)}`);
    const folded = selfOfFolded(await agent.text(`/api/v1/profile?${query(shares.pid)}&format=folded`));
    const pprofPath = join(folder, 'agent.pb.gz');
    const response = await fetch(`${agent.url}/api/v1/profile?${query(shares.pid)}&format=pprof`);
    const { writeFileSync } = await import('node:fs');
    writeFileSync(pprofPath, Buffer.from(await response.arrayBuffer()));
    const speedscope = selfOfSpeedscope(await agent.text(`/api/v1/profile?${query(shares.pid)}&format=speedscope`));
    const fromJson = selfOfJson(json);
    assert.ok(json.samples > 200, `${json.samples} samples`);
    assert.equal(sum(fromJson.values()), json.total);
    assert.deepEqual([...fromJson].sort(), [...folded].sort());
    assert.deepEqual([...fromJson].sort(), [...speedscope].sort());
    const flat = flatOfPprof(pprofPath);
    for (const name of Object.keys(expected)) assert.equal(flat.get(name), fromJson.get(name), name);
    assert.equal(sum(flat.values()), json.total);

    const threads: number[] = [];
    for (const thread of ['shares-left', 'shares-right']) {
      const own = await agent.text(`/api/v1/profile?${query(shares.pid, ` thread=${thread}`)}&format=folded`);
      assert.ok(shareThrough(own, 'run_worker') > 90, `${thread} does its own work`);
      threads.push(sum(selfOfFolded(own).values()));
    }
    assert.ok((threads[0] as number) > (threads[1] as number), 'the left thread works twice as much as the right one');
    // The rest is the main thread's calibration, and what ran under the old name between fork and exec.
    const others = `${query(shares.pid, ' thread!=shares-left thread!=shares-right')}&format=folded`;
    const rest = sum(selfOfFolded(await agent.text(`/api/v1/profile?${others}`)).values());
    assert.equal(sum(threads) + rest, json.total, 'the threads are all there is');
    const kernel = await agent.text(`/api/v1/profile?${query(dd.pid)}&format=folded`);
    // libc's read keeps no frame pointer, so its caller (copy_blocks) is passed over; main, which called that, is not.
    assert.ok(shareThrough(kernel, 'main') > 80, 'the loop is found');
    const inRead = kernel.split('\n').filter(line => /;read(;|_)|;__x64_sys_read;|;ksys_read;|;vfs_read;/.test(line));
    const kernelShare =
      sum(inRead.map(line => Number(line.slice(line.lastIndexOf(' ') + 1)))) / sum(selfOfFolded(kernel).values());
    assert.ok(kernelShare > 0.5, `${(100 * kernelShare).toFixed(0)} % of the copying loop is under the read system call`);
    shares.child.kill();
    dd.child.kill();
  } finally {
    await agent.stop();
  }
});

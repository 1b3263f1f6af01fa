/**
 * Source fault against a program that touches memory of each class: as many faults as the kernel counts for the process, and as much
 * resident memory as it has at the end, by the function that brought it.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { loadAddon } from '../../agent/bpf/addon.ts';
import { kits } from '../../agent/sources/index.ts';
import type { Sample } from '../../agent/sources/source.ts';
import { buildZoo } from '../zoo/zoo.ts';
import { runSource, type SourceRun } from './source-run.ts';

const mib = 1 << 20;

interface Observed {
  readonly pid: number;
  readonly minor: number;
  readonly major: number;
  /** VmRSS in bytes when all had been touched, and the samples up to then. */
  readonly residentBytes: number;
  readonly early: readonly Sample[];
  readonly samples: readonly Sample[];
  /** Function names of a sample's stack, inlined ones included, leaf first. */
  namesOf(sample: Sample): readonly string[];
}

async function drain(source: SourceRun): Promise<void> {
  await source.flush();
  source.collect();
  source.collect();
}

function ofProcess(source: SourceRun, pid: number): Sample[] {
  return source.samples.filter(sample => sample.pid === pid);
}

async function namesBy(source: SourceRun, samples: readonly Sample[]): Promise<Map<Sample, string[]>> {
  const ids = samples.map(({ pid, stack }) => [
    ...source.symbolizer.locate(pid, stack.kernel, true),
    ...source.symbolizer.locate(pid, stack.user, false),
  ]);
  const named = new Map<number, string[]>();
  for (const { id, lines } of await source.symbolizer.describe(Uint32Array.from(new Set(ids.flat())))) {
    named.set(
      id,
      lines.map(({ name }) => name),
    );
  }
  return new Map(samples.map((sample, i) => [sample, (ids[i] ?? []).flatMap(id => named.get(id) ?? [])]));
}

/** From before the program starts until after its end. */
async function observe(say: (text: string) => void): Promise<Observed> {
  const binary = await buildZoo('faults');
  const stats = loadAddon().enableProgramStats();
  const source = await runSource(kits.fault);
  try {
    const child = spawn(binary, [], { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = new Promise<number | null>(resolve => child.on('close', resolve));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async (): Promise<string> => (await lines.next()).value ?? '';
    const pid = Number(await next());
    assert.equal(await next(), 'ready');
    await drain(source);
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const residentBytes = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
    const early = ofProcess(source, pid);
    const names = await namesBy(source, early);
    child.stdin.end();
    const [minor = 0, major = 0] = (await next()).split(' ').map(Number);
    assert.equal(await ended, 0);
    await drain(source);
    for (const { name, runCount, runTimeNs } of source.running.programs()) {
      if (runCount > 0) say(`${name}: ${runCount} runs, ${(runTimeNs / runCount).toFixed(0)} ns each`);
    }
    const counts = await source.stop();
    assert.equal(counts.inflight_full, 0, 'the maps had room');
    const samples = ofProcess(source, pid);
    return { pid, minor, major, residentBytes, early, samples, namesOf: sample => names.get(sample) ?? [] };
  } finally {
    await source.stop();
    stats.detach();
  }
}

function sum(samples: readonly Sample[], isWanted: (sample: Sample) => boolean): number {
  return samples.reduce((total, sample) => total + (isWanted(sample) ? sample.value : 0), 0);
}

function netBytes(samples: readonly Sample[]): number {
  return (
    sum(samples, ({ profileType }) => profileType === 'rss-growth') -
    sum(samples, ({ profileType }) => profileType === 'rss-released')
  );
}

function by(samples: readonly Sample[], type: string, keyOf: (sample: Sample) => string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const sample of samples) {
    if (sample.profileType === type) sums.set(keyOf(sample), (sums.get(keyOf(sample)) ?? 0) + sample.value);
  }
  return sums;
}

/** Of values that a function made, whatever it called. */
function within(observed: Observed, type: string, fn: string): number {
  return sum(observed.early, sample => sample.profileType === type && observed.namesOf(sample).includes(fn));
}

/** Pages that are written and bytes that they add, by function; what is not written page by page has no number of faults. */
const functions: Readonly<Record<string, { faults?: number; growth: number }>> = {
  touch_anonymous: { faults: 8192, growth: 32 * mib },
  touch_zeros: { faults: 1024, growth: 0 },
  touch_heap: { faults: 1024, growth: 4 * mib },
  touch_stack: { faults: 1024, growth: 4 * mib },
  touch_shared: { faults: 2048, growth: 8 * mib },
  touch_copied: { growth: 8 * mib },
  fill_at_once: { growth: 8 * mib },
  touch_in_thread: { faults: 6144, growth: 24 * mib },
};

/** Faults by class, at least. */
const classes: Readonly<Record<string, number>> = {
  heap: 1024,
  stack: 1023,
  'anonymous memory': 8192 + 6144 + 512,
  'file mapping, copied on write': 1024,
  'shared memory': 2048,
  'no new page': 1024,
  'by the kernel: filled or pinned': 2048,
};

function slack(bytes: number): number {
  return mib / 4 + bytes / 100;
}

function markName({ mark }: Sample): string {
  return mark?.name ?? '';
}

test('faults are those that the kernel counts, resident memory is what the process has, each by its stack', async t => {
  const observed = await observe(text => t.diagnostic(text));
  const { minor, major, residentBytes, early, samples } = observed;
  const isFault = ({ profileType }: Sample): boolean => profileType === 'faults';
  const isMajor = ({ profileType, mark }: Sample): boolean => profileType === 'faults' && mark?.name.startsWith('major') === true;
  t.diagnostic(`faults ${sum(samples, isFault)} of ${minor + major}, of these major ${sum(samples, isMajor)} of ${major}`);
  t.diagnostic(`resident ${netBytes(early)} of ${residentBytes} bytes; after the end ${netBytes(samples)}`);
  for (const type of ['faults', 'rss-growth', 'rss-released']) {
    t.diagnostic(`${type}: ${[...by(samples, type, markName)].map(([name, value]) => `${name} ${value}`).join(', ')}`);
  }
  assert.equal(sum(samples, isFault), minor + major, 'all faults');
  assert.equal(sum(samples, isMajor), major, 'major faults');
  // Before 6.2 VmRSS lacks what threads have not handed over yet, up to 64 faults of each.
  assert.ok(Math.abs(netBytes(early) - residentBytes) <= 0.02 * residentBytes, 'resident memory');
  assert.equal(netBytes(samples), 0, 'nothing is left of it when it has ended');
  for (const [fn, expected] of Object.entries(functions)) {
    const seen = { faults: within(observed, 'faults', fn), growth: within(observed, 'rss-growth', fn) };
    t.diagnostic(`${fn}: ${seen.faults} faults, ${seen.growth} bytes of growth`);
    // The program's own code, its calls into libraries and a thread's first frames are touched by some pages more.
    assert.ok(Math.abs(seen.growth - expected.growth) <= slack(expected.growth), `${fn} grew by ${seen.growth} bytes`);
    if (expected.faults !== undefined) assert.ok(Math.abs(seen.faults - expected.faults) <= 40, `${fn}: ${seen.faults} faults`);
  }
  // Whether a first touch of shared memory is called major differs between kernels.
  const faults = by(early, 'faults', sample => markName(sample).replace('major: ', ''));
  for (const [name, expected] of Object.entries(classes)) {
    const seen = faults.get(name) ?? 0;
    // Where /tmp lies in memory, the file's pages are such pages too, before they are copied.
    const more = name === 'shared memory' ? 1024 + 60 : 60;
    assert.ok(seen >= expected && seen <= expected + more, `${name}: ${seen} faults, ${expected} made`);
  }
  const released = by(early, 'rss-released', markName);
  // Before 6.2 a thread hands over up to 64 changes at a time, some of them with another's.
  const taken = (released.get('anonymous memory') ?? 0) - 16 * mib;
  assert.ok(Math.abs(taken) <= 64 * 4096, `one half unmapped, and given back by madvise: ${taken} bytes more`);
});

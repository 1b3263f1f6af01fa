/**
 * Source mem against programs that ask for known amounts: address space by every way, Go's heap as the program's own profile has it,
 * malloc up to its limit, and a victim of the out-of-memory killer.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { loadAddon } from '../../agent/bpf/addon.ts';
import { kits } from '../../agent/sources/index.ts';
import type { Sample } from '../../agent/sources/source.ts';
import { buildZoo } from '../zoo/zoo.ts';
import { runSource, type SourceRun, type SourceRunOptions } from './source-run.ts';

const mib = 1 << 20;

/** A program that says "ready", waits for a line, and does what it is watched for between it and "done". */
class Watched {
  readonly child: ChildProcess;
  readonly pid: number;
  private readonly lines: AsyncIterator<string>;

  private constructor(binary: string, args: readonly string[]) {
    const child = spawn(binary, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.child = child;
    this.pid = child.pid ?? 0;
    this.lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  static async start(binary: string, args: readonly string[] = []): Promise<Watched> {
    const watched = new Watched(binary, args);
    await watched.until('ready');
    return watched;
  }

  /** What it prints before the given line. */
  async until(last: string): Promise<string[]> {
    const seen: string[] = [];
    for (let line = await this.lines.next(); line.done !== true; line = await this.lines.next()) {
      if (line.value === last) return seen;
      seen.push(line.value);
    }
    throw new Error(`it ended without saying ${last}`);
  }

  async work(): Promise<string[]> {
    this.child.stdin?.write('\n');
    return await this.until('done');
  }

  end(): void {
    this.child.kill('SIGKILL');
  }
}

async function watching<T>(options: SourceRunOptions, body: (source: SourceRun) => Promise<T>): Promise<T> {
  const source = await runSource(kits.mem, options);
  try {
    return await body(source);
  } finally {
    await source.stop();
  }
}

async function samplesOf(source: SourceRun, pid: number): Promise<Sample[]> {
  await source.flush();
  source.collect();
  source.collect();
  return source.samples.filter(sample => sample.pid === pid);
}

/** Value and count by type and mark. */
function byMark(samples: readonly Sample[], type: string): Record<string, { value: number; count: number }> {
  const sums: Record<string, { value: number; count: number }> = {};
  for (const { profileType, mark, value, count = 0 } of samples) {
    if (profileType !== type) continue;
    sums[mark?.name ?? ''] ??= { value: 0, count: 0 };
    const sum = sums[mark?.name ?? '']!;
    sum.value += value;
    sum.count += count;
  }
  return sums;
}

/** Names on each sample's user stack, with what is inlined; a function and the closures in it are one. */
async function namesOf(source: SourceRun, samples: readonly Sample[]): Promise<Set<string>[]> {
  const ids = samples.map(({ pid, stack }) => source.symbolizer.locate(pid, stack.user, false));
  const named = new Map<number, string[]>();
  for (const { id, lines } of await source.symbolizer.describe(Uint32Array.from(new Set(ids.flatMap(list => [...list]))))) {
    named.set(
      id,
      lines.map(({ name }) => name.replace(/\.func1$/, '')),
    );
  }
  return ids.map(list => new Set([...list].flatMap(id => named.get(id) ?? [])));
}

test('address space is mapped and unmapped by as much as the program asks for, by way and stack', async t => {
  const program = await Watched.start(await buildZoo('maps'));
  const stats = loadAddon().enableProgramStats();
  try {
    await watching({ settings: { pid: program.pid } }, async source => {
      await program.work();
      const samples = await samplesOf(source, program.pid);
      assert.deepEqual(byMark(samples, 'mapped'), {
        ...{ 'mmap: anonymous': { value: 31 * mib, count: 11 }, 'mmap: shared': { value: 5 * mib, count: 1 } },
        ...{ 'mmap: file': { value: 8192, count: 1 }, 'brk: heap grows': { value: 7 * mib, count: 1 } },
        'mremap: grows': { value: 8 * mib, count: 1 },
      });
      assert.deepEqual(byMark(samples, 'unmapped'), {
        munmap: { value: 20 * mib, count: 10 },
        'brk: heap shrinks': { value: 3 * mib, count: 1 },
        'mremap: shrinks': { value: 4 * mib, count: 1 },
      });
      const names = await namesOf(source, samples);
      // By frame pointers alone, as here, a stack is cut where the C library's own functions call each other.
      const direct = samples.map((sample, i) => ({ mark: sample.mark?.name, names: names[i]! }));
      for (const [mark, fn] of Object.entries({ 'mmap: shared': 'main', 'mmap: file': 'main', munmap: 'main' })) {
        const stacks = direct.filter(sample => sample.mark === mark);
        assert.ok(stacks.length > 0 && stacks.every(({ names: all }) => all.has(fn)), `stacks of ${mark} lead to ${fn}`);
      }
      for (const { name, runCount, runTimeNs } of source.running.programs()) {
        if (runCount > 0) t.diagnostic(`${name}: ${runCount} runs, ${(runTimeNs / runCount).toFixed(0)} ns each`);
      }
    });
  } finally {
    stats.detach();
    program.end();
  }
});

test("Go's heap is what the program's own profile says, function by function", async t => {
  const program = await Watched.start(await buildZoo('goheap'));
  const stats = loadAddon().enableProgramStats();
  try {
    await watching({ settings: { pid: program.pid } }, async source => {
      const lines = await program.work();
      const samples = (await samplesOf(source, program.pid)).filter(({ profileType }) => profileType === 'go-heap');
      const names = await namesOf(source, samples);
      const own = new Map(lines.map(line => line.split(' ')).map(([name, , , scaled]) => [name, Number(scaled)]));
      // What it allocated, by its source: 56 bytes are rounded up to a class of 64.
      const truth: Readonly<Record<string, number>> = {
        'main.smallObjects': 64e6,
        'main.largeObjects': 64 * mib,
        'main.inGoroutines': 4 * 20_000 * 1536,
      };
      for (const name of ['main.smallObjects', 'main.largeObjects', 'main.growingMap', 'main.inGoroutines']) {
        const seen = samples.reduce((sum, { value }, i) => sum + (names[i]!.has(name) ? value : 0), 0);
        const expected = own.get(name) ?? 0;
        t.diagnostic(`${name}: ${seen} bytes, its own profile ${expected}, allocated ${truth[name] ?? 'not known'}`);
        assert.ok(Math.abs(seen - expected) <= 0.001 * expected, `${name}: ${seen} of ${expected} bytes`);
        // Both throw the same dice, one in 512 KiB: of n samples the error is within 4 / sqrt(n).
        const truly = truth[name];
        if (truly === undefined) continue;
        const error = 4 / Math.sqrt(truly / (512 << 10));
        assert.ok(Math.abs(seen - truly) <= error * truly, `${name}: ${seen} of ${truly} bytes allocated`);
      }
      for (const { name, runCount, runTimeNs } of source.running.programs()) {
        if (runCount > 0) t.diagnostic(`${name}: ${runCount} runs, ${(runTimeNs / runCount).toFixed(0)} ns each`);
      }
    });
  } finally {
    stats.detach();
    program.end();
  }
});

test('a Go program that starts while others are watched is probed as soon as it runs', async () => {
  await watching({}, async source => {
    const program = await Watched.start(await buildZoo('goheap'));
    try {
      // No round of the collector, which looks for programs that were missed.
      await source.flush();
      await program.work();
      const heap = (await samplesOf(source, program.pid)).filter(({ profileType }) => profileType === 'go-heap');
      const bytes = heap.reduce((sum, { value }) => sum + value, 0);
      assert.ok(bytes > 128 * mib, `${bytes} bytes of more than 240 million were seen`);
    } finally {
      program.end();
    }
  });
});

test('malloc is counted where it is asked for, and no longer once it is called more often than allowed', async () => {
  const binary = await buildZoo('maps');
  const few = await Watched.start(binary, ['100']);
  const many = await Watched.start(binary, ['200000']);
  try {
    await watching({ settings: { malloc: few.pid } }, async source => {
      await few.work();
      const sums = byMark(await samplesOf(source, few.pid), 'malloc');
      assert.deepEqual(sums, { '': { value: 100_000, count: 100 } });
      // Programs of Go that others run on the host may have theirs.
      assert.deepEqual(
        (source.running.problems?.() ?? []).filter(text => text.includes('malloc')),
        [],
      );
    });
    await watching({ settings: { malloc: many.pid, mallocs: 1000 } }, async source => {
      await many.work();
      const { count = 0 } = byMark(await samplesOf(source, many.pid), 'malloc')[''] ?? {};
      assert.ok(count >= 1000 && count <= 10_000, `${count} calls were counted`);
      assert.match(source.running.problems?.().join() ?? '', /no longer counted/);
    });
  } finally {
    few.end();
    many.end();
  }
});

/** Runs with a control group of 16 MiB of memory: the file that takes its processes. The controller is in version 1 or 2 of them. */
async function inSmallGroup(body: (procs: string) => Promise<void>): Promise<void> {
  const mounted = mkdtempSync(join(tmpdir(), 'cgroup-'));
  const isSecond = spawnSync('mount', ['-t', 'cgroup2', 'none', mounted]).status === 0;
  const hasMemory = isSecond && readFileSync(join(mounted, 'cgroup.controllers'), 'utf8').split(/\s/).includes('memory');
  if (isSecond && !hasMemory) execFileSync('umount', [mounted]);
  if (!hasMemory) execFileSync('mount', ['-t', 'cgroup', '-o', 'memory', 'none', mounted]);
  const group = join(mounted, `mem-test-${process.pid}`);
  try {
    if (hasMemory) writeFileSync(join(mounted, 'cgroup.subtree_control'), '+memory');
    mkdirSync(group);
    writeFileSync(join(group, hasMemory ? 'memory.max' : 'memory.limit_in_bytes'), String(16 * mib));
    await body(join(group, 'cgroup.procs'));
  } finally {
    if (existsSync(group)) rmdirSync(group);
    execFileSync('umount', [mounted]);
    rmdirSync(mounted);
  }
}

test('a victim of the out-of-memory killer is a span of its process', async () => {
  await watching({}, async source => {
    await inSmallGroup(async procs => {
      // A line without end, of which tail keeps all.
      const child = spawn('sh', ['-c', `echo $$ > ${procs} && exec tail /dev/zero`], { stdio: 'ignore' });
      const signal = await new Promise(resolve => child.on('close', (_code, by) => resolve(by)));
      assert.equal(signal, 'SIGKILL');
      await source.flush();
      const kills = source.spans.filter(({ name }) => name === 'oom kill');
      assert.deepEqual(
        kills.map(({ pid, error, attributes }) => [pid, error, attributes['hotspan.oom.cause.pid']]),
        [[child.pid, 'out-of-memory', child.pid]],
      );
    });
  });
});

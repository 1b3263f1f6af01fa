/**
 * Source block tells the truth: every request to a disk is counted as the kernel itself counts it in /proc/diskstats, and told with who
 * asked, how much, and how long it took. The disk is a loop device, which is there on every kernel; on the host the real one as well.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { kits } from '../../agent/sources/index.ts';
import type { SourceKit, Span } from '../../agent/sources/source.ts';
import { accountedFor, isEmulated, runSource, type SourceRun } from './source-run.ts';

const kit = kits.block as unknown as SourceKit;
const kiB = 1024;
const sectorBytes = 512;

/** What the kernel counts of a disk, and what hotspan does. */
interface Counts {
  readonly requests: number;
  readonly sectors: number;
  readonly ms: number;
}
type Stats = Readonly<Record<string, Counts>>;

function sh(command: string): string {
  return execFileSync('sh', ['-c', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

let folder = '';
let loop = '';
let disk = '';

/** A disk on a file of its own file system, which holds no more than `room`. */
function makeDisk(room: string, bytes: number): void {
  folder = mkdtempSync('/run/hotspan-block-');
  sh(`mount -t tmpfs -o size=${room} tmpfs ${folder}`);
  const file = join(folder, 'disk');
  writeFileSync(file, '');
  truncateSync(file, bytes);
  loop = sh(`losetup --find --show ${file}`).trim();
  disk = loop.replace('/dev/', '');
}

function removeDisk(): void {
  sh(`losetup --detach ${loop}; umount -l ${folder}`);
  rmSync(folder, { recursive: true, force: true });
}

before(() => makeDisk('64m', 64 * kiB * kiB));
after(removeDisk);

/** Documentation/admin-guide/iostats.rst of the kernel. */
function diskStats(name: string): Stats {
  const line = readFileSync('/proc/diskstats', 'utf8')
    .split('\n')
    .map(text => text.trim().split(/\s+/))
    .find(words => words[2] === name);
  assert.ok(line !== undefined, `${name} is in /proc/diskstats`);
  const at = (first: number, [requests, sectors, ms]: readonly number[]): Counts => ({
    requests: Number(line[first + requests!]),
    sectors: sectors === undefined ? 0 : Number(line[first + sectors]),
    ms: Number(line[first + ms!]),
  });
  return {
    read: at(3, [0, 2, 3]),
    write: at(7, [0, 2, 3]),
    discard: at(14, [0, 2, 3]),
    flush: { requests: Number(line[18]), sectors: 0, ms: Number(line[19]) },
  };
}

function sourceStats(source: SourceRun, name: string): Stats {
  const none = { requests: 0, sectors: 0, ms: 0 };
  const stats: Record<string, Counts> = { read: none, write: none, discard: none, flush: none };
  for (const { operation, calls, bytes, totalNs } of source.running.sums()) {
    const [what = '', device] = operation.split(' ');
    if (device === name) stats[what] = { requests: calls, sectors: bytes / sectorBytes, ms: totalNs / 1e6 };
  }
  return stats;
}

/** Both at a moment at which no request ended between the two. */
async function bothStats(source: SourceRun, name: string): Promise<{ ours: Stats; kernels: Stats }> {
  for (let tries = 0; tries < 500; tries += 1) {
    const first = diskStats(name);
    const ours = sourceStats(source, name);
    const kernels = diskStats(name);
    if (JSON.stringify(first) === JSON.stringify(kernels)) return { ours, kernels };
    await sleep(5);
  }
  return assert.fail(`${name} never rests`);
}

function difference(now: Stats, then: Stats): Stats {
  return Object.fromEntries(
    Object.entries(now).map(([what, { requests, sectors, ms }]) => {
      const base = then[what] ?? { requests: 0, sectors: 0, ms: 0 };
      return [what, { requests: requests - base.requests, sectors: sectors - base.sectors, ms: ms - base.ms }];
    }),
  );
}

interface Observed {
  readonly source: SourceRun;
  readonly spans: readonly Span[];
  readonly ours: Stats;
  readonly kernels: Stats;
  readonly counts: Readonly<Record<string, number>>;
}

async function observe(
  commands: string,
  { name = disk, min = 0, bufferPages = 512 }: { name?: string; min?: number; bufferPages?: number } = {},
): Promise<Observed> {
  const source = await runSource(kit, { settings: { min }, bufferPages });
  try {
    const before = await bothStats(source, name);
    sh(commands);
    const after = await bothStats(source, name);
    await source.flush();
    source.collect();
    source.collect();
    const spans = source.spans.filter(span => span.attributes['system.device'] === name);
    return {
      source,
      spans,
      ours: difference(after.ours, before.ours),
      kernels: difference(after.kernels, before.kernels),
      counts: await source.stop(),
    };
  } finally {
    await source.stop();
  }
}

/** Requests and sectors to the last one; the kernel cuts its milliseconds off, and looks at the clock a moment before or after. */
function assertSame({ ours, kernels }: Observed): void {
  for (const [what, { requests, sectors, ms }] of Object.entries(kernels)) {
    assert.equal(ours[what]?.requests, requests, `${what}: requests`);
    assert.equal(ours[what]?.sectors, sectors, `${what}: sectors`);
    const mine = ours[what]?.ms ?? 0;
    // Where each instruction is emulated, the moment is long.
    if (!isEmulated) assert.ok(Math.abs(mine - ms) <= 2 + 0.02 * ms + 0.02 * requests, `${what}: ${mine} of ${ms} ms`);
  }
}

test('direct reads and writes: each is one request, with its size, place, asker and stack', async t => {
  const size = 4 * kiB;
  const writes = 301;
  const reads = 203;
  const observed = await observe(
    `dd if=/dev/zero of=${loop} bs=${size} count=${writes} oflag=direct && dd if=${loop} of=/dev/null bs=${size} count=${reads} iflag=direct`,
  );
  t.diagnostic(`hotspan ${JSON.stringify(observed.ours)}, diskstats ${JSON.stringify(observed.kernels)}`);
  for (const { name, runCount, runTimeNs } of observed.source.running.programs())
    t.diagnostic(`${name}: ${runCount} runs, ${(runTimeNs / Math.max(1, runCount)).toFixed(0)} ns each`);
  assertSame(observed);
  assert.equal(observed.counts.seen, accountedFor(observed.counts), JSON.stringify(observed.counts));
  for (const [name, count] of [
    ['disk write', writes],
    ['disk read', reads],
  ] as const) {
    const own = observed.spans.filter(span => span.name === name && span.comm === 'dd');
    const direct = own.filter(span => span.attributes['hotspan.block.bytes'] === size);
    assert.ok(direct.length >= count, `${direct.length} of ${count}: ${name}`);
    const sectors = new Set(direct.map(span => Number(span.attributes['hotspan.block.sector'])));
    for (let i = 0; i < count; i += 1) assert.ok(sectors.has((i * size) / sectorBytes), `${name} number ${i}`);
    for (const span of direct) checkSpan(span);
  }
});

function checkSpan({ attributes, durationNs, stack, error }: Span): void {
  assert.equal(error, '');
  assert.equal(attributes['hotspan.block.asked_by'], 'process');
  const [queueMs, deviceMs] = [Number(attributes['hotspan.block.queue_ms']), Number(attributes['hotspan.block.device_ms'])];
  assert.ok(queueMs >= 0 && deviceMs > 0, `${queueMs} ms in queues, ${deviceMs} at the device`);
  assert.ok(Math.abs(queueMs + deviceMs - durationNs / 1e6) < 1e-6, 'queue and device make up the whole');
  assert.ok((stack?.kernel.length ?? 0) > 0 && (stack?.user.length ?? 0) > 0, 'both stacks');
}

test('large, buffered and synced writes, flushes and discards: merged and split as they are, they are counted as the kernel counts', async t => {
  const observed = await observe(
    [
      `dd if=/dev/zero of=${loop} bs=8M count=2 oflag=direct`,
      `dd if=/dev/zero of=${loop} bs=4k count=500 conv=fsync`,
      `dd if=/dev/zero of=${loop} bs=64k count=20 oflag=dsync`,
      `dd if=${loop} of=/dev/null bs=1M count=8 iflag=direct`,
      `blkdiscard --offset 1048576 --length 2097152 ${loop}`,
      `blkdiscard --offset 1048576 --length 2097152 ${loop}`,
    ].join(' && '),
  );
  t.diagnostic(`hotspan ${JSON.stringify(observed.ours)}, diskstats ${JSON.stringify(observed.kernels)}`);
  assertSame(observed);
  assert.ok((observed.kernels.discard?.requests ?? 0) > 0, 'there were discards');
  assert.ok((observed.kernels.flush?.requests ?? 0) > 0, 'there were flushes');
  const told = (name: string): number => observed.spans.filter(span => span.name === name).length;
  for (const what of ['read', 'write', 'discard', 'flush'])
    assert.equal(told(`disk ${what}`), observed.kernels[what]?.requests, `${what}: ${JSON.stringify(observed.counts)}`);
  const samples = observed.source.samples.filter(({ profileType }) => profileType === 'block');
  const counted = samples.reduce((sum, { count = 0 }) => sum + count, 0);
  assert.ok(counted >= observed.spans.length, `${counted} requests in the profile, ${observed.spans.length} spans`);
  const marks = new Set(samples.map(({ mark }) => mark?.name));
  for (const mark of [
    'disk write: queue',
    'disk write: flush',
    'disk write: device',
    'disk read: device',
    'disk discard: device',
  ])
    assert.ok(marks.has(mark), `${mark} among ${[...marks].join(', ')}`);
});

test('requests below the minimum are counted and in the profile, and not told', async () => {
  const observed = await observe(`dd if=/dev/zero of=${loop} bs=4k count=100 oflag=direct`, { min: 60e6 });
  assertSame(observed);
  assert.equal(observed.source.spans.length, 0);
  assert.ok((observed.counts.below_min ?? 0) >= 100, JSON.stringify(observed.counts));
  assert.equal(observed.counts.seen, accountedFor(observed.counts), JSON.stringify(observed.counts));
  const own = observed.source.samples.filter(({ comm, profileType }) => comm === 'dd' && profileType === 'block');
  assert.ok(own.reduce((sum, { count = 0 }) => sum + count, 0) >= 100);
});

test('with buffers of one page, seen = told + lost to the request', async () => {
  const { source, counts } = await observe(`dd if=/dev/zero of=${loop} bs=4k count=3000 oflag=direct`, { bufferPages: 1 });
  assert.ok((counts.seen ?? 0) >= 3000);
  assert.equal(counts.seen, accountedFor(counts), JSON.stringify(counts));
  assert.equal(source.received(), counts.emitted);
});

test('a request that fails says how', async () => {
  removeDisk();
  makeDisk('1m', 16 * kiB * kiB);
  const observed = await observe(`dd if=/dev/zero of=${loop} bs=64k count=64 oflag=direct || true`);
  const failed = observed.spans.filter(span => span.error !== '');
  assert.ok(failed.length > 0, 'the disk has no room for all');
  for (const span of failed) assert.match(span.error, /^E(IO|NOSPC)$/);
  const errors = observed.source.running.sums().find(({ operation }) => operation === `write ${disk}`)?.errors;
  assert.equal(errors, failed.length);
});

if (!isEmulated) {
  test('the disk that this machine runs on', async t => {
    const name = sh('lsblk -dno NAME -e 7,253').trim().split('\n')[0] ?? '';
    const file = '/var/tmp/hotspan-block-test';
    const observed = await observe(
      `dd if=/dev/zero of=${file} bs=64k count=50 oflag=direct,dsync && dd if=${file} of=/dev/null bs=4k iflag=direct && rm ${file}`,
      { name },
    );
    t.diagnostic(`${name}: hotspan ${JSON.stringify(observed.ours)}, diskstats ${JSON.stringify(observed.kernels)}`);
    assertSame(observed);
    assert.ok((observed.kernels.read?.requests ?? 0) >= 800 && (observed.kernels.write?.requests ?? 0) >= 50);
  });
}

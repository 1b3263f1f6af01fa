/**
 * Source file tells the truth: each open, read, write and fsync of a program that counts and measures its own calls is there, once,
 * with its name, its result and no more time than the program saw; by every way that the kernel has. Losses are counted to the event.
 */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { fileKit } from '../../agent/sources/file/kit.ts';
import type { OperationSums, SourceKit, Span } from '../../agent/sources/source.ts';
import { buildZoo, startAnimal } from '../zoo/zoo.ts';
import { kernelNames } from './kernel-names.ts';
import { accountedFor, isEmulated, projectDir, runSource, type SourceRun, type Way, waysHere } from './source-run.ts';

const kit = fileKit as unknown as SourceKit;
const opens = 10_007;
const transfers = 3_001;
const syncs = 200;
/** The VMs are twenty times slower, and one page is as small there. */
const loadFactor = isEmulated ? 2 : 10;
const operations = ['open', 'write', 'read', 'fsync'] as const;

interface Call {
  readonly operation: string;
  readonly call: string;
  readonly result: number;
  readonly asked: number;
  readonly ns: number;
  readonly path: string;
}

/** A folder on a file system that handles its own calls: an overlay would make a second one of each fsync. */
function workFolder(): string {
  const overlay = 0x794c7630;
  const near = join(projectDir, '.build', 'test');
  mkdirSync(near, { recursive: true });
  const candidates = [near, '/dev/shm', '/run', '/tmp'];
  const parent = candidates.find(path => statfsSync(path, { throwIfNoEntry: false } as object)?.type !== overlay);
  assert.ok(parent !== undefined, 'there is a file system that is no overlay');
  return mkdtempSync(join(parent, 'hotspan-files-'));
}

/** Runs the program under the source and gives what each of them says. */
async function observe(
  run: { without: readonly Way[]; bufferPages: number; min: number; maxEntries?: Record<string, number> },
  counts: readonly number[],
): Promise<{ source: SourceRun; calls: Call[]; counts: Readonly<Record<string, number>> }> {
  const folder = workFolder();
  const animal = await startAnimal(await buildZoo('filecalls'), [folder, ...counts.map(String)]);
  try {
    const source = await runSource(kit, {
      settings: { min: run.min, pid: animal.pid },
      without: run.without,
      bufferPages: run.bufferPages,
      ...(run.maxEntries === undefined ? {} : { maxEntries: run.maxEntries }),
    });
    try {
      process.kill(animal.pid, 'SIGUSR1');
      const calls = (await animal.output).split('\n').map(parseCall);
      await source.flush();
      return { source, calls, counts: await source.stop() };
    } finally {
      await source.stop();
    }
  } finally {
    animal.child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

function parseCall(line: string): Call {
  const [operation = '', call = '', result, asked, ns, path = ''] = line.split(' ');
  return { operation, call, result: Number(result), asked: Number(asked), ns: Number(ns), path };
}

function bytesOf(sums: OperationSums | undefined): number {
  return sums?.bytes ?? 0;
}

for (const { way, without } of waysHere()) {
  test(`${way}: every call once, with name, result and a latency that fits`, async () => {
    const { source, calls, counts } = await observe({ without, bufferPages: 2048, min: 0 }, [opens, transfers, syncs]);
    for (const hook of source.running.hooks.slice(0, -1)) assert.equal(hook.way, way, hook.observes);
    assert.equal(source.malformed(), 0);
    assert.equal(counts.buffer_full, 0, 'the buffers are large enough for all');
    assert.equal(counts.seen, accountedFor(counts), JSON.stringify(counts));
    for (const operation of operations) {
      const made = calls.filter(call => call.operation === operation);
      const told = source.spans.filter(span => span.name === operation).sort((a, b) => a.startNs - b.startNs);
      assert.equal(told.length, made.length, `${operation}: spans and calls`);
      for (const [i, call] of made.entries()) checkSpan(told[i]!, call, i);
      if (way !== 'tracepoint') checkKernelStack(told[0]!);
      checkSums(
        source.running.sums().find(sums => sums.operation === operation),
        made,
      );
    }
  });
}

function checkSpan(span: Span, call: Call, i: number): void {
  const what = `${call.call} number ${i}`;
  assert.equal(span.attributes['file.path'], call.path, what);
  assert.equal(span.attributes['hotspan.call.result'], call.result, what);
  assert.equal(span.error === '', call.result >= 0, what);
  if (call.result < 0) assert.equal(span.error, call.operation === 'open' ? 'ENOENT' : 'EBADF', what);
  assert.ok(span.durationNs <= call.ns, `${what}: ${span.durationNs} ns told, ${call.ns} ns measured`);
  assert.ok(span.durationNs > 0, what);
  if (call.asked > 0) assert.equal(span.attributes['hotspan.io.requested_bytes'], call.asked, what);
  assert.equal(span.comm, basename('filecalls'));
  if (call.operation !== 'open') assert.ok(Number(span.attributes['file.size']) > 0, what);
  if (call.operation === 'open') assert.match(String(span.attributes['hotspan.file.open_flags']), /O_CREAT/, what);
  assert.ok((span.stack?.user.length ?? 0) > 0, `${what}: a user stack`);
}

/** From the system call inwards, also where a kretprobe's own stack ends at its trampoline. */
function checkKernelStack(span: Span): void {
  const names = kernelNames(span.stack?.kernel ?? new Uint8Array());
  assert.match(names.at(-1) ?? '', /^(entry_SYSCALL_64_after_hwframe|el0t_64_sync)$/, `${span.name}: ${names.join(' ')}`);
  // A return's stack begins with the caller: that of fsync's own system call is the kernel's entry.
  assert.ok(names.length >= (span.name === 'fsync' ? 2 : 3), `${span.name}: ${names.join(' ')}`);
}

function checkSums(sums: OperationSums | undefined, made: readonly Call[]): void {
  const failed = made.filter(call => call.result < 0);
  const isTransfer = made[0]?.operation === 'read' || made[0]?.operation === 'write';
  assert.equal(sums?.calls, made.length);
  assert.equal(sums?.errors, failed.length);
  assert.equal(bytesOf(sums), isTransfer ? made.filter(call => call.result > 0).reduce((sum, call) => sum + call.result, 0) : 0);
  assert.equal(
    sums?.buckets.reduce((sum, count) => sum + count, 0),
    made.length,
  );
}

test('calls below the minimum are counted and not told', async () => {
  const { source, calls, counts } = await observe({ without: [], bufferPages: 64, min: 10e6 }, [1000, 200, 0]);
  const slow = calls.filter(call => call.ns >= 10e9);
  assert.equal(source.spans.length, slow.length);
  assert.equal(counts.below_min, calls.length - slow.length);
  const summed = source.running.sums().reduce((sum, { calls: count }) => sum + count, 0);
  assert.equal(summed, calls.length);
});

test('threads for which there is no entry of their own are told as well', async () => {
  const maxEntries = { file_calls: 1, file_open_calls: 1 };
  const { source, calls, counts } = await observe({ without: [], bufferPages: 2048, min: 0, maxEntries }, [1000, 200, 20]);
  assert.equal(counts.inflight_full, 0, 'there was room among the spare ones');
  assert.equal(counts.seen, accountedFor(counts), JSON.stringify(counts));
  assert.equal(source.spans.length, calls.length);
  for (const [i, call] of calls.entries()) checkSpan(source.spans[i]!, call, i);
});

test('with buffers of one page, seen = told + lost to the event', async () => {
  const { source, calls, counts } = await observe({ without: [], bufferPages: 1, min: 0 }, [
    loadFactor * opens,
    loadFactor * transfers,
    10,
  ]);
  const seen = calls.length + (counts.filtered ?? 0);
  assert.ok((counts.buffer_full ?? 0) > 0, 'one page is too little');
  assert.equal(counts.seen, accountedFor(counts), JSON.stringify(counts));
  assert.ok((counts.seen ?? 0) >= seen - (counts.filtered ?? 0));
  assert.equal(source.spans.length, counts.emitted);
  assert.equal(source.spans.length + (counts.buffer_full ?? 0) + (counts.nested ?? 0), calls.length);
});

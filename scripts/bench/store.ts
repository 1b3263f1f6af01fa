/** The store: spans in, samples in, and the queries that people wait for. Runs alone too: node scripts/bench/store.ts. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QueryClient } from '../../agent/store/query-client.ts';
import { openStoreReader } from '../../agent/store/reader.ts';
import type { ProcessRow, SpanRow, StoreWriter } from '../../agent/store/rows.ts';
import { openStoreWriter } from '../../agent/store/writer.ts';
import { type BenchRow, median, rowWithTarget } from './row.ts';

const startMs = Date.UTC(2026, 0, 5, 10);
const hourMs = 3_600_000;
const spanCount = 1_000_000;
const spanRangeMs = 900_000;
const distinctStacks = 100_000;
const rounds = 7;

/** Numbers in [0, 1), the same in every run. */
function randomSource(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 4_294_967_296;
  };
}

export async function run(): Promise<BenchRow[]> {
  const folder = mkdtempSync(join(tmpdir(), 'hotspan-bench-'));
  try {
    return [
      ...(await benchSpans(join(folder, 'spans.db'))),
      ...(await benchProfile(join(folder, 'profile.db'))),
      benchSampleBytes(join(folder, 'samples.db')),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function benchSpans(path: string): Promise<BenchRow[]> {
  let nowMs = startMs;
  const writer = openStoreWriter({ path, now: () => nowMs });
  const processes = Array.from({ length: 20 }, (_, i) => writer.process(processRow(i)));
  const rates: number[] = [];
  const perRound = spanCount / 5;
  for (let round = 0; round < 5; round += 1) {
    const begin = performance.now();
    for (let i = round * perRound; i < (round + 1) * perRound; i += 1) {
      writer.span(makeSpan(i, processes));
      if (i % 50_000 === 49_999) {
        nowMs += 1000;
        writer.flush();
      }
    }
    rates.push((perRound / (performance.now() - begin)) * 1000);
  }
  writer.close();
  const range = { fromMs: startMs, toMs: startMs + spanRangeMs, filter: '' };
  const list = { ...range, order: 'start' as const, isDescending: true, limit: 100, cursor: '' };
  const slowest = { ...list, order: 'duration' as const, filter: 'service=service-3 error=""' };
  const heat = { ...range, columns: 240, rows: 60 };
  return [
    rowWithTarget('spans made and stored, one core', median(rates), '/s', { isAtLeast: true, bound: 150_000 }),
    milliseconds(
      'newest 100 of 1 M spans in 15 minutes, first query',
      firstTime(path, reader => reader.spans(list)),
      100,
    ),
    milliseconds(
      'slowest 100 of a service, of 1 M spans, first query',
      firstTime(path, reader => reader.spans(slowest)),
      100,
    ),
    milliseconds(
      'heatmap of 1 M spans, first query',
      firstTime(path, reader => reader.heatmap(heat)),
      200,
    ),
    milliseconds('heatmap of 1 M spans, again', await again(path, client => client.json('heatmap', [heat])), 200),
    milliseconds(
      'services with percentiles over 1 M spans, again',
      await again(path, client => client.json('services', [range])),
      200,
    ),
  ];
}

/** Fills the store with an hour of samples of 100,000 stacks; `fromMs` is a whole minute. */
export function fillHour(path: string, fromMs: number): void {
  let nowMs = fromMs;
  const writer = openStoreWriter({ path, now: () => nowMs });
  const stacks = makeStacks(writer, distinctStacks);
  const process = writer.process(processRow(0));
  const random = randomSource(99);
  for (let minute = 0; minute < 60; minute += 1) {
    for (let i = 0; i < 12_000; i += 1) {
      // Every stack at least once, and the hot ones again and again.
      const at = i < 1667 ? minute * 1667 + i : Math.floor(random() ** 6 * stacks.length);
      const timeMs = fromMs + minute * 60_000 + (i % 60) * 1000;
      const tid = 1000 + (i % 50);
      writer.sample({
        profileType: 'cpu',
        timeMs,
        processId: process,
        tid,
        threadName: `worker-${i % 50}`,
        stackId: stacks[at % stacks.length] as number,
        count: 1,
        value: 10_101_010,
      });
    }
    nowMs += 60_000;
    writer.flush();
  }
  nowMs += hourMs;
  writer.flush();
  writer.close();
}

async function benchProfile(path: string): Promise<BenchRow[]> {
  fillHour(path, startMs);
  const whole = { fromMs: startMs, toMs: startMs + hourMs, type: 'cpu', filter: '', minShare: 0 };
  const shown = { ...whole, minShare: 0.0001 };
  const megabytes = await jsonMegabytes(path, whole);
  return [
    milliseconds(
      'flame graph of 1 h, 100 k stacks, as JSON from the worker',
      await again(path, client => client.json('profile', [shown])),
      80,
    ),
    milliseconds('the same with every node', await again(path, client => client.json('profile', [whole])), 150),
    { name: 'its size', value: megabytes, unit: 'MB' },
    milliseconds(
      'the same, stacks and names not read yet',
      firstTime(path, reader => reader.profileJson(shown)),
      undefined,
    ),
    milliseconds(
      'the same as a pprof file from the worker',
      await again(path, client => client.profileFile('pprof', whole)),
      undefined,
    ),
  ];
}

async function jsonMegabytes(path: string, query: Parameters<QueryClient['profileFile']>[1]): Promise<number> {
  const client = new QueryClient(path);
  const { length } = await client.json('profile', [query]);
  await client.close();
  return length / 1e6;
}

/** An hour of a host with two busy cores at 99 Hz: 40 threads, some 20,000 stacks of which a few are hot. */
function benchSampleBytes(path: string): BenchRow {
  let nowMs = startMs;
  const writer = openStoreWriter({ path, now: () => nowMs });
  const empty = writer.sizeBytes();
  const stacks = makeStacks(writer, 20_000);
  const processes = Array.from({ length: 12 }, (_, i) => writer.process(processRow(i)));
  const random = randomSource(5);
  let samples = 0;
  for (let second = 0; second < 3600; second += 1) {
    for (let i = 0; i < 198; i += 1) {
      const thread = Math.floor(random() ** 2 * 40);
      const at = Math.floor(random() ** 8 * stacks.length);
      writer.sample({
        profileType: 'cpu',
        timeMs: nowMs,
        processId: processes[thread % 12] as number,
        tid: 1000 + thread,
        threadName: `thread-${thread}`,
        stackId: stacks[(at + thread * 37) % stacks.length] as number,
        count: 1,
        value: 10_101_010,
      });
      samples += 1;
    }
    nowMs += 1000;
    writer.flush();
  }
  const bytes = writer.sizeBytes() - empty;
  writer.close();
  return rowWithTarget('bytes per sample after an hour, stacks and names included', bytes / samples, 'bytes', {
    isAtLeast: false,
    bound: 5,
  });
}

/**
 * Stacks as programs have them: most differ from another one only near their leaf. A new one takes a stack that is there, leaves
 * off its last calls, and goes on with others.
 */
function makeStacks(writer: StoreWriter, count: number): number[] {
  const random = randomSource(2026);
  const functions = 6000;
  const frames = Array.from({ length: functions * 2 }, (_, i) => {
    const name = `service::component_${i % 97}::function_${i % functions}(Request const&)`;
    return writer.frame({
      kind: 'native',
      module: `/usr/lib/service/lib${i % 23}.so`,
      buildId: `build-${i % 23}`,
      address: BigInt(0x1000 + i * 64),
      lines: [{ name, file: `src/component_${i % 97}.cc`, line: 10 + (i % 900) }],
      isGuess: false,
    });
  });
  const stacks: number[][] = Array.from({ length: 40 }, (_, i) => Array.from({ length: 12 }, (_unused, level) => i * 12 + level));
  const ids = new Set<number>();
  while (ids.size < count) {
    const base = stacks[Math.floor(random() * stacks.length)] as number[];
    const kept = base.slice(0, Math.max(4, base.length - Math.floor(random() ** 2 * 10)));
    const more = Array.from({ length: 1 + Math.floor(random() * 5) }, () => Math.floor(random() ** 3 * frames.length));
    const stack = [...kept, ...more].slice(0, 60);
    stacks.push(stack);
    ids.add(writer.stack(stack.map(i => frames[i] as number)));
    // Unwritten stacks are bounded.
    if (ids.size % 5000 === 0) writer.flush();
  }
  return [...ids];
}

function makeSpan(i: number, processes: readonly number[]): SpanRow {
  const key = Buffer.allocUnsafe(8);
  key.writeBigUInt64BE(BigInt(i));
  return {
    traceId: Buffer.concat([prefix, key]),
    spanId: key,
    parentSpanId: undefined,
    source: 'file',
    name: fileOperations[i % 4] as string,
    startNs: BigInt(startMs) * 1_000_000n + BigInt(Math.floor((i / spanCount) * spanRangeMs * 1e6)),
    durationNs: 500 + ((i * 7919) % 1009) ** 2,
    kind: 1,
    error: i % 50 === 0 ? 'ENOENT' : '',
    processId: processes[i % 20] as number,
    tid: 1000 + (i % 80),
    threadName: `worker-${i % 80}`,
    stackId: i % 1000,
    attributes: { 'file.path': `/var/lib/service/data/file-${i % 9973}`, 'file.size': i * 3, 'hotspan.result': i % 4096 },
  };
}

const prefix = Buffer.from('0123456789abcdef', 'hex');
const fileOperations = ['open', 'read', 'write', 'fsync'];

function processRow(i: number): ProcessRow {
  const name = `service-${i}`;
  return {
    pid: 100 + i,
    startNs: BigInt(startMs - hourMs) * 1_000_000n,
    parentPid: 1,
    comm: name,
    executable: `/usr/bin/${name}`,
    commandLine: `${name} --config /etc/${name}.yaml`,
    buildId: `build-${i}`,
    cgroupPath: `/system.slice/${name}.service`,
    containerId: '',
    service: name,
    exitNs: 0n,
    exitStatus: -1,
  };
}

/** Milliseconds of a query on a reader that has read nothing yet; median of three readers. */
function firstTime(path: string, query: (reader: ReturnType<typeof openStoreReader>) => unknown): number {
  const times: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    const reader = openStoreReader(path);
    const begin = performance.now();
    query(reader);
    times.push(performance.now() - begin);
    reader.close();
  }
  return median(times);
}

/** Milliseconds from asking the query worker to having the bytes; median of seven after one that warms up. */
async function again(path: string, query: (client: QueryClient) => Promise<unknown>): Promise<number> {
  const client = new QueryClient(path);
  const times: number[] = [];
  await query(client);
  for (let round = 0; round < rounds; round += 1) {
    const begin = performance.now();
    await query(client);
    times.push(performance.now() - begin);
  }
  await client.close();
  return median(times);
}

function milliseconds(name: string, value: number, bound: number | undefined): BenchRow {
  return bound === undefined ? { name, value, unit: 'ms' } : rowWithTarget(name, value, 'ms', { isAtLeast: false, bound });
}

if (import.meta.main) console.table(await run());

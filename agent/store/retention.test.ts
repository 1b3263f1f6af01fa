import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { openStoreReader } from './reader.ts';
import {
  frameRow,
  noonMs,
  openTestStore,
  operationRow,
  processRow,
  randomSource,
  sampleRow,
  spanRow,
  type TestStore,
} from './test-kit.ts';

const hourMs = 3_600_000;
const random = randomSource(8);

/** Some of everything, every minute of a time; the store's clock goes along. */
function writeMinutes(store: TestStore, minutes: number, spansPerMinute = 50): void {
  for (let minute = 0; minute < minutes; minute += 1) {
    const timeMs = store.nowMs;
    const pid = 100 + (Math.floor(timeMs / 60_000) % 50_000);
    const startNs = BigInt(timeMs) * 1_000_000n;
    const processId = store.writer.process(processRow({ pid, startNs, exitNs: startNs + 1_000_000_000n }));
    const address = BigInt(Math.floor(timeMs / 60_000));
    const stackId = store.writer.stack([
      store.writer.frame(frameRow('main')),
      store.writer.frame(frameRow(`jit${address}`, { address })),
    ]);
    for (let i = 0; i < 20; i += 1) store.writer.sample(sampleRow({ processId, stackId, timeMs: timeMs + i }));
    for (let i = 0; i < spansPerMinute; i += 1) {
      store.writer.span(spanRow({ processId, stackId, startNs: startNs + BigInt(i), attributes: { path: `/data/${random()}` } }));
    }
    store.writer.metric({ name: 'host.load', labels: '', timeMs, value: 1 });
    store.writer.operation(operationRow({ timeMs }));
    store.writer.ledger('file', 'seen', spansPerMinute, timeMs);
    store.writer.ledger('file', 'stored', spansPerMinute, timeMs);
    store.nowMs += 60_000;
    store.writer.flush();
  }
}

/** Calls retain until it has nothing more to do; gives the longest call in milliseconds of this thread's CPU. */
function retainAll(store: TestStore): number {
  let longest = 0;
  for (let i = 0; i < 300; i += 1) {
    const before = process.threadCpuUsage();
    store.writer.retain();
    const { user, system } = process.threadCpuUsage(before);
    longest = Math.max(longest, (user + system) / 1000);
    store.writer.flush();
  }
  return longest;
}

test('new limits hold from the next run on', context => {
  const store = openTestStore(context, { retention: { maxAgeMs: 100 * hourMs } });
  writeMinutes(store, 180);
  retainAll(store);
  assert.ok(store.reader.extent().oldestMs <= noonMs);
  store.writer.setRetention({ maxBytes: 2 ** 31, maxAgeMs: hourMs });
  retainAll(store);
  assert.ok(store.reader.extent().oldestMs >= store.nowMs - hourMs - 60_000);
});

test('what is older than the limit goes, the rest stays', context => {
  const store = openTestStore(context, { retention: { maxAgeMs: 2 * hourMs } });
  writeMinutes(store, 300);
  const before = store.reader.extent();
  retainAll(store);
  const after = store.reader.extent();
  assert.ok(before.oldestMs <= noonMs);
  assert.ok(
    after.oldestMs >= store.nowMs - 2 * hourMs - 60_000 && after.oldestMs <= store.nowMs - 2 * hourMs + 120_000,
    new Date(after.oldestMs).toISOString(),
  );
  const kept = { fromMs: store.nowMs - 2 * hourMs + 120_000, toMs: store.nowMs };
  const list = { filter: '', order: 'start' as const, isDescending: true, limit: 1, cursor: '' };
  assert.equal(store.reader.spans({ ...kept, ...list }).count, 118 * 50);
  assert.equal(store.reader.profile({ ...kept, type: 'cpu', filter: '', minShare: 0 }).samples, 118 * 20);
  const gone = { fromMs: 0, toMs: store.nowMs - 2 * hourMs - 60_000 };
  assert.equal(store.reader.spans({ ...gone, ...list }).count, 0);
  assert.equal(store.reader.profile({ ...gone, type: 'cpu', filter: '', minShare: 0 }).samples, 0);
  assert.ok((after.tables.process ?? 0) < 200, `${after.tables.process} processes are left`);
  const { sources, other } = store.reader.ledger({ fromMs: 0, toMs: store.nowMs + hourMs });
  assert.equal(sources[0]?.unexplained, 0);
  const expired = other.find(({ stage }) => stage === 'expired:spans')?.count ?? 0;
  assert.equal(expired + (after.tables.span ?? 0), 300 * 50);
});

test('the store stays within its bytes and gives the room back, in short slices', context => {
  const store = openTestStore(context, { retention: { maxBytes: 6 << 20 } });
  writeMinutes(store, 240, 1500);
  const grown = store.writer.sizeBytes();
  assert.ok(grown > 9 << 20, `${grown} bytes are too few to test with`);
  const longest = retainAll(store);
  assert.ok(store.writer.sizeBytes() <= 6 << 20, `${store.writer.sizeBytes()} bytes are left`);
  assert.ok(store.writer.sizeBytes() > 4 << 20, `only ${store.writer.sizeBytes()} bytes are left`);
  assert.ok(longest < 50, `a slice took ${longest} ms`);
  store.writer.close();
  assert.ok(statSync(store.path).size < grown, 'the file has shrunk');
  const reader = openStoreReader(store.path);
  context.after(() => reader.close());
  const { oldestMs, newestMs } = reader.extent();
  assert.ok(oldestMs > noonMs + 600_000, 'the oldest went');
  assert.ok(newestMs > store.nowMs - 120_000, 'the newest stayed');
  const database = new Database(store.path, { readonly: true });
  context.after(() => database.close());
  assert.equal(database.pragma('integrity_check', { simple: true }), 'ok');
  store.writer = { ...store.writer, close: () => undefined };
});

test('stacks and names of dropped days go too, and those in use stay', context => {
  const store = openTestStore(context, { retention: { maxAgeMs: 6 * hourMs } });
  for (let day = 0; day < 3; day += 1) {
    writeMinutes(store, 30);
    store.nowMs += 24 * hourMs;
    retainAll(store);
  }
  writeMinutes(store, 30);
  retainAll(store);
  const nodes = store.reader.extent().tables.stack ?? 0;
  assert.ok(nodes >= 31 && nodes <= 62, `${nodes} of 124 nodes are left`);
  assert.equal(store.reader.extent().tables.frame, 121);
  store.reopen();
  const frames = store.reader.extent().tables.frame ?? 0;
  assert.ok(frames >= 31 && frames <= 61, `${frames} of 121 frames are left`);
  const recent = { fromMs: store.nowMs - hourMs, toMs: store.nowMs, type: 'cpu', filter: '', minShare: 0 };
  const fresh = openStoreReader(store.path);
  context.after(() => fresh.close());
  for (const reader of [store.reader, fresh]) {
    const { functions, samples } = reader.profile(recent);
    assert.equal(samples, 600);
    assert.equal(functions.name.filter(name => name.startsWith('jit')).length, 30);
  }
  writeMinutes(store, 1);
  assert.equal(store.reader.profile({ ...recent, toMs: store.nowMs }).samples, 620);
});

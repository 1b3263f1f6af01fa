import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { QueryClient } from './query-client.ts';
import { frameRow, noonMs, openTestStore, processRow, sampleRow, spanRow, type TestStore } from './test-kit.ts';

const range = { fromMs: noonMs - 60_000, toMs: noonMs + 60_000 };
const profile = { ...range, type: 'cpu', filter: '', minShare: 0 };
const list = { ...range, filter: '', order: 'start' as const, isDescending: true, limit: 10, cursor: '' };

function writeSome(store: TestStore): void {
  const processId = store.writer.process(processRow());
  const stackId = store.writer.stack([store.writer.frame(frameRow('main'))]);
  store.writer.sample(sampleRow({ processId, stackId }));
  store.writer.span(spanRow({ processId, attributes: { path: '/a' } }));
  store.writer.flush();
}

test('a client gives what the reader gives, as values, as JSON and as files', async context => {
  const store = openTestStore(context);
  writeSome(store);
  const client = new QueryClient(store.path);
  context.after(() => client.close());
  assert.deepEqual(await client.query('profile', [profile]), store.reader.profile(profile));
  assert.deepEqual(JSON.parse((await client.json('profile', [profile])).toString()), store.reader.profile(profile));
  assert.deepEqual(JSON.parse((await client.json('spans', [list])).toString()), store.reader.spans(list));
  assert.equal((await client.json('trace', ['0'.repeat(32)])).toString(), 'null');
  assert.equal((await client.profileFile('folded', profile)).toString(), 'main 10000000\n');
  assert.equal(JSON.parse((await client.profileFile('speedscope', profile)).toString()).exporter, 'hotspan');
  assert.ok(gunzipSync(await client.profileFile('pprof', profile)).includes('main'));
  const { bytes, ...extent } = await client.extent();
  assert.equal(extent.tables.span, 1);
  assert.ok(bytes > 0);
});

test('what is committed later is seen', async context => {
  const store = openTestStore(context);
  writeSome(store);
  const client = new QueryClient(store.path);
  context.after(() => client.close());
  for (let count = 1; count < 5; count += 1) {
    assert.equal((await client.query('spans', [list])).count, count);
    assert.equal((await client.query('profile', [profile])).samples, count);
    writeSome(store);
  }
});

test('many queries at once are answered in order, each with its own answer', async context => {
  const store = openTestStore(context);
  writeSome(store);
  const client = new QueryClient(store.path);
  context.after(() => client.close());
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) => client.query('heatmap', [{ ...range, filter: '', columns: i + 1, rows: 1 }])),
  );
  assert.deepEqual(
    answers.map(({ columns }) => columns),
    Array.from({ length: 100 }, (_, i) => i + 1),
  );
  const tooMany = Array.from({ length: 400 }, () => client.extent());
  const results = await Promise.allSettled(tooMany);
  const refused = results.filter(result => result.status === 'rejected');
  assert.equal(refused.length, 400 - 257);
  assert.match(String(refused[0]?.reason), /256 queries wait already; ask again later/);
});

test('errors keep their name and remedy', async context => {
  const store = openTestStore(context);
  const client = new QueryClient(store.path);
  context.after(() => client.close());
  await assert.rejects(client.json('spans', [{ ...list, filter: 'name=' }]), {
    name: 'FilterError',
    position: 5,
    remedy: /after the operator/,
  });
  await assert.rejects(client.json('spans', [{ ...list, toMs: 0 }]), { name: 'QueryError', remedy: 'give a `to` after `from`' });
  const none = new QueryClient(`${store.path}-none`);
  context.after(() => none.close());
  await assert.rejects(none.extent(), { name: 'StoreError', operation: 'open', code: 'SQLITE_CANTOPEN' });
});

test('a query can be cancelled, and one that takes too long is ended; the next is answered', async context => {
  const store = openTestStore(context);
  writeSome(store);
  const client = new QueryClient(store.path);
  context.after(() => client.close());
  const controller = new AbortController();
  const first = client.extent();
  const waiting = client.query('spans', [list], controller.signal);
  controller.abort();
  await assert.rejects(waiting, /the query was cancelled/);
  await first;
  await assert.rejects(client.json('extent', [], controller.signal), /the query was cancelled/);

  const crowd = new AbortController();
  const crowded = Array.from({ length: 257 }, () => client.query('extent', [], crowd.signal));
  const outcome = Promise.allSettled(crowded);
  crowd.abort();
  assert.equal((await client.extent()).tables.span, 1, 'cancelled queries make room in the queue');
  assert.ok((await outcome).every(result => result.status === 'rejected'));

  // A worker needs more than a millisecond to start.
  const hasty = new QueryClient(store.path, { timeoutMs: 1 });
  context.after(() => hasty.close());
  await assert.rejects(hasty.extent(), /took longer than 0.001 s; choose a shorter range/);
  assert.equal((await client.extent()).tables.span, 1);
});

test('a client that is closed answers no more', async context => {
  const store = openTestStore(context);
  const client = new QueryClient(store.path);
  const open = client.extent();
  const closing = client.close();
  await assert.rejects(open, /the store is closed/);
  await closing;
  await assert.rejects(client.extent(), /the store is closed/);
});

test('a worker that nobody asks anything is ended, and the next question gets a new one', async context => {
  const store = openTestStore(context);
  writeSome(store);
  const threads = () => readdirSync('/proc/self/task').length;
  const before = threads();
  const client = new QueryClient(store.path, { idleMs: 1 });
  context.after(() => client.close());
  for (let round = 0; round < 3; round += 1) {
    assert.equal((await client.extent()).tables.span, 1);
    const endMs = Date.now() + 10_000;
    while (threads() > before && Date.now() < endMs) await new Promise(resolve => setTimeout(resolve, 10));
    assert.ok(threads() <= before, 'its thread has gone');
  }
});

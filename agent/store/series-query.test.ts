import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dropReasons } from '../events/index.ts';
import { noonMs, openTestStore, processRow, sampleRow, spanRow, type TestStore } from './test-kit.ts';

const minute = { fromMs: noonMs, toMs: noonMs + 60_000 };
const cpu = { ...minute, name: 'cpu', filter: '', groupBy: '', points: 60 };

/** A minute in which gateway uses half a core in two threads, and orders a whole one in the second half. */
function writeMinute(store: TestStore): void {
  const gateway = store.writer.process(processRow());
  const orders = store.writer.process(processRow({ pid: 200, comm: 'orders', service: 'orders' }));
  for (let second = 0; second < 60; second += 1) {
    const timeMs = noonMs + second * 1000;
    store.writer.metric({ name: 'host.load', labels: '', timeMs, value: second });
    store.writer.metric({ name: 'host.cpu', labels: 'kind=user', timeMs, value: 1 });
    store.writer.metric({ name: 'host.cpu', labels: 'kind=system', timeMs, value: 0.5 });
    for (const tid of [101, 102])
      store.writer.sample(sampleRow({ processId: gateway, stackId: 0, tid, threadName: `t${tid}`, timeMs, value: 250_000_000 }));
    if (second >= 30) store.writer.sample(sampleRow({ processId: orders, stackId: 0, timeMs, value: 1_000_000_000 }));
    for (let i = 0; i < 5; i += 1) {
      store.writer.span(
        spanRow({
          processId: i < 3 ? gateway : orders,
          name: i < 4 ? 'read' : 'write',
          startNs: BigInt(timeMs + i * 100) * 1_000_000n,
          error: i === 0 ? 'EIO' : '',
        }),
      );
    }
  }
  store.writer.flush();
}

test('CPU over time is in cores, by group, and the same at every step', context => {
  const store = openTestStore(context);
  writeMinute(store);
  const series = store.reader.series(cpu);
  assert.deepEqual([series.unit, series.stepMs, series.groups.length], ['cores', 1000, 1]);
  assert.deepEqual(
    series.groups[0]?.values,
    Array.from({ length: 60 }, (_, second) => (second < 30 ? 0.5 : 1.5)),
  );
  const coarse = store.reader.series({ ...cpu, points: 6, groupBy: 'service' });
  assert.deepEqual(
    [coarse.stepMs, coarse.groups],
    [
      10_000,
      [
        { label: 'gateway', values: [0.5, 0.5, 0.5, 0.5, 0.5, 0.5] },
        { label: 'orders', values: [0, 0, 0, 1, 1, 1] },
      ],
    ],
  );
  const threads = store.reader.series({ ...cpu, points: 1, groupBy: 'thread', filter: 'service=gateway' });
  assert.deepEqual(threads.groups, [
    { label: 't101', values: [0.25] },
    { label: 't102', values: [0.25] },
  ]);
  assert.throws(
    () => store.reader.series({ ...cpu, groupBy: 'colour' }),
    /cpu cannot be grouped by "colour"; use one of service/,
  );
});

test('after the seconds are gone a minute stands for all its steps', context => {
  const store = openTestStore(context);
  writeMinute(store);
  store.nowMs += 1_200_000;
  store.writer.flush();
  assert.deepEqual(store.reader.series({ ...cpu, points: 6 }).groups[0]?.values, [1, 1, 1, 1, 1, 1]);
  assert.deepEqual(store.reader.series({ ...cpu, points: 1 }).groups[0]?.values, [1]);
  assert.deepEqual(store.reader.series({ ...cpu, name: 'host.load', points: 1 }).groups[0]?.values, [29.5]);
});

test('a step in which the agent ran for a part only is divided by that part', context => {
  const store = openTestStore(context);
  writeMinute(store);
  const wide = { ...cpu, fromMs: noonMs - 3_600_000, toMs: noonMs + 3_600_000, points: 10 };
  const values = store.reader.series(wide).groups[0]?.values ?? [];
  assert.deepEqual(
    values.filter(value => value !== null),
    [1],
  );
  assert.deepEqual(
    store.reader.series({ ...wide, name: 'spans' }).groups[0]?.values.filter(value => value !== null),
    [5],
  );
});

test('where nothing ran there is no value, and where nothing was used there is 0', context => {
  const store = openTestStore(context);
  writeMinute(store);
  store.writer.metric({ name: 'host.load', labels: '', timeMs: noonMs + 61_000, value: 1 });
  store.writer.flush();
  const series = store.reader.series({ ...cpu, fromMs: noonMs + 59_000, toMs: noonMs + 63_000 });
  assert.deepEqual(series.groups[0]?.values, [1.5, null, 0, null]);
  assert.deepEqual(store.reader.series({ ...cpu, filter: 'service=none' }).groups[0]?.values, new Array(60).fill(0));
});

test('rates of spans and of errors', context => {
  const store = openTestStore(context);
  writeMinute(store);
  assert.deepEqual(store.reader.series({ ...cpu, name: 'spans', points: 2 }).groups, [{ label: 'spans', values: [5, 5] }]);
  assert.deepEqual(store.reader.series({ ...cpu, name: 'spans', points: 1, groupBy: 'name' }).groups, [
    { label: 'read', values: [4] },
    { label: 'write', values: [1] },
  ]);
  assert.deepEqual(store.reader.series({ ...cpu, name: 'span.errors', points: 1, groupBy: 'service' }).groups, [
    { label: 'gateway', values: [1] },
  ]);
});

test('metrics are averaged over a step and added over labels', context => {
  const store = openTestStore(context);
  writeMinute(store);
  assert.deepEqual(store.reader.series({ ...cpu, name: 'host.cpu', points: 1 }).groups, [{ label: 'host.cpu', values: [1.5] }]);
  assert.deepEqual(store.reader.series({ ...cpu, name: 'host.cpu', points: 1, groupBy: 'kind' }).groups, [
    { label: 'user', values: [1] },
    { label: 'system', values: [0.5] },
  ]);
  assert.deepEqual(store.reader.series({ ...cpu, name: 'host.cpu', points: 1, filter: 'kind=system' }).groups, [
    { label: 'host.cpu', values: [0.5] },
  ]);
  assert.deepEqual(store.reader.series({ ...cpu, name: 'host.load', points: 12 }).groups[0]?.values.slice(0, 3), [2, 7, 12]);
});

test('a metric that has no value yet is empty by every group, not refused', context => {
  const store = openTestStore(context);
  for (const groupBy of ['', 'kind'])
    assert.deepEqual(store.reader.series({ ...minute, name: 'host.cpu', filter: '', groupBy, points: 60 }).groups, []);
});

test('more than 20 groups end in one for the rest', context => {
  const store = openTestStore(context);
  for (let i = 0; i < 50; i += 1) {
    const processId = store.writer.process(processRow({ pid: 100 + i, service: `s${i}` }));
    store.writer.sample(sampleRow({ processId, stackId: 0, value: (50 - i) * 1e9 }));
  }
  store.writer.flush();
  const { groups } = store.reader.series({ ...cpu, toMs: noonMs + 1000, groupBy: 'service' });
  assert.equal(groups.length, 20);
  assert.equal(groups[0]?.label, 's0');
  assert.deepEqual(groups.at(-1), { label: '(other)', values: [(31 * 32) / 2] });
});

test('services tell their CPU, spans, errors and percentiles', context => {
  const store = openTestStore(context);
  writeMinute(store);
  const gateway = store.writer.process(processRow());
  for (let i = 1; i <= 1000; i += 1)
    store.writer.span(spanRow({ processId: gateway, startNs: BigInt(noonMs) * 1_000_000n, durationNs: i * 1_000_000 }));
  store.writer.flush();
  const [first, orders] = store.reader.services({ ...minute, filter: '' });
  assert.deepEqual(
    [orders?.service, orders?.cpuSeconds, orders?.processes, orders?.spans, orders?.errors],
    ['orders', 30, 1, 120, 0],
  );
  assert.deepEqual([first?.service, first?.cpuSeconds, first?.spans, first?.errors], ['gateway', 30, 1180, 60]);
  assert.ok(Math.abs((first?.cpuSeries[10] ?? 0) - 0.5) < 1e-9, String(first?.cpuSeries));
  const [alone] = store.reader.services({ ...minute, filter: 'gateway duration>=1ms' });
  assert.equal(alone?.spans, 1000);
  assert.ok(Math.abs((alone?.p50Ns ?? 0) / 500e6 - 1) < 0.012, `p50 is ${alone?.p50Ns}`);
  assert.ok(Math.abs((alone?.p99Ns ?? 0) / 990e6 - 1) < 0.012, `p99 is ${alone?.p99Ns}`);
  assert.equal(store.reader.services({ ...minute, filter: 'service=orders' }).length, 1);
});

test('lives of processes count as spans of a service, and not in its latency', context => {
  const store = openTestStore(context);
  const processId = store.writer.process(processRow());
  const startNs = BigInt(noonMs) * 1_000_000n;
  const life = { processId, startNs, source: 'exec', name: 'process', durationNs: 5e9, error: 'exit 1' } as const;
  store.writer.span(spanRow(life));
  store.writer.flush();
  const [idle] = store.reader.services({ ...minute, filter: '' });
  assert.deepEqual([idle?.spans, idle?.errors, idle?.calls, idle?.p50Ns, idle?.p99Ns], [1, 1, 0, 0, 0]);
  for (let i = 0; i < 3; i += 1) store.writer.span(spanRow({ processId, startNs, durationNs: 1_000_000 }));
  for (let i = 0; i < 10; i += 1) store.writer.span(spanRow(life));
  store.writer.flush();
  const [row] = store.reader.services({ ...minute, filter: '' });
  assert.deepEqual([row?.spans, row?.errors, row?.calls], [14, 11, 3]);
  for (const ns of [row?.p50Ns, row?.p99Ns]) assert.ok(Math.abs((ns ?? 0) / 1e6 - 1) < 0.012, `${ns}`);
});

test('values of keys come most frequent first and by prefix', context => {
  const store = openTestStore(context);
  writeMinute(store);
  store.writer.span(
    spanRow({ processId: store.writer.process(processRow()), name: 'rename', attributes: { 'file.path': '/a', 'file.size': 3 } }),
  );
  store.writer.flush();
  assert.deepEqual(store.reader.values('name', '', minute), ['read', 'write', 'rename']);
  assert.deepEqual(store.reader.values('name', 're', minute), ['read', 'rename']);
  assert.deepEqual(store.reader.values('service', '', minute), ['gateway', 'orders']);
  assert.deepEqual(store.reader.values('tid', '', minute), ['101', '102']);
  assert.deepEqual(store.reader.values('error', '', minute), ['EIO']);
  assert.deepEqual(store.reader.values('file.path', '', minute), ['/a']);
  assert.deepEqual(store.reader.values('', 'file', minute), ['file.path', 'file.size']);
  assert.deepEqual(store.reader.values('process', '', { fromMs: noonMs + 3_600_000, toMs: noonMs + 3_700_000 }), [
    'gateway',
    'orders',
  ]);
});

test('the ledger balances, says what each reason means, and what is unexplained', context => {
  const store = openTestStore(context);
  const add = (stage: string, count: number, source = 'file') => store.writer.ledger(source, stage, count, noonMs);
  add('seen', 100);
  add('stored', 80);
  add('lost:buffer_full', 12);
  add('lost:below_min', 5);
  add('lost:novel-reason', 1);
  add('in_flight', 2);
  add('seen', 7, 'cpu');
  add('stored', 4, 'cpu');
  add('exported', 70);
  store.writer.flush();
  add('lost:buffer_full', 3, 'cpu');
  store.writer.flush();
  const { sources, other } = store.reader.ledger(minute);
  assert.deepEqual(
    sources.map(({ source, seen, stored, inFlight, unexplained }) => [source, seen, stored, inFlight, unexplained]),
    [
      ['cpu', 7, 4, 0, 0],
      ['file', 100, 80, 2, 0],
    ],
  );
  assert.deepEqual(other, [{ source: 'file', stage: 'exported', count: 70 }]);
  for (const { meaning } of sources.flatMap(line => line.lost)) assert.ok(meaning.length > 10);
  assert.equal(sources[1]?.lost.find(({ reason }) => reason === 'novel-reason')?.meaning, 'given up by the source: novel reason');
  assert.equal(store.reader.profile({ ...minute, type: 'cpu', filter: '', minShare: 0 }).lost, 3);
  assert.equal(store.reader.profile({ ...minute, type: 'file', filter: '', minShare: 0 }).lost, 13);
  add('stored', -1);
  store.writer.flush();
  assert.equal(store.reader.ledger(minute).sources[1]?.unexplained, 1);
  assert.deepEqual(store.reader.ledger({ fromMs: noonMs + 60_000, toMs: noonMs + 120_000 }), { sources: [], other: [] });
});

test('every reason for which the kernel programs drop has a meaning of its own', context => {
  const store = openTestStore(context);
  const reasons = dropReasons.filter(reason => reason !== 'seen' && reason !== 'emitted');
  for (const reason of reasons) store.writer.ledger('file', `lost:${reason}`, 1, noonMs);
  store.writer.flush();
  const lost = store.reader.ledger(minute).sources[0]?.lost ?? [];
  assert.equal(lost.length, reasons.length);
  for (const { reason, meaning } of lost) assert.doesNotMatch(meaning, /^given up by the source/, reason);
});

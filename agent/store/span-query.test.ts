import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SpanRow, SpansQuery } from './rows.ts';
import { frameRow, noonMs, openTestStore, processRow, randomSource, spanRow, type TestStore } from './test-kit.ts';

const range = { fromMs: noonMs, toMs: noonMs + 900_000 };
const firstPage: SpansQuery = { ...range, filter: '', order: 'start', isDescending: true, limit: 50, cursor: '' };

interface Written extends SpanRow {
  service: string;
}

/** Spans of two services over 15 minutes, in the order in which they ended. */
function writeSpans(store: TestStore, count: number): Written[] {
  const random = randomSource(31);
  const services = ['gateway', 'orders'];
  const processes = services.map((service, i) => store.writer.process(processRow({ pid: 100 + i, service, comm: service })));
  const rows: Written[] = [];
  for (let i = 0; i < count; i += 1) {
    const which = random() < 0.7 ? 0 : 1;
    const size = Math.floor(random() * 5000) - 1000;
    rows.push({
      ...spanRow({ processId: processes[which] as number }),
      service: services[which] as string,
      name: ['open', 'read', 'write', 'fsync'][Math.floor(random() * 4)] as string,
      startNs: BigInt(noonMs) * 1_000_000n + BigInt(Math.floor(random() * 900e9)),
      durationNs: Math.floor(Math.exp(random() * 15)),
      error: random() < 0.1 ? 'ENOENT' : '',
      threadName: `worker-${Math.floor(random() * 3)}`,
      attributes: {
        'file.path': `/data/${Math.floor(random() * 200)}`,
        'file.size': size,
        ...(random() < 0.5 ? { 'file.sync': random() < 0.5 } : {}),
        ratio: random(),
      },
    });
  }
  rows.sort((a, b) => Number(a.startNs - b.startNs) + a.durationNs - b.durationNs);
  rows.forEach((row, i) => {
    store.writer.span(row);
    if (i % 1777 === 0) store.writer.flush();
  });
  store.writer.flush();
  return rows;
}

test('lists page through all spans in order, by start and by duration, both ways', context => {
  const store = openTestStore(context);
  const rows = writeSpans(store, 9000);
  for (const order of ['start', 'duration'] as const) {
    for (const isDescending of [true, false]) {
      const keyOf = (row: { startNs: bigint | string; durationNs: number }) =>
        order === 'start' ? Number(BigInt(row.startNs) - BigInt(noonMs) * 1_000_000n) : row.durationNs;
      const expected = rows.map(keyOf).sort((a, b) => (isDescending ? b - a : a - b));
      const keys: number[] = [];
      const ids = new Set<string>();
      let cursor = '';
      do {
        const page = store.reader.spans({ ...firstPage, order, isDescending, limit: 700, cursor });
        assert.deepEqual([page.count, page.isCountExact], [9000, true]);
        for (const span of page.spans) ids.add(span.spanId);
        keys.push(...page.spans.map(keyOf));
        cursor = page.next;
      } while (cursor !== '');
      assert.deepEqual(keys, expected);
      assert.equal(ids.size, rows.length, 'no span came twice');
    }
  }
});

test('filters give what a naive filter gives', context => {
  const store = openTestStore(context);
  const rows = writeSpans(store, 6000);
  const cases: Record<string, (row: Written) => boolean> = {
    'service=gateway': row => row.service === 'gateway',
    'service=gateway name!=read': row => row.service === 'gateway' && row.name !== 'read',
    'name=~^(open|write)$ error=ENOENT': row => /^(open|write)$/.test(row.name) && row.error !== '',
    'error!=""': row => row.error !== '',
    'error=""': row => row.error === '',
    'duration>1ms': row => row.durationNs > 1e6,
    'duration<=2.5us duration>100ns': row => row.durationNs <= 2500 && row.durationNs > 100,
    'file.path="/data/7"': row => row.attributes['file.path'] === '/data/7',
    'file.path=~/data/1\\d$': row => /\/data\/1\d$/.test(String(row.attributes['file.path'])),
    'file.size<0': row => (row.attributes['file.size'] as number) < 0,
    'file.size>=1000 thread=worker-1': row => (row.attributes['file.size'] as number) >= 1000 && row.threadName === 'worker-1',
    'file.sync=true': row => row.attributes['file.sync'] === true,
    'file.sync!=true': row => row.attributes['file.sync'] !== true,
    'nothing=1': () => false,
    'nothing!=1': () => true,
    'fsync orders': row => row.name === 'fsync' && row.service === 'orders',
    'source=file tid=101': () => true,
    'source!=file': () => false,
    [`trace=${rows[17]?.traceId.toString('hex')}`]: row => row === rows[17],
    [`trace!=${rows[17]?.traceId.toString('hex')}`]: row => row !== rows[17],
  };
  for (const [filter, isWanted] of Object.entries(cases)) {
    const expected = rows.filter(isWanted);
    const found = store.reader.spans({ ...firstPage, filter, limit: 1000 });
    assert.equal(found.count, expected.length, filter);
    const newest = expected
      .map(row => row.startNs)
      .sort((a, b) => (a > b ? -1 : 1))
      .slice(0, 1000)
      .map(String);
    assert.deepEqual(
      found.spans.map(span => span.startNs),
      newest,
      filter,
    );
    const heat = store.reader.heatmap({ ...range, filter, columns: 30, rows: 20 });
    assert.equal(
      heat.counts.reduce((sum, count) => sum + count, 0),
      expected.length,
      filter,
    );
    assert.equal(
      heat.errors.reduce((sum, count) => sum + count, 0),
      expected.filter(row => row.error !== '').length,
      filter,
    );
  }
});

test('a span comes back as it was written', context => {
  const store = openTestStore(context);
  const processId = store.writer.process(processRow());
  const lines = [
    { name: 'inner', file: 'a.c', line: 5 },
    { name: 'outer', file: 'a.c', line: 50 },
  ];
  const stackId = store.writer.stack([
    store.writer.frame(frameRow('main')),
    store.writer.frame(frameRow('', { address: 0x2000n, lines })),
  ]);
  const attributes = {
    text: 'ünï "quoted"\n\u0000\ud800',
    empty: '',
    zero: 0,
    minus: -5,
    large: 2 ** 52,
    fraction: 0.1,
    huge: 1e300,
    yes: true,
    no: false,
    constructor: 'c',
  };
  const parent = spanRow({ processId });
  const row = spanRow({
    processId,
    traceId: parent.traceId,
    parentSpanId: parent.spanId,
    startNs: 1_780_315_200_123_456_789n,
    durationNs: 123_456_789_012,
    kind: 3,
    error: 'ETIMEDOUT',
    stackId,
    attributes: { ...attributes, text: attributes.text.toWellFormed() },
  });
  store.writer.span(row);
  store.writer.span(parent);
  store.writer.flush();
  const traceId = row.traceId.toString('hex');
  const trace = store.reader.trace(traceId);
  assert.equal(trace?.spans.length, 2);
  const { stack, ...summary } = trace?.spans.find(span => span.parentSpanId !== '') ?? assert.fail('the child is there');
  assert.deepEqual(summary, {
    traceId,
    spanId: row.spanId.toString('hex'),
    parentSpanId: parent.spanId.toString('hex'),
    source: 'file',
    name: 'read',
    service: 'gateway',
    process: 'gateway',
    pid: 100,
    tid: 101,
    thread: 'worker',
    startMs: 1_780_315_200_123.456,
    startNs: '1780315200123456789',
    durationNs: 123_456_789_012,
    kind: 3,
    error: 'ETIMEDOUT',
    attributes: { ...attributes, text: attributes.text.toWellFormed() },
  });
  assert.deepEqual(
    stack.map(({ name, line }) => [name, line]),
    [
      ['inner', 5],
      ['outer', 50],
      ['main', 7],
    ],
  );
});

test('traces are found wherever their spans lie, and nothing else is', context => {
  const store = openTestStore(context);
  const rows = writeSpans(store, 20_000);
  const wanted = rows[123] as Written;
  const processId = store.writer.process(processRow());
  store.writer.span(spanRow({ processId, traceId: wanted.traceId, parentSpanId: wanted.spanId, startNs: wanted.startNs + 5n }));
  store.writer.flush();
  const found = store.reader.trace(wanted.traceId.toString('hex').toUpperCase());
  assert.deepEqual(
    found?.spans.map(span => span.parentSpanId),
    ['', wanted.spanId.toString('hex')],
  );
  assert.equal(store.reader.trace('00000000000000000000000000000001'), undefined);
  assert.throws(() => store.reader.trace('xyz'), /is no trace id; give its 32 hexadecimal digits/);
});

test('the heatmap puts each span where it belongs', context => {
  const store = openTestStore(context);
  const processId = store.writer.process(processRow());
  const at = (ms: number, durationNs: number, error = '') =>
    store.writer.span(spanRow({ processId, startNs: BigInt(noonMs + ms) * 1_000_000n, durationNs, error }));
  at(0, 150);
  at(899_999, 150, 'EIO');
  at(450_000, 99_000);
  at(900_000, 150);
  store.writer.flush();
  const { counts, errors, ...scale } = store.reader.heatmap({ ...range, filter: '', columns: 2, rows: 3 });
  assert.deepEqual(scale, { ...range, columns: 2, rows: 3, minNs: 100, ratio: 10 });
  assert.deepEqual(counts, [1, 1, 0, 0, 0, 1]);
  assert.deepEqual(errors, [0, 1, 0, 0, 0, 0]);
});

test('a bad cursor is refused with a sentence', context => {
  const store = openTestStore(context);
  assert.throws(() => store.reader.spans({ ...firstPage, cursor: "1' OR 1" }), /is no cursor; take `next` of the page before/);
  assert.deepEqual(store.reader.spans(firstPage), { spans: [], next: '', count: 0, isCountExact: true });
});

test('spans of an open segment are found after each flush and after a restart', context => {
  const store = openTestStore(context);
  const processId = store.writer.process(processRow());
  for (let i = 1; i <= 20; i += 1) {
    store.writer.span(spanRow({ processId }));
    store.writer.flush();
    assert.equal(store.reader.spans(firstPage).count, i);
    if (i % 7 === 0) store.reopen();
    store.nowMs += 30_000;
  }
});

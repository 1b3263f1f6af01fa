import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SpanDetail } from '../server/api.ts';
import { otlpSpanLine } from './otlp-span.ts';
import { SpanPrinter, spanText } from './span-text.ts';
import { table } from './terminal.ts';

function span(fields: Partial<SpanDetail>): SpanDetail {
  return {
    traceId: 'a'.repeat(32),
    spanId: '1'.repeat(16),
    parentSpanId: '',
    source: 'func',
    name: 'vfs_read',
    service: 'cat',
    process: 'cat',
    pid: 10,
    tid: 11,
    thread: 'cat',
    startMs: 1_700_000_000_000,
    startNs: '1700000000000123456',
    durationNs: 1_500_000,
    kind: 1,
    error: '',
    attributes: {},
    stack: [],
    ...fields,
  };
}

function printed(spans: readonly SpanDetail[], act?: (printer: SpanPrinter) => void): string[] {
  const lines: string[] = [];
  const printer = new SpanPrinter({
    withStack: false,
    write: text => lines.push(text.trimEnd().replace(/^.*\/11 +/, '')),
    nowMs: () => nowMs,
  });
  for (const each of spans) printer.add(each);
  act?.(printer);
  return lines;
}
let nowMs = 0;

test('a line has time, latency, process, arguments, result and error', () => {
  const attributes = {
    'hotspan.argument.count': 4096,
    'hotspan.argument.buf': 140_737_488_355_328,
    'file.path': '/etc/passwd',
    'hotspan.call.result': -2,
  };
  const text = spanText(span({ attributes, error: 'ENOENT' }), 1, false);
  assert.match(
    text,
    /^\d\d:\d\d:\d\d\.000123 {4,}1\.5 ms {2}cat\/11 +vfs_read\(count=4096, buf=0x800000000000, \/etc\/passwd\) = -2 ENOENT\n$/,
  );
});

test('the stack stands under the call, guesses marked', () => {
  const frame = { name: 'read', module: 'libc.so.6', kind: 'native', file: '', line: 0, isGuess: true } as const;
  const lines = spanText(
    span({ stack: [frame, { ...frame, name: 'main', file: 'a.c', line: 7, isGuess: false }] }),
    0,
    true,
  ).split('\n');
  assert.deepEqual(
    lines.slice(1, 3).map(line => line.trim()),
    ['at read? (libc.so.6)', 'at main (a.c:7)'],
  );
});

test('what a process calls itself cannot move the cursor or clear the screen', () => {
  const text = spanText(
    span({ process: '\x1b[2Jevil\n', attributes: { 'file.path': '/tmp/\x1b]0;x\x07\u202e' }, name: 'a\rb' }),
    0,
    false,
  );
  assert.ok(!/\p{Cc}|\p{Cf}/u.test(text.slice(0, -1)), JSON.stringify(text));
  assert.match(text, /\\x1b\[2Jevil\\x0a\/11/);
});

test('calls wait for their root and stand under it in the order of their starts', () => {
  const root = span({ spanId: 'r', name: 'outer', startNs: '100', durationNs: 50 });
  const first = span({ spanId: 'c1', parentSpanId: 'r', name: 'first', startNs: '110', durationNs: 20 });
  const inner = span({ spanId: 'g', parentSpanId: 'c1', name: 'inner', startNs: '110', durationNs: 5 });
  const second = span({ spanId: 'c2', parentSpanId: 'r', name: 'second', startNs: '140', durationNs: 5 });
  assert.deepEqual(printed([inner, first, second]), []);
  assert.deepEqual(printed([inner, first, second, root]), ['outer()', 'first()', 'inner()', 'second()']);
  const texts: string[] = [];
  const printer = new SpanPrinter({ withStack: false, write: text => texts.push(text) });
  for (const each of [inner, first, second, root]) printer.add(each);
  const indents = texts.map(text => text.search(/\w+\(\)/));
  assert.deepEqual(
    indents.map(indent => indent - indents[0]!),
    [0, 2, 4, 2],
  );
  printer.add(span({ spanId: 'late', parentSpanId: 'r', name: 'late' }));
  assert.equal(texts[4]!.search(/\w+\(\)/) - indents[0]!, 2);
});

test('a call whose root does not end is printed after two seconds, and all at the end', () => {
  const lonely = span({ spanId: 'x', parentSpanId: 'never', name: 'lonely' });
  nowMs = 0;
  assert.deepEqual(
    printed([lonely], printer => printer.flush()),
    [],
  );
  assert.equal(
    printed([lonely], printer => {
      nowMs = 2001;
      printer.flush();
      nowMs = 0;
    }).length,
    1,
  );
  assert.equal(printed([lonely], printer => printer.flush(true)).length, 1);
});

test('no more than 10,000 calls wait', () => {
  const spans = Array.from({ length: 10_001 }, (_, i) => span({ traceId: String(i), spanId: String(i), parentSpanId: `p${i}` }));
  assert.equal(printed(spans).length, 1);
});

test('JSON has the field names and number forms of OTLP', () => {
  const line = otlpSpanLine(
    span({ parentSpanId: '2'.repeat(16), error: 'EIO', attributes: { 'file.path': '/x', share: 0.5, ok: true, n: 3 } }),
  );
  assert.ok(!line.includes('\n'));
  const parsed = JSON.parse(line) as Record<string, unknown> & { attributes: { key: string; value: unknown }[] };
  assert.equal(parsed.startTimeUnixNano, '1700000000000123456');
  assert.equal(parsed.endTimeUnixNano, '1700000000001623456');
  assert.equal(parsed.parentSpanId, '2'.repeat(16));
  assert.deepEqual(parsed.status, { code: 2, message: 'EIO' });
  const values = Object.fromEntries(parsed.attributes.map(({ key, value }) => [key, value]));
  assert.deepEqual(values['file.path'], { stringValue: '/x' });
  assert.deepEqual(values.share, { doubleValue: 0.5 });
  assert.deepEqual(values.ok, { boolValue: true });
  assert.deepEqual(values.n, { intValue: '3' });
  assert.deepEqual(values['error.type'], { stringValue: 'EIO' });
  assert.ok(!('parentSpanId' in (JSON.parse(otlpSpanLine(span({}))) as object)));
});

test('tables align names left and numbers right', () => {
  assert.equal(
    table(
      ['NAME', 'N'],
      [
        ['a', '5'],
        ['long name', '100'],
      ],
    ),
    'NAME       N\na            5\nlong name  100\n',
  );
});

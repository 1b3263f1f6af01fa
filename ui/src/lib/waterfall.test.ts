/** Lines of a trace: order, depth, and spans whose parents are missing or wrong. */

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import type { SpanDetail } from '../../../agent/server/api.ts';
import { layoutWaterfall } from './waterfall.ts';

function span(spanId: string, parentSpanId: string, startNs: bigint, durationNs: number): SpanDetail {
  const who = { source: 'func', service: 's', process: 'p', pid: 1, tid: 1, thread: 't' };
  return {
    traceId: 't',
    spanId,
    parentSpanId,
    name: spanId,
    startMs: Number(startNs) / 1e6,
    startNs: String(startNs),
    durationNs,
    kind: 1,
    error: '',
    attributes: {},
    stack: [],
    ...who,
  };
}

const base = 1_795_474_166_639_123_456n;

test('parents before children, children by start, depths and offsets exact to a nanosecond', () => {
  const spans = [
    span('late', 'root', base + 500n, 10),
    span('leaf', 'early', base + 20n, 5),
    span('root', '', base, 1000),
    span('early', 'root', base + 1n, 100),
  ];
  const { lines, lengthNs, startNs } = layoutWaterfall(spans);
  deepEqual(
    lines.map(line => [line.span.spanId, line.depth, line.offsetNs]),
    [
      ['root', 0, 0],
      ['early', 1, 1],
      ['leaf', 2, 20],
      ['late', 1, 500],
    ],
  );
  equal(lengthNs, 1000);
  equal(startNs, base);
});

test('orphans and spans that name themselves stand at the top', () => {
  const { lines } = layoutWaterfall([span('orphan', 'unknown', base, 5), span('self', 'self', base + 1n, 5)]);
  deepEqual(
    lines.map(line => [line.span.spanId, line.depth, line.isOrphan]),
    [
      ['orphan', 0, true],
      ['self', 0, false],
    ],
  );
});

test('an empty trace has no lines, and a deep one does not overflow', () => {
  equal(layoutWaterfall([]).lines.length, 0);
  const deep = Array.from({ length: 20_000 }, (_, i) => span(String(i), i === 0 ? '' : String(i - 1), base + BigInt(i), 1));
  equal(layoutWaterfall(deep).lines.at(-1)?.depth, 19_999);
});

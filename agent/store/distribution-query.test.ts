/** Histograms over time: every call stands in its step and its power of two, and none is lost between seconds and minutes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DistributionQuery } from './rows.ts';
import { noonMs, openTestStore, operationRow } from './test-kit.ts';

const wanted: DistributionQuery = {
  source: '',
  prefix: '',
  operation: '',
  fromMs: noonMs,
  toMs: noonMs + 60_000,
  columns: 60,
};

/** A histogram with so many calls in some buckets. */
function buckets(counts: Readonly<Record<number, number>>): number[] {
  return Array.from({ length: 40 }, (_, bucket) => counts[bucket] ?? 0);
}

const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);

test('each step and each power of two has its own count', context => {
  const store = openTestStore(context);
  store.writer.operation(operationRow({ calls: 5, buckets: buckets({ 10: 3, 20: 2 }) }));
  store.writer.operation(operationRow({ timeMs: noonMs + 7400, calls: 1, buckets: buckets({ 12: 1 }) }));
  store.writer.flush();
  const map = store.reader.distribution(wanted);
  assert.deepEqual([map.fromMs, map.toMs, map.columns], [noonMs, noonMs + 60_000, 60]);
  assert.deepEqual([map.minNs, map.ratio, map.rows], [1024, 2, 11]);
  const cell = (bucket: number, step: number) => map.counts[(bucket - 10) * map.columns + step];
  assert.deepEqual([cell(10, 0), cell(20, 0), cell(12, 7), cell(10, 7)], [3, 2, 1, 0]);
  assert.equal(sum(map.counts), 6);
});

test('the operation that took the most time is shown, unless another one is asked for', context => {
  const store = openTestStore(context);
  store.writer.operation(operationRow({ operation: 'read', totalNs: 500 }));
  store.writer.operation(operationRow({ operation: 'write', totalNs: 900 }));
  store.writer.operation(operationRow({ source: 'sched', operation: 'blocked: lock', totalNs: 9000 }));
  store.writer.operation(operationRow({ source: 'sched', operation: 'run queue: woken', totalNs: 99_000 }));
  store.writer.flush();
  const ask = (query: Partial<DistributionQuery>) => {
    const { operation, operations } = store.reader.distribution({ ...wanted, ...query });
    return [operation, operations.map(own => own.operation).join()];
  };
  assert.deepEqual(ask({ source: 'file' }), ['write', 'write,read']);
  assert.deepEqual(ask({ source: 'file', operation: 'read' }), ['read', 'write,read']);
  assert.deepEqual(ask({ source: 'file', operation: 'never' }), ['write', 'write,read']);
  assert.deepEqual(ask({ source: 'file,sched', prefix: 'blocked' }), ['blocked: lock', 'blocked: lock']);
  assert.deepEqual(ask({ source: 'nothing' }), ['', '']);
});

test('minutes are spread over their steps, and seconds that are kept are told by the second', context => {
  const store = openTestStore(context);
  store.writer.operation(operationRow({ timeMs: noonMs + 30_000, calls: 60, buckets: buckets({ 15: 60 }) }));
  store.writer.flush();
  store.nowMs += 120_000;
  store.writer.flush();
  const fine = store.reader.distribution(wanted);
  assert.equal(fine.counts.findIndex(count => count > 0) % fine.columns, 30, 'rolled up, and still there by the second');
  store.nowMs += 1_200_000;
  store.writer.flush();
  const spread = store.reader.distribution(wanted);
  assert.equal(sum(spread.counts), 60);
  assert.deepEqual(spread.counts.slice(0, 60), new Array<number>(60).fill(1));
  const coarse = store.reader.distribution({ ...wanted, toMs: noonMs + 3_600_000, columns: 60 });
  assert.deepEqual([coarse.columns, coarse.counts[0], sum(coarse.counts)], [60, 60, 60]);
});

test('an empty range is a map without counts', context => {
  const store = openTestStore(context);
  store.writer.flush();
  const map = store.reader.distribution({ ...wanted, toMs: noonMs });
  assert.deepEqual([map.operation, map.operations.length, sum(map.counts)], ['', 0, 0]);
  assert.equal(map.counts.length, map.rows * map.columns);
});

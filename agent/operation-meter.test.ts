/** Differences of kernel totals, over a restart of the source too. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OperationMeter } from './operation-meter.ts';

const sums = (calls: number, bytes: number) => ({
  operation: 'read',
  calls,
  errors: 0,
  bytes,
  totalNs: calls * 1000,
  buckets: [0, calls],
});

test('rows are what happened since the last call', () => {
  const meter = new OperationMeter();
  assert.deepEqual(
    meter.take('file', [sums(10, 100)], 1).map(row => [row.calls, row.bytes, row.totalNs, row.buckets]),
    [[10, 100, 10_000, [0, 10]]],
  );
  assert.deepEqual(meter.take('file', [sums(10, 100)], 2), []);
  assert.equal(meter.take('file', [sums(25, 130)], 3)[0]?.calls, 15);
  assert.equal(meter.take('file', [sums(4, 7)], 4)[0]?.calls, 4, 'a restarted source counts from zero');
  assert.deepEqual(
    meter.totals().map(total => [total.calls, total.bytes, total.buckets]),
    [[29, 137, [0, 29]]],
  );
});

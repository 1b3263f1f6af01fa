/** The clock follows steps of the wall clock without moving what was mapped before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clock } from './clock.ts';

test('maps ktime to Unix time to the nanosecond and follows a step', () => {
  const pair = { monotonicNs: 5_000_000_000n, unixNs: 1_700_000_005_000_000_000n };
  const clock = new Clock(() => pair);
  assert.equal(clock.unixNs(5_000_000_123), 1_700_000_005_000_000_123n);
  assert.equal(clock.unixMs(6_000_000_000), 1_700_000_006_000);
  pair.monotonicNs += 1_000_000_000n;
  pair.unixNs += 1_000_000_000n + 3_600_000_000_000n;
  clock.follow();
  assert.equal(clock.steps, 1);
  assert.equal(clock.unixNs(6_000_000_000), 1_700_003_606_000_000_000n);
  pair.unixNs += 400_000n;
  clock.follow();
  assert.equal(clock.steps, 1, 'slewing below a millisecond is not a step');
  assert.equal(clock.unixNs(6_000_000_000), 1_700_003_606_000_400_000n);
});

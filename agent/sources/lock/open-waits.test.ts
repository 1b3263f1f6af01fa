/** Waits that last: told as they grow, and what was told is taken off the sum that comes at their end. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OpenWaits } from './open-waits.ts';

const place = { tid: 7, address: 0x1000n, stack: 5n };
const second = 1e9;

/** Rounds of a second each over a wait from `from` to `to`; gives what was told in each. */
function rounds(waits: OpenWaits, from: number, to: number): number[] {
  const told: number[] = [];
  for (let now = from + second / 2; now < to; now += second) {
    waits.begin();
    told.push(waits.grow(place, from, now));
    waits.finish();
  }
  return told;
}

test('a long wait is told in each round, and its sum has the rest', () => {
  const waits = new OpenWaits();
  const told = rounds(waits, 100, 100 + 5.25 * second);
  assert.deepEqual(told, [0, 1.5 * second, second, second, second]);
  const rest = waits.close(place, 5.25 * second);
  assert.equal(told.reduce((sum, ns) => sum + ns, 0) + rest, 5.25 * second);
});

test('a sum of several waits at one place pays for the long one among them once', () => {
  const waits = new OpenWaits();
  const told = rounds(waits, 100, 100 + 3 * second).reduce((sum, ns) => sum + ns, 0);
  assert.equal(waits.close(place, 3 * second + 40), 3 * second + 40 - told);
  assert.equal(waits.close(place, 60), 60);
});

test('a sum that comes before the wait at its place has ended does not make time vanish or double', () => {
  const waits = new OpenWaits();
  const told = rounds(waits, 100, 100 + 4 * second).reduce((sum, ns) => sum + ns, 0);
  const early = waits.close(place, second);
  const late = waits.close(place, 4 * second);
  assert.equal(told + early + late, 5 * second);
});

test('waits whose sum never comes are forgotten', () => {
  const waits = new OpenWaits();
  rounds(waits, 100, 100 + 3 * second);
  for (let i = 0; i < 8; i += 1) {
    waits.begin();
    waits.finish();
  }
  assert.equal(waits.size, 0);
});

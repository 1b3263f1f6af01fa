/** The comparison of two stacks tells equal ones, and every kind of difference, apart. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Coverage, compareStacks } from './compare.ts';

const stack = (...addresses: number[]) => addresses.map(BigInt);
const walk = (...addresses: number[]) => ({ end: 'ROOT', addresses: stack(...addresses) });
const always = (coverage: Coverage) => () => coverage;
const [a, b, c, d] = [0x401000, 0x402000, 0x403000, 0x404000];

test('equal stacks are equal, whatever stands above the root', () => {
  assert.deepEqual(compareStacks(stack(a, b, c), walk(a, b, c), always('rules')), { compared: 3, equal: 3, at: 3 });
  assert.deepEqual(compareStacks(stack(a, b, 0), walk(a, b), always('rules')), { compared: 2, equal: 2, at: 2 });
});

test('every difference has its kind', () => {
  const kind = (ours: ReturnType<typeof walk>, coverage: Coverage) =>
    compareStacks(stack(a, b, c), ours, always(coverage)).difference;
  assert.equal(kind(walk(a, b), 'rules'), 'walk-short');
  assert.equal(kind(walk(a, b, d), 'rules'), 'different');
  assert.equal(kind(walk(a, b, c, d), 'rules'), 'gdb-short');
  assert.equal(kind(walk(a, b, d), 'none'), 'gdb-guessed');
  assert.equal(kind(walk(a, b, d), 'switch'), 'gdb-wrong-stack');
  assert.equal(kind(walk(d), 'none'), 'different');
});

test('frames after a difference count as compared and not as equal, unless gdb only guessed', () => {
  assert.deepEqual(compareStacks(stack(a, b, c, d), walk(a, b, d, d), always('rules')), {
    compared: 4,
    equal: 2,
    difference: 'different',
    at: 2,
  });
  const asked: number[] = [];
  const guessed = compareStacks(stack(a, b, c, d), walk(a, b), frame => {
    asked.push(frame);
    return 'none';
  });
  assert.deepEqual([guessed.compared, guessed.equal, asked], [2, 2, [1]]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { argumentWords, errnoOf, longResult, readable } from './value.ts';

const int = { bytes: 4, isSigned: true };
const unsigned = { bytes: 4, isSigned: false };
const pointer = { bytes: 8, isSigned: false };
const flag = { bytes: 1, isSigned: false };

test('a value without a type is told as what it most likely is', () => {
  assert.equal(readable(0n, undefined), 0);
  assert.equal(readable(4096n, undefined), 4096);
  assert.equal(readable(0xffffffffffffffffn, undefined), -1);
  assert.equal(readable(0xffffffffn, undefined), -1);
  assert.equal(readable(0x80000000n, undefined), 2147483648);
  assert.equal(readable(0xffff888100000000n, undefined), '0xffff888100000000');
  assert.equal(readable(0x7ffc00000000n, undefined), '0x7ffc00000000');
});

test('bits of the register beyond the type mean nothing', () => {
  assert.equal(readable(0xffffaf46ffffff9cn, int), -100);
  assert.equal(readable(0xffffaf46ffffff9cn, unsigned), 0xffffff9c);
  assert.equal(readable(0xff01n, flag), 1);
});

test('long words are numbers or addresses', () => {
  assert.equal(readable(0xfffffffffffffffen, longResult), -2);
  assert.equal(readable(0x4000000000000001n, longResult), 0x4000000000000001n);
  assert.equal(readable(4096n, pointer), 4096);
  assert.equal(readable(0xffff888100000000n, pointer), '0xffff888100000000');
});

test('an errno is found in the width of the result', () => {
  assert.equal(errnoOf(0xfffffffen, int), 2);
  assert.equal(errnoOf(0xffffffff_fffffffen, longResult), 2);
  assert.equal(errnoOf(0xffffffff_fffffffen, pointer), 2);
  assert.equal(errnoOf(0xfffffffen, longResult), 0, 'four billion is no errno');
  assert.equal(errnoOf(0xfffffffen, unsigned), 0);
  assert.equal(errnoOf(1n, flag), 0);
  assert.equal(errnoOf(0x80000000n, int), 0);
});

test('arguments are counted in words', () => {
  const words = argumentWords({
    arguments: ['a', 'pair', 'large', 'b', '...'],
    argumentTypes: [int, { bytes: 16, isSigned: false }, { bytes: 40, isSigned: false }, pointer, { bytes: 0, isSigned: false }],
    returnsValue: true,
    resultType: int,
  });
  assert.deepEqual(
    words.map(({ name }) => name),
    ['a', 'pair.0', 'pair.1', 'b'],
  );
});

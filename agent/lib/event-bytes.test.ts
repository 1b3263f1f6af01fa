/** Reading of records: every width, sign and text, at any alignment. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commText, fixedText, s64Number, text, u16, u32, u64BigInt, u64Number, view } from './event-bytes.ts';

test('integers are read as they were written, at any alignment', () => {
  for (const offset of [0, 1, 3, 7]) {
    const data = Buffer.alloc(24);
    for (const value of [0n, 1n, 0xffn, 0x80000000n, 0xffffffffn, 0x123456789abcdn, 2n ** 53n - 1n]) {
      data.writeBigUInt64LE(value, offset);
      assert.equal(u64Number(data, offset), Number(value));
      assert.equal(u64BigInt(data, offset), value);
      assert.equal(u32(data, offset), Number(value & 0xffffffffn));
      assert.equal(u16(data, offset), Number(value & 0xffffn));
    }
    for (const value of [0n, -1n, -2n, -4095n, 2n ** 31n, -(2n ** 53n) + 1n, 2n ** 53n - 1n]) {
      data.writeBigInt64LE(value, offset);
      assert.equal(s64Number(data, offset), Number(value));
    }
    data.writeBigUInt64LE(2n ** 64n - 1n, offset);
    assert.equal(u64BigInt(data, offset), 2n ** 64n - 1n);
  }
});

test('fixed text ends at its first NUL or at its size', () => {
  const data = Buffer.from('abcdef\0\0XYZ', 'latin1');
  assert.equal(fixedText(data, 0, 8), 'abcdef');
  assert.equal(fixedText(data, 0, 4), 'abcd');
  assert.equal(fixedText(data, 6, 2), '');
  assert.equal(fixedText(data, 8, 3), 'XYZ');
});

test('comm: every name is right, also when names share a place in the cache', () => {
  const data = Buffer.alloc(40);
  const nameOf = (i: number): string => (i % 3 === 0 ? `w${i}` : `worker-thread-${i}`.slice(0, 15));
  for (let round = 0; round < 3; round += 1) {
    for (let i = 0; i < 3000; i += 1) {
      data.fill(0xaa);
      data.fill(0, 5, 21);
      data.write(nameOf(i), 5, 'latin1');
      assert.equal(commText(data, 5), nameOf(i));
    }
  }
  data.fill(0);
  assert.equal(commText(data, 0), '');
});

test('views share the bytes, texts are copies', () => {
  const data = Buffer.from('stackä');
  const part = view(data, 1, 3);
  data[1] = 0x2e;
  assert.equal(part[0], 0x2e);
  assert.notEqual(part.slice().buffer, data.buffer, 'slice() of a view is a copy');
  assert.equal(view(data, 2, 2).length, 0);
  assert.equal(text(data, 3, 7), 'ckä');
});

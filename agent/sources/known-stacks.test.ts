/** Stacks are kept as they were told, up to a bound that holds on both sides. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KnownStacks } from './known-stacks.ts';

const addresses = new Uint8Array(16);

function record(stack: bigint, timeNs: number, rawBytes = 0) {
  const parts = { kernelStack: addresses, userStack: addresses, userRaw: new Uint8Array(rawBytes) };
  return { stack, timeNs, pid: 7, userEnd: 'root' as const, ...parts };
}

function known(names: string[] = []): KnownStacks {
  return new KnownStacks({
    want: () => Uint32Array.from(names.map((_, i) => i)),
    wantUser: () => new Uint32Array(0),
    of: () => names,
  });
}

test('a stack is a copy of what was told, without the frames of who observed it', () => {
  const stacks = known(['bpf_prog_1234_x', 'do_work']);
  const told = record(1n, 0);
  stacks.tell(told);
  const shown = stacks.shown(stacks.get(1n, 5));
  assert.equal(shown.kernel.length, 8);
  assert.equal(shown.user.length, 16);
  assert.notEqual(shown.user.buffer, told.userStack.buffer);
  assert.equal(stacks.shown(stacks.get(2n, 5)).user.length, 0);
});

test('beyond 12,000 the stacks that were longest not referred to are forgotten, here and in the kernel', () => {
  const stacks = known();
  const forgotten = new Set<bigint>();
  const object = {
    mapDelete: (_map: string, key: Uint8Array) => forgotten.add(Buffer.from(key).readBigUInt64LE()) !== undefined,
  };
  for (let i = 1; i <= 12_000; i += 1) stacks.tell(record(BigInt(i), i));
  stacks.trim(object);
  assert.equal(forgotten.size, 0);
  stacks.tell(record(12_001n, 12_001));
  stacks.get(1n, 20_000);
  stacks.trim(object);
  assert.equal(stacks.size, 8000);
  assert.equal(forgotten.size, 4001);
  assert.ok(!forgotten.has(1n) && forgotten.has(2n), 'the first was used since');
});

test('copies of memory are kept of the 256 latest stacks', () => {
  const stacks = known();
  for (let i = 1; i <= 300; i += 1) stacks.tell(record(BigInt(i), i, 100));
  const raw = Array.from({ length: 300 }, (_, i) => stacks.get(BigInt(i + 1), 0)?.stack.raw.length ?? -1);
  assert.equal(raw.filter(length => length === 100).length, 256);
  assert.equal(raw[0], 0);
  assert.equal(raw[299], 100);
});

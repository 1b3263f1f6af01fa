/** Frames that are no code: those called by what was observed have ids of their own, in any number, up to a limit. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NativeSymbolizer } from './bpf/native.ts';
import { type CapturedFrame, firstObjectId, StackResolver } from './stack-resolver.ts';

function make(): { resolver: StackResolver; frames: CapturedFrame[] } {
  const frames: CapturedFrame[] = [];
  // Marks need no symbolizer: it is asked for locations of code alone.
  return { frames, resolver: new StackResolver({} as NativeSymbolizer, { frame: info => void frames.push(info) }) };
}

const none = new Uint32Array(0);

test('a lock is a frame of its own, told once, and needs no name from elsewhere', () => {
  const { resolver, frames } = make();
  const lock = (name: string) => resolver.withMark(none, { name, kind: 'lock', isObserved: true });
  const [first, again, second] = [lock('lock a'), lock('lock a'), lock('lock b')];
  assert.deepEqual([...first], [firstObjectId]);
  assert.deepEqual(first, again);
  assert.notDeepEqual(first, second);
  assert.ok(resolver.isNamed(first));
  const told = frames.filter(({ kind }) => kind === 'lock');
  assert.deepEqual(
    told.map(({ lines }) => lines[0]?.name),
    ['lock a', 'lock b'],
  );
  assert.notEqual(told[0]?.address, told[1]?.address);
});

test('locks without end do not fill the memory', () => {
  const { resolver, frames } = make();
  const ids = new Set<number>();
  for (let i = 0; i < 20_000; i += 1) {
    for (const id of resolver.withMark(none, { name: `lock ${i}`, kind: 'lock', isObserved: true })) ids.add(id);
  }
  assert.equal(ids.size, 16_385);
  assert.equal(frames.at(-1)?.lines[0]?.name, 'one of too many to name');
});

test('who let go of a lock stands on it under a mark of its own, root on top', () => {
  const { resolver, frames } = make();
  const woken = resolver.wokenBy(Uint32Array.of(300, 301), Uint32Array.of(400, 401), {
    name: 'let go by its owner',
    kind: 'lock',
  });
  assert.deepEqual([...woken.subarray(0, 2), ...woken.subarray(3)], [300, 301, 401, 400]);
  assert.equal(frames.find(({ id }) => id === woken[2])?.lines[0]?.name, 'let go by its owner');
});

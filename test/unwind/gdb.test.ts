/** Members of the zoo build and run, and gdb's stacks of them are the chains of calls that they are known for. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildMember, MEMBERS } from '../zoo/members.ts';
import { startAnimal } from '../zoo/zoo.ts';
import { type StoppedThread, stopAtRandom } from './gdb.ts';

async function stacksOf(name: string, stops: number): Promise<StoppedThread[]> {
  const member = MEMBERS.find(candidate => candidate.name === name);
  assert.ok(member, name);
  const { binary, symbolFile, args } = await buildMember(member);
  const { child, pid } = await startAnimal(binary, args);
  const threads: StoppedThread[] = [];
  try {
    await stopAtRandom({ pid, symbolFile, stops, seed: 7, threads: 4 }, async stop => void threads.push(...stop.threads));
  } finally {
    child.kill('SIGKILL');
  }
  return threads;
}

test('names of members are used once', () => {
  assert.equal(new Set(MEMBERS.map(({ name }) => name)).size, MEMBERS.length);
});

test('gdb stops a program at many places and sees it to its root', async () => {
  const threads = await stacksOf('recursion-gcc', 12);
  assert.equal(threads.length, 12);
  assert.ok(new Set(threads.map(({ ip }) => ip)).size > 3);
  assert.ok(Math.max(...threads.map(({ frames }) => frames.length)) > 100);
  for (const { ip, registers, frames, end } of threads) {
    assert.equal(end, 'outermost');
    assert.equal(frames[0]?.pc, ip);
    assert.equal(frames[0]?.sp, registers[7]);
    // The frames of libc and crt1 above main are the same in all.
    assert.deepEqual(
      frames.slice(-3).map(({ pc }) => pc),
      threads[0]?.frames.slice(-3).map(({ pc }) => pc),
    );
  }
});

test('every thread of a program is seen, in its system call too', async () => {
  const threads = await stacksOf('blocked', 3);
  assert.equal(new Set(threads.map(({ tid }) => tid)).size, 4);
});

test('signal frames are told from others', async () => {
  const threads = await stacksOf('signals-alternate', 12);
  const types = new Set(threads.flatMap(({ frames }) => frames.map(({ type }) => type)));
  assert.deepEqual([...types].sort(), ['normal', 'signal']);
});

/**
 * The zoo's core members, all at once, by source cpu's programs in this kernel: their stacks reach the true root of their thread, and
 * none claims a root that is none.
 */

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { after, test } from 'node:test';
import { isEmulated } from '../../../test/live/source-run.ts';
import { ROOTS } from '../../../test/unwind/roots.ts';
import { type BuiltMember, buildMember, CORE_MEMBERS } from '../../../test/zoo/members.ts';
import { startAnimal } from '../../../test/zoo/zoo.ts';
import { functionNamer, type LiveWalks, unwindRoot, walkLiveAll } from './walk-live.ts';

const hz = isEmulated ? 199 : 499;
const seconds = 3;
/** The issue's own bound. */
const minComplete = 0.995;

/** Under emulation each program takes seconds to begin: one for each way in which stacks are hard. */
const emulatedNames = [
  'chain-gcc-O2',
  'signals-alternate',
  'vforks',
  'plt-dlopen',
  'frames-gcc',
  'coroutines-gcc',
  'go-stripped',
];
/** While the runtime of C++ puts a handler's registers in place, there is no stack to see; live.ts tells how often that is. */
const members = CORE_MEMBERS.filter(({ name }) => name !== 'exceptions-gcc' && (!isEmulated || emulatedNames.includes(name)));

const subjects: (BuiltMember & { readonly name: string; readonly pid: number })[] = [];
const running: ChildProcess[] = [];
const endAll = (): void => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
};
after(endAll);

/** What stacks that reach a root begin with and should not; libc's own functions have no names to tell. */
function falseRoots({ binary, symbolFile }: BuiltMember, walks: LiveWalks): string[] {
  const nameOf = functionNamer(walks, binary, symbolFile);
  const hasFile = (address: number) =>
    walks.mappings.some(({ start, end, path }) => address >= start && address < end && path.startsWith('/'));
  const roots = walks.samples
    .filter(({ end }) => end === unwindRoot)
    .map(({ addresses }) => (addresses.at(-1) ?? 0) - (addresses.length > 1 ? 1 : 0));
  return [...new Set(roots)].flatMap(address => {
    const name = nameOf(address);
    return name === undefined ? (hasFile(address) ? [] : [address.toString(16)]) : ROOTS.test(name) ? [] : [name];
  });
}

test('stacks of all core members reach the true root of their thread', async () => {
  // They stand still until samples are taken: so many busy programs would leave no time to make their tables.
  for (const member of members) {
    const built = await buildMember(member);
    const { pid, child } = await startAnimal(built.binary, built.args);
    running.push(child);
    subjects.push({ ...built, name: member.name, pid });
    process.kill(pid, 'SIGSTOP');
  }
  const pids = subjects.map(({ pid }) => pid);
  const walksOf = await walkLiveAll(pids, hz, seconds);
  // What follows would have a small share of a CPU else.
  endAll();
  let samples = 0;
  const ends: string[] = [];
  for (const subject of subjects) {
    const walks = walksOf(subject.pid);
    assert.deepEqual(falseRoots(subject, walks), [], `${subject.name} claims roots that are none`);
    const user = walks.samples.filter(({ addresses }) => addresses.length > 0);
    samples += user.length;
    for (const { end } of user) if (end !== unwindRoot) ends.push(`${subject.name} ends with ${end}`);
    // One of them sleeps nearly always.
    assert.ok(
      user.some(({ end }) => end === unwindRoot) || subject.name === 'blocked',
      `${subject.name}: ${user.length} samples`,
    );
  }
  console.log(
    [`${samples - ends.length} of ${samples} samples of ${subjects.length} programs reach the root`, ...ends].join('\n'),
  );
  assert.ok(samples >= (isEmulated ? 200 : 400), `${samples} samples`);
  assert.ok(ends.length <= samples * (1 - minComplete), ends.join(', '));
});

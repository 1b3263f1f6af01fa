/** Live samples of programs built without frame pointers reach their root, through the calls that the program makes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEmulated } from '../../../test/live/source-run.ts';
import { type BuiltMember, buildMember } from '../../../test/zoo/members.ts';
import { startAnimal } from '../../../test/zoo/zoo.ts';
import { functionNames, type LiveWalks, unwindRoot, type WalkedName, walkedMembers, walkLive } from './walk-live.ts';

const hz = isEmulated ? 199 : 997;
const seconds = isEmulated ? 4 : 2;
/** A host that is shared gives a program as little as a tenth of a CPU. */
const minSamples = isEmulated ? 30 : 100;

async function walk(name: WalkedName, isTold = true): Promise<{ walks: LiveWalks; built: BuiltMember }> {
  const member = walkedMembers.find(one => one.name === name);
  assert.ok(member, `${name} is in the zoo`);
  const built = await buildMember(member);
  const animal = await startAnimal(built.binary, built.args);
  try {
    return { walks: await walkLive(animal.pid, hz, seconds, isTold), built };
  } finally {
    animal.child.kill('SIGKILL');
  }
}

/** What each function of chain.c may be called by. Where jump_table ends in a call it lends its frame. */
const callers: Readonly<Record<string, readonly string[]>> = {
  main: ['_start'],
  outer: ['main'],
  middle: ['outer'],
  inner: ['middle'],
  jump_table: ['inner'],
  early_return: ['jump_table', 'inner'],
  variable_arguments: ['jump_table', 'inner'],
  many_registers: ['jump_table', 'early_return', 'inner'],
};

function assertWhole(samples: LiveWalks['samples'], atLeast = minSamples): void {
  assert.ok(samples.length >= atLeast, `${samples.length} samples`);
  const cut = samples.filter(({ end }) => end !== unwindRoot);
  assert.ok(
    cut.length <= samples.length * 0.005,
    `${cut.length} of ${samples.length} are cut: ${JSON.stringify(cut.slice(0, 3))}`,
  );
}

for (const isTold of [true, false]) {
  const title = isTold ? 'every sample of a chain of calls is whole' : 'without tables, user space walks the copies to the root';
  test(`${title}, each function under its caller`, async () => {
    const { walks, built } = await walk('chain-gcc-O2', isTold);
    const samples = isTold ? walks.samples : walks.resumed;
    // How many copies may be made in a second is bounded, and other programs use them up too.
    assertWhole(samples, isTold ? minSamples : 20);
    const namesOf = functionNames(walks, built.binary);
    const seen = new Set<string>();
    for (const sample of samples.filter(({ end }) => end === unwindRoot)) {
      const names = namesOf(sample).filter(name => name !== '__do_global_dtors_aux');
      assert.equal(names[0], '_start', names.join(' '));
      for (const [i, name] of names.entries()) {
        seen.add(name);
        const known = callers[name];
        if (i > 0 && known !== undefined) assert.ok(known.includes(names[i - 1] ?? ''), names.join(' '));
      }
    }
    for (const name of ['main', 'inner', 'jump_table', 'many_registers']) assert.ok(seen.has(name), `${name} was seen`);
    if (!isTold) {
      assert.ok(walks.samples.every(({ addresses, end }) => addresses.length === 1 && end !== unwindRoot));
    }
  });
}

test('five hundred frames are told to the last', async () => {
  const { walks, built } = await walk('recursion-gcc');
  assertWhole(walks.samples);
  const namesOf = functionNames(walks, built.binary);
  const steps = walks.samples.map(sample => namesOf(sample).filter(name => name.startsWith('step_')).length);
  assert.ok(Math.max(...steps) >= 500, `${Math.max(...steps)} calls at most`);
  for (const sample of walks.samples.slice(0, 50)) {
    const names = namesOf(sample).slice(2);
    for (const [i, name] of names.entries())
      assert.equal(name, ['step_small', 'step_registers', 'step_large'][i % 3], `${i} of ${names.length}`);
  }
});

test('stacks go on below a signal handler on a stack of its own', async () => {
  const { walks, built } = await walk('signals-alternate');
  assertWhole(walks.samples);
  const namesOf = functionNames(walks, built.binary);
  assert.ok(walks.samples.every(sample => namesOf(sample)[0] === '_start'));
});

/**
 * The core members of the zoo, and the real programs that this machine has, are stopped at a few random points each: hotspan's stacks
 * are gdb's, frame by frame, in the process and in a core that gcore makes of it. `node test/unwind/truth.ts` stops all members more often.
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CORE_MEMBERS } from '../zoo/members.ts';
import { CoreGdb } from './gdb.ts';
import { REAL_PROGRAMS } from './real-programs.ts';
import { compareSubject, type Subject } from './subject.ts';
import { startMember } from './truth.ts';
import { buildWalker, Walker } from './walker.ts';

/** Whole seconds go by with each stop of these: debug information that gdb reads, threads that it attaches to. */
const ROUTINE_REALS = ['nginx', 'redis-server', 'python3', 'node'];

const gdb = new CoreGdb();
let walker: Walker;
before(async () => {
  walker = new Walker(await buildWalker());
});
after(() => {
  walker.stop();
  gdb.stop();
});

async function check(subject: Subject, stops: number, coreStops: number): Promise<void> {
  try {
    // A seed of its own each time: over many runs many places are met. It is printed, so that a fault can be met again.
    const seed = Math.floor(Math.random() * 1e9);
    const cores = { gdb, stops: coreStops };
    const tally = await compareSubject(subject, walker, { stops, seed, threads: 4, coreFolder: '', isLive: true, cores });
    const { different = 0, 'walk-short': short = 0 } = tally.differences;
    const places = [...tally.places].map(([place, count]) => `${count} x ${place}`).join('\n');
    console.log(`${subject.name}: ${tally.stacks} stacks, ${tally.equal} of ${tally.frames} frames equal, seed ${seed}`);
    assert.equal(different + short, 0, places);
    assert.ok(tally.frames >= stops, `only ${tally.frames} frames`);
    assert.equal(tally.cores, coreStops);
  } finally {
    subject.stop();
  }
}

describe("stacks are gdb's", { concurrency: 1 }, () => {
  for (const member of CORE_MEMBERS) {
    // Half a minute goes by until gdb has read a core of Go's.
    test(member.name, async () => check(await startMember(member), 8, member.tool === 'go' ? 0 : 1));
  }
  for (const name of ROUTINE_REALS) {
    test(name, async () => {
      const subject = await REAL_PROGRAMS[name]?.();
      assert.ok(typeof subject === 'object', `${subject} is not there; scripts/setup.sh test brings it`);
      await check(subject, 8, 0);
    });
  }
});

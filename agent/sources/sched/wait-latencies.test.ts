/** What waits are counted under fits what their stacks would say, as far as a system call tells it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { causeOfSleep, causeOfSyscall } from './wait-cause.ts';
import { waitsBySyscall } from './wait-latencies.ts';

test('every system call whose cause is known is counted under it, and fits the programs’ table', () => {
  const waits = waitsBySyscall();
  for (const [syscall] of causeOfSyscall) {
    const cause = causeOfSleep({
      functions: [],
      callers: () => [],
      isLock: false,
      syscall,
      isIoWait: false,
      isUninterruptible: false,
    });
    assert.equal(waits.get(syscall), cause.replaceAll(' ', '_'), `system call ${syscall}`);
  }
  // SCHED_CALLS of bpf/sched/sched.bpf.c.
  for (const call of waits.keys()) assert.ok(call < 512, String(call));
});

test('a read can be of anything, and says so', () => {
  assert.equal(waitsBySyscall().get(0), 'read_write');
});

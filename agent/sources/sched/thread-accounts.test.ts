/** What is told of a thread adds up to elapsed time, whenever its intervals end. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SchedState, type SchedThread, type SchedTotals, schedState } from '../../events/index.ts';
import { ThreadAccounts } from './thread-accounts.ts';

const second = 1e9;
const noTotals: SchedTotals = {
  onCpuNs: 0,
  preemptedNs: 0,
  wokenNs: 0,
  blockedNs: 0,
  preempted: 0,
  woken: 0,
  blocked: 0,
  untoldPreemptedNs: 0,
  untoldWokenNs: 0,
  untoldBlockedNs: 0,
  unseenNs: 0,
};

function threadIn(state: SchedState, sinceNs: number, totals: Partial<SchedTotals> = {}): SchedThread {
  return {
    sinceNs,
    stack: 7n,
    wakerStack: 0n,
    pid: 10,
    wakerPid: 0,
    wakerTid: 0,
    syscall: 0,
    state: schedState[state],
    flags: 0,
    comm: 'worker',
    totals: { ...noTotals, ...totals },
  };
}

function blockedSum(totalNs: number, count = 1) {
  const key = {
    stack: 7n,
    wakerStack: 9n,
    pid: 10,
    tid: 11,
    wakerPid: 1,
    wakerTid: 2,
    syscall: 0,
    state: schedState.blocked,
    flags: 0,
  };
  return [key, { totalNs, longestNs: totalNs, count }] as const;
}

test('a wait that lasts is told second by second, and its sum brings only what is left', () => {
  const accounts = new ThreadAccounts();
  let toldNs = 0;
  for (let now = 1; now <= 5; now += 1) {
    accounts.begin();
    const { wait } = accounts.thread(11, threadIn('blocked', 0.5 * second), now * second);
    toldNs += wait?.ns ?? 0;
    assert.equal(wait?.count ?? 0, 0);
  }
  assert.equal(toldNs, 4.5 * second);
  const last = accounts.sum(...blockedSum(5.25 * second));
  assert.deepEqual([last?.ns, last?.count], [0.75 * second, 1]);
  assert.deepEqual(accounts.sum(...blockedSum(3 * second))?.ns, 3 * second, 'the debt is paid once');
});

test('sums smaller than the debt pay it in parts', () => {
  const accounts = new ThreadAccounts();
  accounts.begin();
  accounts.thread(11, threadIn('blocked', 0), 4 * second);
  assert.equal(accounts.sum(...blockedSum(1 * second))?.ns, 0);
  assert.equal(accounts.sum(...blockedSum(4 * second))?.ns, 1 * second);
});

test('time on CPU is told as it passes, and never twice', () => {
  const accounts = new ThreadAccounts();
  accounts.begin();
  assert.equal(accounts.thread(11, threadIn('on_cpu', 1 * second), 3 * second).time.onCpuNs, 2 * second);
  accounts.begin();
  const totals = { onCpuNs: 2.5 * second };
  assert.equal(accounts.thread(11, threadIn('blocked', 3.5 * second, totals), 4 * second).time.onCpuNs, 0.5 * second);
  assert.equal(
    accounts.end(11, { pid: 10, comm: 'worker', totals: { ...noTotals, onCpuNs: 2.75 * second } }).onCpuNs,
    0.25 * second,
  );
});

test('what was read in the midst of a change is waited for', () => {
  const accounts = new ThreadAccounts();
  accounts.begin();
  // The total has the run already, and the moment since when it runs has not been moved yet.
  assert.equal(accounts.thread(11, threadIn('on_cpu', 0, { onCpuNs: 1 * second }), 1 * second).time.onCpuNs, 2 * second);
  accounts.begin();
  assert.equal(accounts.thread(11, threadIn('on_cpu', 1 * second, { onCpuNs: 1 * second }), 1.5 * second).time.onCpuNs, 0);
  accounts.begin();
  assert.equal(
    accounts.thread(11, threadIn('on_cpu', 1 * second, { onCpuNs: 1 * second }), 2.5 * second).time.onCpuNs,
    0.5 * second,
  );
});

test('a thread id that is given again begins at zero', () => {
  const accounts = new ThreadAccounts();
  accounts.begin();
  accounts.end(11, { pid: 10, comm: 'worker', totals: { ...noTotals, onCpuNs: 5 * second } });
  assert.equal(accounts.thread(11, threadIn('on_cpu', 0, { onCpuNs: 1 * second }), 0).time.onCpuNs, 1 * second);
});

test('threads that are gone are forgotten, their names a little later than they', () => {
  const accounts = new ThreadAccounts();
  accounts.begin();
  accounts.thread(11, threadIn('blocked', 0), 1 * second);
  for (let round = 0; round < 3; round += 1) {
    accounts.begin();
    accounts.finish();
  }
  assert.equal(accounts.commOf(11), 'worker');
  for (let round = 0; round < 3; round += 1) {
    accounts.begin();
    accounts.finish();
  }
  assert.equal(accounts.size, 0);
});

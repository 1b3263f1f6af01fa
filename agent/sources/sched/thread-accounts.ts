/**
 * Every thread's time, told as it passes. The kernel sums intervals that have ended; one that still lasts is told here second by
 * second, and what was told is taken off the sum in which it arrives when it ends. So all that is told adds up to elapsed time.
 */

import type { SchedSum, SchedSumKey, SchedThread, SchedTotals } from '../../events/index.ts';
import { schedState } from '../../events/index.ts';

/** A part of a thread's waiting: the key says where and for whom, `ns` and `count` how much of it is new. */
export interface Wait {
  readonly key: SchedSumKey;
  readonly ns: number;
  /** Intervals that ended; 0 for a part of one that lasts. */
  readonly count: number;
}

/** What is new of a thread's time that is in no Wait. */
export interface ThreadTime {
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
  readonly onCpuNs: number;
  /** Waits too short for a stack, or for which the sums had no room. */
  readonly untoldRunnableNs: number;
  readonly untoldBlockedNs: number;
  /** Of which is not known whether it waited or ran, because the kernel left out a switch. */
  readonly unseenNs: number;
}

interface Told {
  comm: string;
  onCpuNs: number;
  untoldRunnableNs: number;
  untoldBlockedNs: number;
  unseenNs: number;
  /** The interval that lasts, and until when it was told. */
  openSinceNs: number;
  openToldNs: number;
  /** By state and stack: told of intervals whose sum has not come yet. */
  debts: Map<string, number> | undefined;
  /** In which round it was last seen. */
  round: number;
}

/** A thread that is no longer there is remembered for this many rounds, in which the last of its sums come. */
const roundsAfterEnd = 4;

export class ThreadAccounts {
  private readonly threads = new Map<number, Told>();
  private round = 0;

  get size(): number {
    return this.threads.size;
  }

  /** Last name of a thread, also some rounds after its end; '' where it was never seen. */
  commOf(tid: number): string {
    return this.threads.get(tid)?.comm ?? '';
  }

  /** A sum that the kernel closed; undefined where all of it was told before. */
  sum(key: SchedSumKey, sum: SchedSum): Wait | undefined {
    const debts = this.threads.get(key.tid)?.debts;
    const debtKey = debtKeyOf(key);
    const debt = debts?.get(debtKey) ?? 0;
    if (debts === undefined || debt === 0) return { key, ns: sum.totalNs, count: sum.count };
    const paid = Math.min(debt, sum.totalNs);
    if (paid === debt) debts.delete(debtKey);
    else debts.set(debtKey, debt - paid);
    return { key, ns: sum.totalNs - paid, count: sum.count };
  }

  /** Begins a round of reading all threads. */
  begin(): void {
    this.round += 1;
  }

  /** A thread as it is at `nowNs`: its new time, and the new part of the wait that it is in. */
  thread(tid: number, thread: SchedThread, nowNs: number): { time: ThreadTime; wait: Wait | undefined } {
    const told = this.toldOf(tid);
    const isOnCpu = thread.state === schedState.on_cpu;
    const runsNs = isOnCpu ? Math.max(0, nowNs - thread.sinceNs) : 0;
    return { time: timeOf(told, tid, thread, runsNs), wait: this.openWait(told, tid, thread, nowNs) };
  }

  /** A thread's last words. What it still owes is kept for the sums that are on their way. */
  end(tid: number, ended: { pid: number; comm: string; totals: SchedTotals }): ThreadTime {
    const told = this.toldOf(tid);
    const time = timeOf(told, tid, ended, 0);
    Object.assign(told, { onCpuNs: 0, untoldRunnableNs: 0, untoldBlockedNs: 0, unseenNs: 0 });
    return time;
  }

  /** Forgets threads that are gone. */
  finish(): void {
    for (const [tid, told] of this.threads) if (this.round - told.round > roundsAfterEnd) this.threads.delete(tid);
  }

  private toldOf(tid: number): Told {
    let told = this.threads.get(tid);
    if (told === undefined) {
      told = {
        comm: '',
        onCpuNs: 0,
        untoldRunnableNs: 0,
        untoldBlockedNs: 0,
        unseenNs: 0,
        openSinceNs: 0,
        openToldNs: 0,
        debts: undefined,
        round: this.round,
      };
      this.threads.set(tid, told);
    }
    told.round = this.round;
    return told;
  }

  private openWait(told: Told, tid: number, thread: SchedThread, nowNs: number): Wait | undefined {
    if (thread.state < schedState.preempted || nowNs <= thread.sinceNs) return undefined;
    const fromNs = told.openSinceNs === thread.sinceNs ? told.openToldNs : thread.sinceNs;
    const ns = nowNs - fromNs;
    // What lasts less than this is told when it ends: most waits do before anyone looks.
    if (ns < minOpenNs) return undefined;
    told.openSinceNs = thread.sinceNs;
    told.openToldNs = nowNs;
    const { pid, stack, syscall, state, flags } = thread;
    const key = { stack, wakerStack: 0n, pid, tid, wakerPid: 0, wakerTid: 0, syscall, state, flags };
    told.debts ??= new Map();
    const debtKey = debtKeyOf(key);
    told.debts.set(debtKey, (told.debts.get(debtKey) ?? 0) + ns);
    return { key, ns, count: 0 };
  }
}

/** 900 ms, so that a thread that sleeps on is told in every round of a second. */
const minOpenNs = 900e6;

function debtKeyOf({ state, stack }: { state: number; stack: bigint }): string {
  return `${state} ${stack}`;
}

/** Totals only grow; one that was read while the kernel wrote it may be ahead of itself, and is waited for then. */
function timeOf(told: Told, tid: number, thread: { pid: number; comm: string; totals: SchedTotals }, runsNs: number): ThreadTime {
  const { totals, pid, comm } = thread;
  told.comm = comm;
  const now = {
    onCpuNs: totals.onCpuNs + runsNs,
    untoldRunnableNs: totals.untoldPreemptedNs + totals.untoldWokenNs,
    untoldBlockedNs: totals.untoldBlockedNs,
    unseenNs: totals.unseenNs,
  };
  const take = (name: keyof typeof now): number => {
    const fresh = Math.max(0, now[name] - told[name]);
    told[name] += fresh;
    return fresh;
  };
  return {
    pid,
    tid,
    comm,
    onCpuNs: take('onCpuNs'),
    untoldRunnableNs: take('untoldRunnableNs'),
    untoldBlockedNs: take('untoldBlockedNs'),
    unseenNs: take('unseenNs'),
  };
}

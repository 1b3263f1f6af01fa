/**
 * Which process a pid means now, with the store's id for it. Fed by source exec; where that source does not run, or has not told
 * yet, a process is looked up in /proc once, so that a sample never goes without an owner.
 */

import { readFileSync } from 'node:fs';
import type { Clock } from './lib/clock.ts';
import { serviceName } from './service-name.ts';
import type { ProcessExit, ProcessStart } from './sources/source.ts';
import type { ProcessRow, StoreWriter } from './store/rows.ts';

interface Entry {
  row: ProcessRow;
  id: number;
  /** Unix milliseconds after which an exited process is forgotten; 0 while it lives. */
  forgetAtMs: number;
}

/** What is still on its way when a process ends (records in the buffers, stacks that wait for names) needs its row a little longer. */
const keepExitedMs = 10_000;

/** Bound on processes held; beyond it the table is rebuilt from what is asked for. */
const maxEntries = 200_000;

export class ProcessTable {
  private readonly store: StoreWriter;
  private readonly clock: Clock;
  private readonly entries = new Map<number, Entry>();

  constructor(store: StoreWriter, clock: Clock) {
    this.store = store;
    this.clock = clock;
  }

  get size(): number {
    return this.entries.size;
  }

  started(process: ProcessStart): void {
    const { pid, parentPid, comm, executable, commandLine, buildId, cgroupPath, containerId } = process;
    const service = serviceName(process);
    const row: ProcessRow = {
      pid,
      parentPid,
      startNs: this.clock.unixNs(process.startNs),
      comm,
      executable,
      commandLine,
      buildId,
      cgroupPath,
      containerId,
      service,
      exitNs: 0n,
      exitStatus: -1,
    };
    const known = this.entries.get(pid);
    // An exec keeps the process; the clock may have been followed between its two reports, so the first start stands.
    if (known !== undefined && known.forgetAtMs === 0 && isNear(known.row.startNs, row.startNs)) {
      row.startNs = known.row.startNs;
      if (row.buildId === '' && row.executable === known.row.executable) row.buildId = known.row.buildId;
    }
    if (this.entries.size >= maxEntries) this.entries.clear();
    this.entries.set(pid, { row, id: this.store.process(row), forgetAtMs: 0 });
  }

  exited(exit: ProcessExit): void {
    const entry = this.entries.get(exit.pid);
    if (entry === undefined) return;
    entry.row = { ...entry.row, exitNs: this.clock.unixNs(exit.timeNs), exitStatus: exit.exitStatus };
    entry.id = this.store.process(entry.row);
    entry.forgetAtMs = Date.now() + keepExitedMs;
  }

  /** The store's id of a process that did something. `comm` names it where nothing else is known. */
  idOf(pid: number, comm: string): number {
    return (this.entries.get(pid) ?? this.lookUp(pid, comm)).id;
  }

  rowOf(pid: number, comm: string): ProcessRow {
    return (this.entries.get(pid) ?? this.lookUp(pid, comm)).row;
  }

  /** Forgets processes that ended a while ago. */
  expire(nowMs: number): void {
    for (const [pid, entry] of this.entries) {
      if (entry.forgetAtMs !== 0 && entry.forgetAtMs < nowMs) this.entries.delete(pid);
    }
  }

  private lookUp(pid: number, comm: string): Entry {
    const found = pid === 0 ? undefined : readProcess(pid);
    this.started({
      pid,
      parentPid: found?.parentPid ?? 0,
      startNs: found?.startNs ?? 0,
      comm: found?.comm ?? comm,
      executable: '',
      commandLine: found?.commandLine ?? '',
      buildId: '',
      cgroupPath: '',
      containerId: '',
    });
    return this.entries.get(pid) as Entry;
  }
}

/** /proc counts starts in ticks of 10 ms, the kernel's events in nanoseconds: within 20 ms they are the same start. */
function isNear(a: bigint, b: bigint): boolean {
  const distance = a > b ? a - b : b - a;
  return distance < 20_000_000n;
}

function readProcess(pid: number): { parentPid: number; startNs: number; comm: string; commandLine: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const commEnd = stat.lastIndexOf(')');
    const fields = stat.slice(commEnd + 2).split(' ');
    const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    // Fields 4 and 22 of proc(5); start time in ticks of 10 ms.
    return {
      parentPid: Number(fields[1]),
      startNs: Number(fields[19]) * 1e7,
      comm: stat.slice(stat.indexOf('(') + 1, commEnd),
      commandLine,
    };
  } catch {
    // ENOENT or ESRCH: it has gone already; the caller has its comm.
    return undefined;
  }
}

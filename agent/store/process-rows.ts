/** The writer's side of processes and of series: a series is a thread of a process under one name, which samples and spans refer to. */

import type Database from 'better-sqlite3';
import { GenerationMap } from '../lib/generation-map.ts';
import { KeyTable } from './key-table.ts';
import type { ProcessRow } from './rows.ts';

/**
 * Start times come from clocks that are read anew at each start of the agent, or in ticks of 10 ms from /proc. A pid cannot be
 * given out twice within this time.
 */
const sameStartNs = 50_000_000n;

const cacheLimit = 65_536;
const pendingLimit = 100_000;

interface KnownProcess {
  readonly id: number;
  readonly startNs: bigint;
}

export class ProcessRows {
  private readonly known = new GenerationMap<number, KnownProcess>(cacheLimit);
  private readonly pending = new Map<number, { id: number; row: ProcessRow }>();
  private readonly pendingByPid = new Map<number, KnownProcess>();
  private readonly select: Database.Statement;
  private readonly upsert: Database.Statement;
  private nextId: number;
  dropped = 0;

  constructor(database: Database.Database) {
    this.select = database.prepare('SELECT id, start_ns FROM process WHERE pid = ? AND start_ns BETWEEN ? AND ?').safeIntegers();
    this.upsert = database.prepare(
      `INSERT INTO process (id, pid, start_ns, parent_pid, comm, executable, command_line, build_id, cgroup_path, container_id, service,
       exit_ns, exit_status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET parent_pid = excluded.parent_pid, comm = excluded.comm, executable = excluded.executable,
       command_line = excluded.command_line, build_id = excluded.build_id, cgroup_path = excluded.cgroup_path,
       container_id = excluded.container_id, service = excluded.service, exit_ns = excluded.exit_ns, exit_status = excluded.exit_status`,
    );
    this.nextId = ((database.prepare('SELECT max(id) FROM process').pluck().get() as number | null) ?? 0) + 1;
  }

  /** 0 when too many changed processes wait for a commit (counted in `dropped`). */
  put(row: ProcessRow): number {
    const known = this.find(row);
    if (this.pending.size >= pendingLimit && (known === undefined || !this.pending.has(known.id))) {
      this.dropped += 1;
      return known?.id ?? 0;
    }
    const entry = known ?? { id: this.nextId++, startNs: row.startNs };
    this.pending.set(entry.id, { id: entry.id, row: { ...row, startNs: entry.startNs } });
    this.pendingByPid.set(row.pid, entry);
    return entry.id;
  }

  write(): void {
    for (const { id, row } of this.pending.values()) {
      this.upsert.run(
        id,
        row.pid,
        row.startNs,
        row.parentPid,
        row.comm,
        row.executable,
        row.commandLine,
        row.buildId,
        row.cgroupPath,
        row.containerId,
        row.service,
        row.exitNs,
        row.exitStatus,
      );
    }
  }

  committed(): void {
    for (const [pid, entry] of this.pendingByPid) this.known.set(pid, entry);
    this.pending.clear();
    this.pendingByPid.clear();
  }

  private find(row: ProcessRow): KnownProcess | undefined {
    const recent = this.pendingByPid.get(row.pid) ?? this.known.get(row.pid);
    if (recent !== undefined && isSameStart(recent.startNs, row.startNs)) return recent;
    const found = this.select.get(row.pid, row.startNs - sameStartNs, row.startNs + sameStartNs) as
      | { id: bigint; start_ns: bigint }
      | undefined;
    return found === undefined ? undefined : { id: Number(found.id), startNs: found.start_ns };
  }
}

function isSameStart(a: bigint, b: bigint): boolean {
  return a > b ? a - b <= sameStartNs : b - a <= sameStartNs;
}

/** Threads change their names, so the name is part of a series; the last one of each thread is found without making a key. */
export class SeriesRows {
  private readonly table: KeyTable;
  private last = new Map<number, { thread: string; id: number }>();

  constructor(database: Database.Database) {
    this.table = new KeyTable(database, { table: 'series', columns: ['process', 'tid', 'thread'], cacheLimit, pendingLimit });
  }

  /** 0 when too many new series wait for a commit. */
  id(processId: number, tid: number, thread: string): number {
    // Linux gives out tids below 2^22, and process ids stay far below 2^31.
    const key = processId * 4_194_304 + tid;
    const last = this.last.get(key);
    if (last !== undefined && last.thread === thread) return last.id;
    const id = this.table.id(processId, tid, thread);
    if (this.last.size >= cacheLimit) this.last = new Map();
    if (id !== 0) this.last.set(key, { thread, id });
    return id;
  }

  write(): void {
    this.table.write();
  }

  committed(): void {
    this.table.committed();
  }

  forget(): void {
    this.last.clear();
    this.table.forget();
  }
}

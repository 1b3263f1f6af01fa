/**
 * Samples on their way to disk: summed in memory by (type, second, series, stack) and written with every commit, so that a killed
 * agent loses nothing that was committed; minutes are made from the seconds' rows once they are over (rollup.ts).
 */

import type Database from 'better-sqlite3';
import { KeyTable } from './key-table.ts';
import type { Rollup } from './rollup.ts';
import { encodeSamples, mergeSamples, type SampleEntry } from './sample-blob.ts';

/** Distinct (row, stack) pairs in memory; beyond it samples are dropped. About 100 bytes each. */
const maxEntries = 500_000;

/** A second's sums stay in memory for this many commits after their last sample: the next one then needs no read. */
const keptCommits = 4;

interface Row {
  readonly type: number;
  readonly time: number;
  readonly series: number;
  readonly isMinute: boolean;
  readonly entries: Map<number, SampleEntry>;
  isDirty: boolean;
  /** Whether what was on disk before has been taken in. */
  isWhole: boolean;
  idleCommits: number;
}

export class SampleWriter {
  readonly types: KeyTable;
  private readonly rollup: Rollup;
  /** By time (minutes as negative numbers), then by type and series. */
  private readonly rows = new Map<number, Map<number, Row>>();
  private readonly statements: { second: Statements; minute: Statements };
  private entries = 0;
  dropped = 0;

  constructor(database: Database.Database, rollup: Rollup) {
    this.rollup = rollup;
    this.types = new KeyTable(database, { table: 'profile_type', columns: ['name'], cacheLimit: 100, pendingLimit: 100 });
    this.statements = { second: prepare(database, 'sample_second'), minute: prepare(database, 'sample_minute') };
  }

  /** False when there is no room; the sample is counted in `dropped` then. */
  add(profileType: string, timeMs: number, series: number, stack: number, sample: SampleEntry): boolean {
    const type = this.types.id(profileType);
    if (this.entries >= maxEntries || type === 0 || series === 0) {
      this.dropped += sample.count;
      return false;
    }
    const row = this.rowOf(type, Math.floor(timeMs / 1000), series);
    const entry = row.entries.get(stack);
    if (entry === undefined) {
      row.entries.set(stack, { count: sample.count, value: Math.round(sample.value) });
      this.entries += 1;
    } else {
      entry.count += sample.count;
      entry.value += Math.round(sample.value);
    }
    row.isDirty = true;
    row.idleCommits = 0;
    return true;
  }

  write(): void {
    this.types.write();
    for (const rows of this.rows.values()) {
      for (const row of rows.values()) if (row.isDirty) this.writeRow(row);
    }
  }

  committed(): void {
    this.types.committed();
    for (const [time, rows] of this.rows) {
      for (const [key, row] of rows) {
        row.isDirty = false;
        row.idleCommits += 1;
        if (row.idleCommits <= keptCommits) continue;
        rows.delete(key);
        this.entries -= row.entries.size;
      }
      if (rows.size === 0) this.rows.delete(time);
    }
  }

  private rowOf(type: number, second: number, series: number): Row {
    // What is older than the seconds that are kept goes to its minute at once.
    const isMinute = second < this.rollup.secondsFloor;
    const time = isMinute ? Math.floor(second / 60) : second;
    const bucket = isMinute ? -time : time;
    let rows = this.rows.get(bucket);
    if (rows === undefined) {
      rows = new Map();
      this.rows.set(bucket, rows);
      if (!isMinute) this.rollup.touch(second);
    }
    const key = type * 4_294_967_296 + series;
    let row = rows.get(key);
    if (row === undefined) {
      row = { type, time, series, isMinute, entries: new Map(), isDirty: true, isWhole: false, idleCommits: 0 };
      rows.set(key, row);
    }
    if (!row.isDirty && !isMinute) this.rollup.touch(second);
    return row;
  }

  private writeRow(row: Row): void {
    const { select, replace } = row.isMinute ? this.statements.minute : this.statements.second;
    if (!row.isWhole) {
      const stored = select.get(row.type, row.time, row.series) as { samples: number; value: number; data: Buffer } | undefined;
      const before = row.entries.size;
      if (stored !== undefined) mergeSamples(stored.data, stored.samples, stored.value, row.entries);
      this.entries += row.entries.size - before;
      row.isWhole = true;
    }
    const { data, samples, value } = encodeSamples(row.entries);
    replace.run(row.type, row.time, row.series, samples, value, data);
  }
}

interface Statements {
  readonly select: Database.Statement;
  readonly replace: Database.Statement;
}

function prepare(database: Database.Database, table: string): Statements {
  return {
    select: database.prepare(`SELECT samples, value, data FROM ${table} WHERE type = ? AND time = ? AND series = ?`),
    replace: database.prepare(
      `INSERT OR REPLACE INTO ${table} (type, time, series, samples, value, data) VALUES (?, ?, ?, ?, ?, ?)`,
    ),
  };
}

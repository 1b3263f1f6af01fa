/**
 * Seconds into minutes: once a minute is over, its rows of samples, metrics and operations are summed into one row each, in the
 * same transaction as everything else. Seconds are kept for ten minutes. Two marks in `meta` tell readers what lies where:
 * minutes before `rolled_minute` are in the minute tables, seconds from `seconds_floor` on are in the second tables.
 */

import type Database from 'better-sqlite3';
import { addBuckets, decodeBuckets, encodeBuckets } from './operation-buckets.ts';
import { encodeSamples, mergeSamples, type SampleEntry } from './sample-blob.ts';

/** What was seen in a minute may come this much after its end: batches, and stacks that wait for names. */
const graceMs = 5000;
const keptMinutes = 10;

interface SampleRowOnDisk {
  type: number;
  series: number;
  samples: number;
  value: number;
  data: Buffer;
}

interface OperationRowOnDisk {
  operation: number;
  calls: number;
  errors: number;
  bytes: number;
  total_ns: number;
  buckets: Buffer;
}

export class Rollup {
  /** First second, at a full minute, whose rows are kept by the second. */
  secondsFloor: number;
  private rolledMinute: number;
  /** Minutes with new rows by the second. */
  private touched = new Set<number>();
  private next: { rolledMinute: number; secondsFloor: number } | undefined;
  private readonly database: Database.Database;
  private readonly statements: ReturnType<typeof prepareAll>;

  constructor(database: Database.Database, nowMs: number) {
    this.database = database;
    this.statements = prepareAll(database);
    const nowMinute = Math.floor((nowMs - graceMs) / 60_000);
    this.rolledMinute = readMeta(database, 'rolled_minute') ?? nowMinute;
    this.secondsFloor = readMeta(database, 'seconds_floor') ?? (nowMinute - keptMinutes) * 60;
    this.touchUnrolled();
  }

  /** Says that rows of this second are about to be written. */
  touch(second: number): void {
    this.touched.add(Math.floor(second / 60));
  }

  /** Inside the commit's transaction, after the rows by the second were written. */
  write(nowMs: number): void {
    const nowMinute = Math.floor((nowMs - graceMs) / 60_000);
    for (const minute of this.touched) if (minute < nowMinute) this.rollMinute(minute);
    const rolledMinute = Math.max(this.rolledMinute, nowMinute);
    const secondsFloor = Math.max(this.secondsFloor, (rolledMinute - keptMinutes) * 60);
    if (rolledMinute !== this.rolledMinute || secondsFloor !== this.secondsFloor) {
      this.statements.setMeta.run('rolled_minute', rolledMinute);
      this.statements.setMeta.run('seconds_floor', secondsFloor);
      for (const remove of this.statements.removeSeconds) remove.run(secondsFloor);
      for (const type of this.statements.types.all() as number[]) this.statements.removeSamples.run(type, secondsFloor);
    }
    this.next = { rolledMinute, secondsFloor };
  }

  committed(): void {
    if (this.next === undefined) return;
    const { rolledMinute, secondsFloor } = this.next;
    for (const minute of this.touched) if (minute < rolledMinute) this.touched.delete(minute);
    this.rolledMinute = rolledMinute;
    this.secondsFloor = secondsFloor;
    this.next = undefined;
  }

  private rollMinute(minute: number): void {
    const from = minute * 60;
    for (const type of this.statements.types.all() as number[]) this.rollSamples(type, minute);
    this.statements.rollMetrics.run(minute, from, from + 60);
    this.rollOperations(minute);
  }

  private rollSamples(type: number, minute: number): void {
    const series = new Map<number, Map<number, SampleEntry>>();
    const rows = this.statements.samples.iterate(type, minute * 60, minute * 60 + 60) as IterableIterator<SampleRowOnDisk>;
    for (const row of rows) {
      let entries = series.get(row.series);
      if (entries === undefined) {
        entries = new Map();
        series.set(row.series, entries);
      }
      mergeSamples(row.data, row.samples, row.value, entries);
    }
    for (const [id, entries] of series) {
      const { data, samples, value } = encodeSamples(entries);
      this.statements.replaceSamples.run(type, minute, id, samples, value, data);
    }
  }

  private rollOperations(minute: number): void {
    const sums = new Map<number, Omit<OperationRowOnDisk, 'buckets'> & { buckets: number[] }>();
    const rows = this.statements.operations.iterate(minute * 60, minute * 60 + 60) as IterableIterator<OperationRowOnDisk>;
    for (const row of rows) {
      const sum = sums.get(row.operation);
      if (sum === undefined) {
        sums.set(row.operation, { ...row, buckets: decodeBuckets(row.buckets) });
        continue;
      }
      sum.calls += row.calls;
      sum.errors += row.errors;
      sum.bytes += row.bytes;
      sum.total_ns += row.total_ns;
      addBuckets(sum.buckets, decodeBuckets(row.buckets));
    }
    for (const sum of sums.values()) {
      const { operation, calls, errors, bytes, total_ns: totalNs, buckets } = sum;
      this.statements.replaceOperation.run(minute, operation, calls, errors, bytes, totalNs, encodeBuckets(buckets));
    }
  }

  /** After a restart: minutes that the agent before had begun and not finished. */
  private touchUnrolled(): void {
    const from = Math.max(this.rolledMinute * 60, this.secondsFloor);
    for (const table of ['sample_second', 'metric_second', 'operation_second']) {
      const seconds = this.database
        .prepare(`SELECT DISTINCT time / 60 FROM ${table} WHERE time >= ?`)
        .pluck()
        .all(from) as number[];
      for (const minute of seconds) this.touched.add(minute);
    }
  }
}

export function readMeta(database: Database.Database, key: string): number | undefined {
  return database.prepare('SELECT value FROM meta WHERE key = ?').pluck().get(key) as number | undefined;
}

function prepareAll(database: Database.Database) {
  return {
    setMeta: database.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)'),
    types: database.prepare('SELECT id FROM profile_type').pluck(),
    samples: database.prepare(
      'SELECT type, series, samples, value, data FROM sample_second WHERE type = ? AND time >= ? AND time < ?',
    ),
    replaceSamples: database.prepare(
      'INSERT OR REPLACE INTO sample_minute (type, time, series, samples, value, data) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    removeSamples: database.prepare('DELETE FROM sample_second WHERE type = ? AND time < ?'),
    rollMetrics: database.prepare(
      `INSERT OR REPLACE INTO metric_minute (metric, time, value)
       SELECT metric, ?, avg(value) FROM metric_second WHERE time >= ? AND time < ? GROUP BY metric`,
    ),
    operations: database.prepare(
      'SELECT operation, calls, errors, bytes, total_ns, buckets FROM operation_second WHERE time >= ? AND time < ?',
    ),
    replaceOperation: database.prepare(
      'INSERT OR REPLACE INTO operation_minute (time, operation, calls, errors, bytes, total_ns, buckets) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ),
    removeSeconds: [
      database.prepare('DELETE FROM metric_second WHERE time < ?'),
      database.prepare('DELETE FROM operation_second WHERE time < ?'),
    ],
  };
}

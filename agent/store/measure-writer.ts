/** Metrics, operations and the ledger on their way to disk. */

import type Database from 'better-sqlite3';
import { KeyTable } from './key-table.ts';
import { addBuckets, decodeBuckets, encodeBuckets } from './operation-buckets.ts';
import type { Rollup } from './rollup.ts';
import type { MetricRow, OperationRow } from './rows.ts';

const maxPending = 100_000;

interface PendingOperation extends OperationRow {
  buckets: number[];
}

interface StoredOperation {
  calls: number;
  errors: number;
  bytes: number;
  total_ns: number;
  buckets: Buffer;
}

export class MeasureWriter {
  private readonly rollup: Rollup;
  private readonly metrics: KeyTable;
  private readonly operations: KeyTable;
  private pendingMetrics = new Map<string, { metric: number; second: number; value: number }>();
  private pendingOperations = new Map<string, PendingOperation>();
  private pendingLedger = new Map<string, { minute: number; source: string; stage: string; count: number }>();
  private readonly statements: ReturnType<typeof prepareAll>;
  droppedMetrics = 0;
  droppedOperations = 0;

  constructor(database: Database.Database, rollup: Rollup) {
    this.rollup = rollup;
    this.statements = prepareAll(database);
    this.metrics = new KeyTable(database, {
      table: 'metric',
      columns: ['name', 'labels'],
      cacheLimit: 10_000,
      pendingLimit: 10_000,
    });
    this.operations = new KeyTable(database, {
      table: 'operation',
      columns: ['source', 'name'],
      cacheLimit: 10_000,
      pendingLimit: 10_000,
    });
  }

  metric({ name, labels, timeMs, value }: MetricRow): void {
    const metric = this.metrics.id(name, labels);
    if (metric === 0 || this.pendingMetrics.size >= maxPending || !Number.isFinite(value)) {
      this.droppedMetrics += 1;
      return;
    }
    const second = Math.floor(timeMs / 1000);
    this.pendingMetrics.set(`${metric} ${second}`, { metric, second, value });
  }

  operation(row: OperationRow): void {
    const key = `${row.source}\0${row.operation}\0${Math.floor(row.timeMs / 1000)}`;
    const pending = this.pendingOperations.get(key);
    if (pending !== undefined) {
      pending.calls += row.calls;
      pending.errors += row.errors;
      pending.bytes += row.bytes;
      pending.totalNs += row.totalNs;
      addBuckets(pending.buckets, row.buckets);
      return;
    }
    if (this.pendingOperations.size >= maxPending || this.operations.id(row.source, row.operation) === 0) {
      this.droppedOperations += 1;
      return;
    }
    this.pendingOperations.set(key, { ...row, buckets: [...row.buckets] });
  }

  ledger(source: string, stage: string, count: number, timeMs: number): void {
    if (count === 0) return;
    const minute = Math.floor(timeMs / 60_000);
    const key = `${minute}\0${source}\0${stage}`;
    const pending = this.pendingLedger.get(key);
    // Bounded by sources x stages x minutes without a commit, so counts of loss are never lost themselves.
    if (pending !== undefined) pending.count += count;
    else this.pendingLedger.set(key, { minute, source, stage, count });
  }

  write(): void {
    this.metrics.write();
    this.operations.write();
    for (const { metric, second, value } of this.pendingMetrics.values()) {
      if (second < this.rollup.secondsFloor) this.statements.metricMinute.run(metric, Math.floor(second / 60), value);
      else {
        this.rollup.touch(second);
        this.statements.metricSecond.run(second, metric, value);
      }
    }
    for (const row of this.pendingOperations.values()) this.writeOperation(row);
    for (const { minute, source, stage, count } of this.pendingLedger.values())
      this.statements.ledger.run(minute, source, stage, count);
  }

  committed(): void {
    this.metrics.committed();
    this.operations.committed();
    this.pendingMetrics.clear();
    this.pendingOperations.clear();
    this.pendingLedger.clear();
  }

  private writeOperation(row: PendingOperation): void {
    const second = Math.floor(row.timeMs / 1000);
    const isMinute = second < this.rollup.secondsFloor;
    const time = isMinute ? Math.floor(second / 60) : second;
    const { select, replace } = isMinute ? this.statements.operationMinute : this.statements.operationSecond;
    const operation = this.operations.id(row.source, row.operation);
    const stored = select.get(time, operation) as StoredOperation | undefined;
    if (!isMinute) this.rollup.touch(second);
    const buckets = stored === undefined ? [...row.buckets] : decodeBuckets(stored.buckets);
    if (stored !== undefined) addBuckets(buckets, row.buckets);
    replace.run(
      time,
      operation,
      row.calls + (stored?.calls ?? 0),
      row.errors + (stored?.errors ?? 0),
      row.bytes + (stored?.bytes ?? 0),
      row.totalNs + (stored?.total_ns ?? 0),
      encodeBuckets(buckets),
    );
  }
}

function prepareAll(database: Database.Database) {
  const operation = (table: string) => ({
    select: database.prepare(`SELECT calls, errors, bytes, total_ns, buckets FROM ${table} WHERE time = ? AND operation = ?`),
    replace: database.prepare(
      `INSERT OR REPLACE INTO ${table} (time, operation, calls, errors, bytes, total_ns, buckets) VALUES (?, ?, ?, ?, ?, ?, ?)`,
    ),
  });
  return {
    metricSecond: database.prepare('INSERT OR REPLACE INTO metric_second (time, metric, value) VALUES (?, ?, ?)'),
    metricMinute: database.prepare('INSERT OR REPLACE INTO metric_minute (metric, time, value) VALUES (?, ?, ?)'),
    operationSecond: operation('operation_second'),
    operationMinute: operation('operation_minute'),
    ledger: database.prepare(
      'INSERT INTO ledger (time, source, stage, count) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count',
    ),
  };
}

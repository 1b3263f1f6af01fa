/**
 * Keeps the store within its bytes and age: the oldest rows go first, a few at a time, so that the thread that also takes rows is
 * never held for more than 50 ms. What is left over is done at the next call.
 */

import type Database from 'better-sqlite3';
import { noteUnusedNames } from './unused-names.ts';

export interface RetentionLimits {
  readonly maxBytes: number;
  readonly maxAgeMs: number;
}

/** What a call removed, for the ledger and for those who remember ids. */
export interface RetentionResult {
  readonly spans: number;
  readonly samples: number;
  /** Whether processes and threads were removed, so that their ids must be forgotten. */
  readonly areSeriesRemoved: boolean;
}

/** Leaves room for one more step of about 5 ms, and for the commit. */
const sliceMs = 35;

/** When there is too much, this much of the oldest time goes per step. */
const byteStepMs = 600_000;

/** What is not rolled up yet is never removed for its bytes. */
const keptForCertainMs = 660_000;

/** Stack ids stay in use for this long after their epoch ended, and late samples may name a process that has ended. */
const idsValidMs = 3_600_000;

const pagesPerStep = 128;
/** Free pages are used again by new rows; what is more than this share of the limit goes back to the file system. */
const keptFreeShare = 0.02;

export class Retention {
  private readonly database: Database.Database;
  private limits: RetentionLimits;
  private readonly statements: ReturnType<typeof prepareAll>;
  private removedSpans = 0;
  private removedSamples = 0;

  constructor(database: Database.Database, limits: RetentionLimits) {
    this.database = database;
    this.limits = limits;
    this.statements = prepareAll(database);
  }

  /** Holds from the next run on. */
  setLimits(limits: RetentionLimits): void {
    this.limits = limits;
  }

  /** Bytes in use; pages that are free for new rows are left out. */
  sizeBytes(): number {
    return (this.pragma('page_count') - this.pragma('freelist_count')) * this.pragma('page_size');
  }

  /** One slice of at most 50 ms. */
  run(nowMs: number): RetentionResult {
    const deadline = performance.now() + sliceMs;
    this.removedSpans = 0;
    this.removedSamples = 0;
    let isDone = this.removeBefore(nowMs - this.limits.maxAgeMs, deadline);
    while (isDone && this.sizeBytes() > this.limits.maxBytes && performance.now() < deadline) {
      const beforeMs = (this.oldestMs() ?? nowMs) + byteStepMs;
      if (beforeMs > nowMs - keptForCertainMs) break;
      isDone = this.removeBefore(beforeMs, deadline);
    }
    const areSeriesRemoved = isDone && performance.now() < deadline && this.removeUnused(nowMs);
    this.shrink(deadline);
    return { spans: this.removedSpans, samples: this.removedSamples, areSeriesRemoved };
  }

  /** Start of the oldest row that is kept. */
  oldestMs(): number | undefined {
    const { types, oldestSample, oldestSpan, oldestOperation, metrics, oldestMetric } = this.statements;
    const minutes = [
      ...(types.all() as number[]).map(type => oldestSample.get(type) as number | undefined),
      ...(metrics.all() as number[]).map(metric => oldestMetric.get(metric) as number | undefined),
      oldestOperation.get() as number | undefined,
    ];
    const known = minutes.filter(minute => minute !== undefined).map(minute => minute * 60_000);
    const span = oldestSpan.get() as number | null;
    if (span !== null) known.push(span);
    return known.length === 0 ? undefined : Math.min(...known);
  }

  /** Removes all that ended before a time, in small transactions. True when nothing is left, false when time ran out before. */
  private removeBefore(beforeMs: number, deadline: number): boolean {
    const { types, metrics, samples, removeSamples, removeMetrics, removeOperations, removeLedger } = this.statements;
    const minute = Math.floor(beforeMs / 60_000);
    const steps = [
      () => this.removeSegments(beforeMs),
      ...(types.all() as number[]).map(type => () => {
        const rows = samples.all(type, minute) as { samples: number }[];
        this.removedSamples += rows.reduce((sum, row) => sum + row.samples, 0);
        return removeSamples.run(type, minute).changes;
      }),
      ...(metrics.all() as number[]).map(metric => () => removeMetrics.run(metric, minute).changes),
      () => removeOperations.run(minute).changes,
      () => removeLedger.run(minute).changes,
    ];
    for (const step of steps) {
      while (this.database.transaction(step)() > 0) if (performance.now() >= deadline) return false;
    }
    return true;
  }

  private removeSegments(beforeMs: number): number {
    const segments = this.statements.oldSegments.all(Math.floor(beforeMs)) as { id: number; spans: number }[];
    for (const { id, spans } of segments) {
      for (const remove of this.statements.removeSegment) remove.run(id);
      this.removedSpans += spans;
    }
    return segments.length;
  }

  /** Removes what no row can refer to any more: stacks, names, processes that ended long before the oldest row, and their threads. */
  private removeUnused(nowMs: number): boolean {
    const beforeMs = (this.oldestMs() ?? nowMs) - idsValidMs;
    const { statements } = this;
    return this.database.transaction(() => {
      const epochs = statements.endedEpochs.all(Math.floor(beforeMs / 1000)) as { first: number; next: number }[];
      for (const { first, next } of epochs) {
        statements.removeChunks.run(next);
        statements.removeEpoch.run(first);
        noteUnusedNames(this.database);
      }
      const ended = statements.endedProcesses.all(BigInt(Math.floor(beforeMs)) * 1_000_000n) as number[];
      for (const id of ended) {
        statements.removeSeries.run(id);
        statements.removeProcess.run(id);
      }
      return ended.length > 0;
    })();
  }

  /** Gives free pages back to the file system. */
  private shrink(deadline: number): void {
    const kept = (this.limits.maxBytes * keptFreeShare) / this.pragma('page_size');
    while (this.pragma('freelist_count') > kept + pagesPerStep && performance.now() < deadline) {
      this.database.pragma(`incremental_vacuum(${pagesPerStep})`);
    }
  }

  private pragma(name: string): number {
    return this.database.pragma(name, { simple: true }) as number;
  }
}

function prepareAll(database: Database.Database) {
  const prepare = (sql: string) => database.prepare(sql);
  return {
    types: prepare('SELECT id FROM profile_type').pluck(),
    metrics: prepare('SELECT id FROM metric').pluck(),
    oldestSample: prepare('SELECT time FROM sample_minute WHERE type = ? ORDER BY time LIMIT 1').pluck(),
    oldestMetric: prepare('SELECT time FROM metric_minute WHERE metric = ? ORDER BY time LIMIT 1').pluck(),
    oldestOperation: prepare('SELECT time FROM operation_minute ORDER BY time LIMIT 1').pluck(),
    oldestSpan: prepare('SELECT min(min_start_ms) FROM span_segment').pluck(),
    samples: prepare('SELECT samples FROM sample_minute WHERE type = ? AND time < ? ORDER BY type, time, series LIMIT 200'),
    removeSamples: prepare('DELETE FROM sample_minute WHERE type = ? AND time < ? ORDER BY type, time, series LIMIT 200'),
    removeMetrics: prepare('DELETE FROM metric_minute WHERE metric = ? AND time < ? ORDER BY metric, time LIMIT 2000'),
    removeOperations: prepare('DELETE FROM operation_minute WHERE time < ? ORDER BY time, operation LIMIT 1000'),
    removeLedger: prepare('DELETE FROM ledger WHERE time < ? ORDER BY time, source, stage LIMIT 1000'),
    oldSegments: prepare('SELECT id, spans FROM span_segment WHERE max_start_ms < ? ORDER BY max_start_ms LIMIT 8'),
    removeSegment: ['span_segment', 'span_hot', 'span_cold', 'span_trace'].map(table =>
      prepare(`DELETE FROM ${table} WHERE id = ?`),
    ),
    endedEpochs: prepare(
      `SELECT first, next FROM (SELECT first, lead(first) OVER (ORDER BY first) AS next, lead(began_second) OVER (ORDER BY first) AS ended
       FROM stack_epoch) WHERE ended < ? LIMIT 1`,
    ),
    removeChunks: prepare('DELETE FROM stack_chunk WHERE first < ?'),
    removeEpoch: prepare('DELETE FROM stack_epoch WHERE first = ?'),
    endedProcesses: prepare('SELECT id FROM process WHERE exit_ns > 0 AND exit_ns < ? LIMIT 500').pluck(),
    removeSeries: prepare('DELETE FROM series WHERE process = ?'),
    removeProcess: prepare('DELETE FROM process WHERE id = ?'),
  };
}

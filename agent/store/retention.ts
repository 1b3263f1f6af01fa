/**
 * Keeps the store within its bytes and age: the oldest minutes, span segments and processes go first, a little at a time, so that
 * the thread that also takes rows is never held for more than 50 ms.
 */

import type Database from 'better-sqlite3';

export interface RetentionLimits {
  readonly maxBytes: number;
  readonly maxAgeMs: number;
}

const sliceMs = 40;

/** Minutes of samples removed in one statement, and pages given back to the file system in one. */
const minutesPerStep = 10;
const pagesPerStep = 256;

/** Stack ids stay in use for this long after their epoch ended: callers hold on to ids of hot stacks. */
const idsValidSeconds = 3600;

export class Retention {
  private readonly database: Database.Database;
  private readonly limits: RetentionLimits;
  private readonly statements: ReturnType<typeof prepareAll>;
  /** Whether the last slice ended before all was done. */
  private isBehind = false;

  constructor(database: Database.Database, limits: RetentionLimits) {
    this.database = database;
    this.limits = limits;
    this.statements = prepareAll(database);
  }

  /** Bytes in use; pages that are free for new rows are left out. */
  sizeBytes(): number {
    const pageBytes = this.pragma('page_size');
    return (this.pragma('page_count') - this.pragma('freelist_count')) * pageBytes;
  }

  get hasMore(): boolean {
    return this.isBehind;
  }

  /** One slice of at most 50 ms. True when series were removed, so that their ids must be forgotten. */
  run(nowMs: number): boolean {
    const deadline = performance.now() + sliceMs;
    const keptFromMs = nowMs - this.limits.maxAgeMs;
    this.isBehind = false;
    for (;;) {
      const oldestMs = this.oldestMs();
      if (oldestMs === undefined) break;
      const isOld = oldestMs < keptFromMs;
      if (!isOld && this.sizeBytes() <= this.limits.maxBytes) break;
      if (performance.now() >= deadline) {
        this.isBehind = true;
        return false;
      }
      const step = oldestMs + minutesPerStep * 60_000;
      this.removeBefore(isOld ? Math.min(step, keptFromMs) : Math.min(step, nowMs - 60_000), oldestMs);
      if (!isOld && step >= nowMs - 60_000) break;
    }
    const isSwept = this.sweep(deadline);
    this.shrink(deadline);
    return isSwept;
  }

  private oldestMs(): number | undefined {
    const { oldestSample, oldestSegment, types } = this.statements;
    let oldest = Number.POSITIVE_INFINITY;
    for (const type of types.all() as number[]) {
      const minute = oldestSample.get(type) as number | undefined;
      if (minute !== undefined) oldest = Math.min(oldest, minute * 60_000);
    }
    const segment = oldestSegment.get() as number | undefined;
    if (segment !== undefined) oldest = Math.min(oldest, segment);
    return Number.isFinite(oldest) ? oldest : undefined;
  }

  /** Removes samples, measures and spans before a time; spans segment by segment, as each may have megabytes. */
  private removeBefore(beforeMs: number, oldestMs: number): void {
    const { statements } = this;
    const minute = Math.max(Math.floor(beforeMs / 60_000), Math.floor(oldestMs / 60_000) + 1);
    this.database.transaction(() => {
      for (const type of statements.types.all() as number[]) statements.removeSamples.run(type, minute);
      for (const metric of statements.metrics.all() as number[]) statements.removeMetrics.run(metric, minute);
      statements.removeOperations.run(minute);
      for (const id of statements.oldSegments.all(minute * 60_000) as number[])
        for (const remove of statements.removeSegment) remove.run(id);
    })();
  }

  /** Removes what nothing refers to any more: processes that ended before the oldest data, their threads, stacks of dropped epochs. */
  private sweep(deadline: number): boolean {
    if (performance.now() >= deadline) return false;
    const oldestMs = this.oldestMs();
    if (oldestMs === undefined) return false;
    const { statements } = this;
    const removed = this.database.transaction(() => {
      for (const epoch of statements.endedEpochs.all(Math.floor(oldestMs / 1000) - idsValidSeconds) as {
        first: number;
        next: number;
      }[]) {
        statements.removeChunks.run(epoch.next);
        statements.removeEpoch.run(epoch.first);
      }
      const ended = statements.endedProcesses.all(BigInt(Math.floor(oldestMs)) * 1_000_000n) as number[];
      for (const id of ended) {
        statements.removeSeries.run(id);
        statements.removeProcess.run(id);
      }
      return ended.length;
    })();
    return removed > 0;
  }

  /** Gives free pages back to the file system. */
  private shrink(deadline: number): void {
    while (this.pragma('freelist_count') > pagesPerStep && performance.now() < deadline)
      this.database.pragma(`incremental_vacuum(${pagesPerStep})`);
  }

  private pragma(name: string): number {
    return this.database.pragma(name, { simple: true }) as number;
  }
}

function prepareAll(database: Database.Database) {
  return {
    types: database.prepare('SELECT id FROM profile_type').pluck(),
    metrics: database.prepare('SELECT id FROM metric').pluck(),
    oldestSample: database.prepare('SELECT time FROM sample_minute WHERE type = ? ORDER BY time LIMIT 1').pluck(),
    oldestSegment: database.prepare('SELECT max_start_ms FROM span_segment ORDER BY max_start_ms LIMIT 1').pluck(),
    removeSamples: database.prepare('DELETE FROM sample_minute WHERE type = ? AND time < ?'),
    removeMetrics: database.prepare('DELETE FROM metric_minute WHERE metric = ? AND time < ?'),
    removeOperations: database.prepare('DELETE FROM operation_minute WHERE time < ?'),
    oldSegments: database.prepare('SELECT id FROM span_segment WHERE max_start_ms < ? ORDER BY max_start_ms LIMIT 64').pluck(),
    removeSegment: ['span_segment', 'span_hot', 'span_cold', 'span_trace'].map(table =>
      database.prepare(`DELETE FROM ${table} WHERE id = ?`),
    ),
    endedEpochs: database.prepare(
      `SELECT first, next FROM (SELECT first, lead(first) OVER (ORDER BY first) AS next, lead(began_second) OVER (ORDER BY first) AS ended
       FROM stack_epoch) WHERE ended < ?`,
    ),
    removeChunks: database.prepare('DELETE FROM stack_chunk WHERE first < ?'),
    removeEpoch: database.prepare('DELETE FROM stack_epoch WHERE first = ?'),
    endedProcesses: database.prepare('SELECT id FROM process WHERE exit_ns > 0 AND exit_ns < ? LIMIT 2000').pluck(),
    removeSeries: database.prepare('DELETE FROM series WHERE process = ?'),
    removeProcess: database.prepare('DELETE FROM process WHERE id = ?'),
  };
}

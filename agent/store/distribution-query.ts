/** How long an operation took, over time: the histograms made in the kernel, as the columns of a heatmap. */

import type Database from 'better-sqlite3';
import { bucketCount, decodeBuckets } from './operation-buckets.ts';
import type { DistributionQuery, DistributionResult } from './rows.ts';
import { bySeconds, planTimes, readMarks, type TimePlan } from './time-plan.ts';

const stepsSeconds = [1, 5, 10, 30, 60, 300, 3600, 86_400];

/** Less would make stripes of a distribution that is narrow. */
const minRows = 8;

interface OperationTotal {
  readonly id: number;
  readonly source: string;
  readonly operation: string;
  calls: number;
  totalNs: number;
}

export class DistributionReader {
  private readonly database: Database.Database;
  private readonly totals: { second: Database.Statement; minute: Database.Statement };
  private readonly buckets: { second: Database.Statement; minute: Database.Statement };

  constructor(database: Database.Database) {
    this.database = database;
    const totals = (table: string) =>
      database.prepare(
        `SELECT id, source, name AS operation, sum(calls) AS calls, sum(total_ns) AS totalNs FROM ${table}
         JOIN operation ON operation.id = operation WHERE time >= ? AND time < ? GROUP BY operation`,
      );
    const buckets = (table: string) =>
      database.prepare(`SELECT time, buckets FROM ${table} WHERE time >= ? AND time < ? AND operation = ?`);
    this.totals = { second: totals('operation_second'), minute: totals('operation_minute') };
    this.buckets = { second: buckets('operation_second'), minute: buckets('operation_minute') };
  }

  query({ fromMs, toMs, columns, ...wanted }: DistributionQuery): DistributionResult {
    const stepMs = (stepsSeconds.find(step => (toMs - fromMs) / (step * 1000) <= columns) ?? 86_400) * 1000;
    const beginMs = Math.floor(fromMs / stepMs) * stepMs;
    const steps = Math.max(1, Math.ceil((toMs - beginMs) / stepMs));
    const marks = readMarks(this.database);
    const plan = planTimes({ fromMs: beginMs, toMs }, stepMs < 60_000 ? bySeconds(marks) : marks);
    const found = this.operationsOf(plan, wanted);
    const shown = found.find(({ operation }) => operation === wanted.operation) ?? found[0];
    const counts = shown === undefined ? [] : this.countsOf(plan, shown.id, { beginMs, stepMs, steps });
    return {
      source: shown?.source ?? '',
      operation: shown?.operation ?? '',
      operations: found.map(({ source, operation, calls, totalNs }) => ({ source, operation, calls, totalNs })),
      fromMs: beginMs,
      toMs: beginMs + steps * stepMs,
      columns: steps,
      ...usedRows(counts, steps),
    };
  }

  private operationsOf(plan: TimePlan, { source, prefix }: { source: string; prefix: string }): OperationTotal[] {
    const sources = source === '' ? undefined : source.split(',');
    const found = new Map<number, OperationTotal>();
    for (const { isMinute, from, to } of plan.pieces) {
      const select = isMinute ? this.totals.minute : this.totals.second;
      for (const row of select.iterate(from, to) as IterableIterator<OperationTotal>) {
        if (sources?.includes(row.source) === false || !row.operation.startsWith(prefix)) continue;
        const known = found.get(row.id);
        if (known === undefined) found.set(row.id, row);
        else {
          known.calls += row.calls;
          known.totalNs += row.totalNs;
        }
      }
    }
    return [...found.values()].sort((a, b) => b.totalNs - a.totalNs || a.id - b.id);
  }

  /** Per bucket and step. What is only known by the minute is spread over the steps of that minute. */
  private countsOf(plan: TimePlan, id: number, grid: { beginMs: number; stepMs: number; steps: number }): Float64Array[] {
    const { beginMs, stepMs, steps } = grid;
    const counts = Array.from({ length: bucketCount }, () => new Float64Array(steps));
    for (const { isMinute, from, to } of plan.pieces) {
      const unitMs = isMinute ? 60_000 : 1000;
      const parts = Math.max(1, Math.round(unitMs / stepMs));
      const select = isMinute ? this.buckets.minute : this.buckets.second;
      for (const row of select.iterate(from, to, id) as IterableIterator<{ time: number; buckets: Buffer }>) {
        const first = Math.floor((row.time * unitMs - beginMs) / stepMs);
        for (const [bucket, count] of decodeBuckets(row.buckets).entries()) {
          if (count === 0) continue;
          const own = counts[bucket] as Float64Array;
          for (let step = Math.max(0, first); step < Math.min(steps, first + parts); step += 1)
            own[step] = (own[step] as number) + count / parts;
        }
      }
    }
    return counts;
  }
}

/** The rows from the lowest bucket that holds something to the highest, and some above where these are few. */
function usedRows(
  counts: readonly Float64Array[],
  steps: number,
): Pick<DistributionResult, 'rows' | 'minNs' | 'ratio' | 'counts' | 'errors'> {
  const isUsed = (own: Float64Array) => own.some(count => count > 0);
  const lowest = Math.max(0, counts.findIndex(isUsed));
  const highest = Math.max(lowest, counts.findLastIndex(isUsed));
  const first = Math.max(0, Math.min(lowest, bucketCount - minRows));
  const rows = Math.min(bucketCount - first, Math.max(minRows, highest - first + 1));
  const empty = new Float64Array(steps);
  const flat = Array.from({ length: rows }, (_, row) => Array.from(counts[first + row] ?? empty));
  return { rows, minNs: 2 ** first, ratio: 2, counts: flat.flat(), errors: [] };
}

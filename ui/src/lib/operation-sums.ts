/** Sums of kernel operations over a range, with percentiles from their histograms of powers of two. */

import type { OperationRow } from '../../../agent/server/api.ts';

export interface OperationSum {
  source: string;
  operation: string;
  calls: number;
  errors: number;
  bytes: number;
  totalNs: number;
  buckets: number[];
}

/** One line per operation, those that took the most time first. */
export function sumOperations(rows: readonly OperationRow[]): OperationSum[] {
  const sums = new Map<string, OperationSum>();
  for (const row of rows) {
    const key = `${row.source} ${row.operation}`;
    const sum = sums.get(key) ?? {
      source: row.source,
      operation: row.operation,
      calls: 0,
      errors: 0,
      bytes: 0,
      totalNs: 0,
      buckets: [],
    };
    sums.set(key, sum);
    sum.calls += row.calls;
    sum.errors += row.errors;
    sum.bytes += row.bytes;
    sum.totalNs += row.totalNs;
    row.buckets.forEach((count, i) => {
      sum.buckets[i] = (sum.buckets[i] ?? 0) + count;
    });
  }
  return [...sums.values()].sort((a, b) => b.totalNs - a.totalNs);
}

/** Latency below which this share of the calls stays, in ns: inside a bucket of powers of two taken to be spread evenly over its logarithm. */
export function percentile(buckets: readonly number[], share: number): number {
  const count = buckets.reduce((sum, value) => sum + value, 0);
  if (count === 0) return 0;
  let left = share * count;
  for (let i = 0; i < buckets.length; i += 1) {
    const inBucket = buckets[i] ?? 0;
    if (inBucket > 0 && left <= inBucket) return 2 ** (i + left / inBucket);
    left -= inBucket;
  }
  return 2 ** buckets.length;
}

/** Sums that programs keep per CPU in struct latency_sums (bpf/lib/sums.h), added up. */

import type { OperationSums } from './source.ts';

/** What the generated readers of struct <source>_sums return. */
export type LatencySums = Omit<OperationSums, 'operation'>;

/**
 * Adds up the values of all CPUs of one key of a per-CPU map; `read` decodes the one at an offset, each of which is `sizeBytes` long
 * (a multiple of 8, so without padding between them).
 */
export function addUp(
  operation: string,
  perCpu: Buffer,
  sizeBytes: number,
  read: (data: Buffer, offset: number) => LatencySums,
): OperationSums {
  const total = { operation, calls: 0, errors: 0, bytes: 0, totalNs: 0, buckets: [] as number[] };
  for (let offset = 0; offset < perCpu.length; offset += sizeBytes) {
    const sums = read(perCpu, offset);
    total.calls += sums.calls;
    total.errors += sums.errors;
    total.bytes += sums.bytes;
    total.totalNs += sums.totalNs;
    for (const [i, count] of sums.buckets.entries()) total.buckets[i] = (total.buckets[i] ?? 0) + count;
  }
  return total;
}

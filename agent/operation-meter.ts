/** Differences of the totals that sources keep in the kernel: one row per operation and second. */

import type { OperationSums } from './sources/source.ts';
import type { OperationRow } from './store/rows.ts';

export class OperationMeter {
  private readonly before = new Map<string, OperationSums>();
  private readonly sums = new Map<string, Omit<OperationRow, 'timeMs'>>();

  /** Everything taken so far, by source and operation. */
  totals(): Omit<OperationRow, 'timeMs'>[] {
    return [...this.sums.values()];
  }

  /** Rows for what happened since the last call; operations that did nothing give none. */
  take(source: string, totals: readonly OperationSums[], timeMs: number): OperationRow[] {
    const rows: OperationRow[] = [];
    for (const total of totals) {
      const key = `${source} ${total.operation}`;
      const before = this.before.get(key);
      // A source that was restarted counts from zero again, so a total below the last one is all new.
      const base = before !== undefined && before.calls <= total.calls ? before : undefined;
      this.before.set(key, total);
      const calls = total.calls - (base?.calls ?? 0);
      if (calls === 0) continue;
      const row: OperationRow = {
        source,
        operation: total.operation,
        timeMs,
        calls,
        errors: total.errors - (base?.errors ?? 0),
        bytes: total.bytes - (base?.bytes ?? 0),
        totalNs: total.totalNs - (base?.totalNs ?? 0),
        buckets: total.buckets.map((count, i) => count - (base?.buckets[i] ?? 0)),
      };
      rows.push(row);
      this.sums.set(key, added(this.sums.get(key), row));
    }
    return rows;
  }
}

function added(sum: Omit<OperationRow, 'timeMs'> | undefined, row: OperationRow): Omit<OperationRow, 'timeMs'> {
  return {
    source: row.source,
    operation: row.operation,
    calls: row.calls + (sum?.calls ?? 0),
    errors: row.errors + (sum?.errors ?? 0),
    bytes: row.bytes + (sum?.bytes ?? 0),
    totalNs: row.totalNs + (sum?.totalNs ?? 0),
    buckets: row.buckets.map((count, i) => count + (sum?.buckets[i] ?? 0)),
  };
}

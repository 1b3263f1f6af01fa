/** The books: what each source saw and what became of it; sums of operations; the store's own extent. */

import { statSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { addBuckets, decodeBuckets } from './operation-buckets.ts';
import type { LedgerResult, OperationRow, TimeRange } from './rows.ts';
import { planTimes, readMarks } from './time-plan.ts';

/** What each reason of loss means to a person. */
const meanings: Readonly<Record<string, string>> = {
  filtered: 'wanted by no one: another process, file type or name than asked for, or hotspan itself',
  below_min: 'faster than the minimum latency that is set; still in the counts and latency histograms',
  buffer_full: 'the perf buffer was full: the agent did not read fast enough, or the buffer is small',
  inflight_full: 'too many calls were open at once to remember one more',
  no_entry: 'the call had begun before the source was started, so only its return was seen',
  missed: 'the kernel left a program out, because it was already running on that CPU',
  nested: 'programs that interrupted each other had used all room to build records',
  no_return: 'the call never returned: its thread ended inside, jumped out, or its return was missed',
  repeated_exit: 'the end of the process was told twice',
  unknown_target: 'the function is no longer among those asked for',
  read_failed: 'memory of the kernel or of the process could not be read at that moment',
  open_at_stop: 'the call had not returned when the source was stopped',
  perf_lost: 'the kernel could not write to the perf buffer and said so',
  malformed: 'the record could not be decoded',
  symbols_behind: 'names of stacks came too slowly, and too many samples waited for them',
  store_full: 'the store could not write (a full disk, for one) and its memory for unwritten rows was used up',
  agent_ended: 'it was in the hands of an agent that was killed',
  half_open: 'only one half of the call was seen',
  expired: 'the other half did not come in time',
  own_process: 'it was done by hotspan itself',
};

const maxPointsPerOperation = 240;
const stepsSeconds = [1, 5, 10, 30, 60, 300, 3600];

interface OperationRecord {
  time: number;
  source: string;
  name: string;
  calls: number;
  errors: number;
  bytes: number;
  total_ns: number;
  buckets: Buffer;
}

export class LedgerReader {
  private readonly database: Database.Database;
  private readonly selectLedger: Database.Statement;
  private readonly selectOperations: { second: Database.Statement; minute: Database.Statement };

  constructor(database: Database.Database) {
    this.database = database;
    this.selectLedger = database.prepare(
      'SELECT source, stage, sum(count) AS count FROM ledger WHERE time >= ? AND time < ? GROUP BY source, stage ORDER BY source, stage',
    );
    const operations = (table: string) =>
      database.prepare(
        `SELECT time, source, name, calls, errors, bytes, total_ns, buckets FROM ${table} JOIN operation ON operation.id = operation
         WHERE time >= ? AND time < ?`,
      );
    this.selectOperations = { second: operations('operation_second'), minute: operations('operation_minute') };
  }

  /** Minutes that the range touches. */
  ledger({ fromMs, toMs }: TimeRange): LedgerResult {
    const sources = new Map<string, LedgerResult['sources'][number]>();
    const other: LedgerResult['other'] = [];
    const rows = this.selectLedger.all(Math.floor(fromMs / 60_000), Math.ceil(toMs / 60_000)) as {
      source: string;
      stage: string;
      count: number;
    }[];
    for (const { source, stage, count } of rows) {
      const reason = /^lost:(.*)$/.exec(stage)?.[1];
      if (reason === undefined && stage !== 'seen' && stage !== 'stored' && stage !== 'in_flight') {
        other.push({ source, stage, count });
        continue;
      }
      const line = sources.get(source) ?? { source, seen: 0, stored: 0, inFlight: 0, lost: [], unexplained: 0 };
      sources.set(source, line);
      if (stage === 'seen') line.seen += count;
      else if (stage === 'stored') line.stored += count;
      else if (stage === 'in_flight') line.inFlight += count;
      else if (reason !== undefined && count !== 0) line.lost.push({ reason, count, meaning: meaningOf(reason) });
    }
    for (const line of sources.values()) {
      line.unexplained = line.seen - line.stored - line.inFlight - line.lost.reduce((sum, { count }) => sum + count, 0);
    }
    return { sources: [...sources.values()], other };
  }

  /** One row per operation and step; the steps are so long that there are at most 240, and `timeMs` is where a step begins. */
  operations(range: TimeRange): OperationRow[] {
    const seconds = (range.toMs - range.fromMs) / 1000;
    const stepMs = (stepsSeconds.find(step => seconds / step <= maxPointsPerOperation) ?? 3600) * 1000;
    const sums = new Map<string, OperationRow & { buckets: number[] }>();
    for (const { isMinute, from, to } of planTimes(range, readMarks(this.database)).pieces) {
      const select = isMinute ? this.selectOperations.minute : this.selectOperations.second;
      const unitMs = isMinute ? 60_000 : 1000;
      for (const row of select.iterate(from, to) as IterableIterator<OperationRecord>) {
        const timeMs = Math.floor((row.time * unitMs) / stepMs) * stepMs;
        const key = `${row.source}\0${row.name}\0${timeMs}`;
        const sum = sums.get(key);
        const { source, name: operation, calls, errors, bytes, total_ns: totalNs } = row;
        if (sum === undefined) {
          sums.set(key, { source, operation, timeMs, calls, errors, bytes, totalNs, buckets: decodeBuckets(row.buckets) });
          continue;
        }
        sum.calls += calls;
        sum.errors += errors;
        sum.bytes += bytes;
        sum.totalNs += totalNs;
        addBuckets(sum.buckets, decodeBuckets(row.buckets));
      }
    }
    return [...sums.values()].sort((a, b) => a.timeMs - b.timeMs || (a.operation < b.operation ? -1 : 1));
  }

  extent(): { oldestMs: number; newestMs: number; bytes: number; tables: Record<string, number> } {
    const one = (sql: string) => (this.database.prepare(sql).pluck().get() as number | null) ?? 0;
    const times = [
      one('SELECT min(time) * 60000 FROM sample_minute'),
      one('SELECT min(time) * 1000 FROM sample_second'),
      one('SELECT min(max_start_ms) FROM span_segment'),
      one('SELECT min(time) * 1000 FROM metric_second'),
    ];
    const newest = [
      one('SELECT max(time) * 1000 FROM sample_second'),
      one('SELECT max(max_start_ms) FROM span_segment'),
      one('SELECT max(time) * 1000 FROM metric_second'),
    ];
    const known = times.filter(time => time > 0);
    const tables = Object.fromEntries(
      ['frame', 'process', 'series', 'sample_second', 'sample_minute', 'operation_minute', 'metric_minute'].map(table => [
        table,
        one(`SELECT count(*) FROM ${table}`),
      ]),
    );
    tables.span = one('SELECT sum(spans) FROM span_segment');
    tables.stack = one('SELECT sum(nodes) FROM stack_chunk');
    return {
      oldestMs: known.length === 0 ? 0 : Math.min(...known),
      newestMs: Math.max(0, ...newest),
      bytes: this.bytes(),
      tables,
    };
  }

  private bytes(): number {
    const { name } = this.database;
    return ['', '-wal'].reduce((sum, suffix) => sum + (statSync(name + suffix, { throwIfNoEntry: false })?.size ?? 0), 0);
  }
}

function meaningOf(reason: string): string {
  return meanings[reason.replaceAll('-', '_')] ?? `given up by the source: ${reason.replaceAll(/[-_]/g, ' ')}`;
}

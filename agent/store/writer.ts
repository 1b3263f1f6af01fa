/** The one writer of the store: takes rows into bounded memory and commits them in one transaction per flush. */

import type Database from 'better-sqlite3';
import { markDamaged, openForWriting } from './database.ts';
import { FrameTable } from './frame-table.ts';
import { MeasureWriter } from './measure-writer.ts';
import { ProcessRows, SeriesRows } from './process-rows.ts';
import { Retention, type RetentionLimits } from './retention.ts';
import { Rollup } from './rollup.ts';
import type { FrameRow, MetricRow, OperationRow, ProcessRow, SampleRow, SpanRow, StoreWriter } from './rows.ts';
import { SampleWriter } from './sample-writer.ts';
import { SpanWriter } from './span-writer.ts';
import { StackTable } from './stack-table.ts';
import { asStoreError, type StoreError } from './store-error.ts';
import { removeUnusedNames } from './unused-names.ts';

export interface StoreWriterOptions {
  readonly path: string;
  readonly retention?: Partial<RetentionLimits>;
  /** Told when a damaged file was moved aside. */
  readonly warn?: (message: string) => void;
  /** Bytes of spans that wait for a commit before more are dropped: default 64 MiB, about a million spans. */
  readonly maxPendingBytes?: number;
  /** Unix milliseconds. */
  readonly now?: () => number;
}

/** 2 GiB and 30 days: some weeks of a busy host. */
export const defaultRetention: RetentionLimits = { maxBytes: 2 ** 31, maxAgeMs: 30 * 86_400_000 };

/** Opens or creates the database. Throws a StoreError with cause and remedy where that cannot be. */
export function openStoreWriter(options: StoreWriterOptions): StoreWriter {
  try {
    return open(options);
  } catch (error) {
    const failure = asStoreError('open', options.path, error);
    if (!isDamage(failure)) throw failure;
    // A file that is too large to be checked whole showed its damage only now.
    markDamaged(options.path);
    return open(options);
  }
}

function open(options: StoreWriterOptions): StoreWriter {
  const { database, close } = openForWriting(options.path, options.warn ?? (message => process.emitWarning(message)));
  try {
    return new SqliteStoreWriter(options, database, close);
  } catch (error) {
    close();
    throw asStoreError('open', options.path, error);
  }
}

function isDamage({ code }: StoreError): boolean {
  return /^SQLITE_(CORRUPT|NOTADB)/.test(code);
}

class SqliteStoreWriter implements StoreWriter {
  private readonly path: string;
  private readonly now: () => number;
  private readonly closeDatabase: () => void;
  private readonly frames: FrameTable;
  private readonly stacks: StackTable;
  private readonly processes: ProcessRows;
  private readonly series: SeriesRows;
  private readonly rollup: Rollup;
  private readonly samples: SampleWriter;
  private readonly spans: SpanWriter;
  private readonly measures: MeasureWriter;
  private readonly retention: Retention;
  private readonly commit: () => void;
  private isClosed = false;

  constructor({ path, now, retention, maxPendingBytes }: StoreWriterOptions, database: Database.Database, close: () => void) {
    this.path = path;
    this.now = now ?? Date.now;
    this.closeDatabase = close;
    const nowMs = this.now();
    settleLastRun(database, nowMs);
    removeUnusedNames(database);
    this.frames = new FrameTable(database);
    this.stacks = new StackTable(database, Math.floor(nowMs / 1000));
    this.processes = new ProcessRows(database);
    this.series = new SeriesRows(database);
    this.rollup = new Rollup(database, nowMs);
    this.samples = new SampleWriter(database, this.rollup);
    this.spans = new SpanWriter(database, maxPendingBytes ?? 64 << 20);
    this.measures = new MeasureWriter(database, this.rollup);
    this.retention = new Retention(database, { ...defaultRetention, ...retention });
    this.commit = database.transaction(() => this.writeAll(this.now()));
  }

  frame(row: FrameRow): number {
    return this.frames.intern(row);
  }

  stack(frames: ArrayLike<number>): number {
    return this.stacks.intern(frames);
  }

  process(row: ProcessRow): number {
    return this.processes.put(row);
  }

  sample(row: SampleRow): boolean {
    const series = this.series.id(row.processId, row.tid, row.threadName);
    if (this.samples.add(row.profileType, row.timeMs, series, row.stackId, row)) return true;
    this.countLost(row.profileType, row.count, row.timeMs);
    return false;
  }

  span(row: SpanRow): boolean {
    const series = this.series.id(row.processId, row.tid, row.threadName);
    if (this.spans.add(row, series)) return true;
    this.countLost(row.source, 1, Number(row.startNs / 1_000_000n));
    return false;
  }

  metric(row: MetricRow): void {
    this.measures.metric(row);
  }

  operation(row: OperationRow): void {
    this.measures.operation(row);
  }

  ledger(source: string, stage: string, count: number, timeMs: number): void {
    this.measures.ledger(source, stage, count, timeMs);
  }

  flush(): void {
    try {
      this.commit();
    } catch (error) {
      throw this.failed('flush', error);
    }
    for (const part of [
      this.frames,
      this.stacks,
      this.processes,
      this.series,
      this.rollup,
      this.samples,
      this.spans,
      this.measures,
    ]) {
      part.committed();
    }
  }

  retain(): void {
    try {
      const nowMs = this.now();
      this.stacks.turnEpoch(Math.floor(nowMs / 1000));
      const { spans, samples, areSeriesRemoved } = this.retention.run(nowMs);
      if (areSeriesRemoved) this.series.forget();
      this.measures.ledger('store', 'expired:spans', spans, nowMs);
      this.measures.ledger('store', 'expired:samples', samples, nowMs);
    } catch (error) {
      throw this.failed('retain', error);
    }
  }

  setRetention(limits: RetentionLimits): void {
    this.retention.setLimits(limits);
  }

  dropped(): Readonly<Record<string, number>> {
    const counts = {
      frames: this.frames.dropped,
      stacks: this.stacks.dropped,
      processes: this.processes.dropped,
      samples: this.samples.dropped,
      spans: this.spans.dropped,
      metrics: this.measures.droppedMetrics,
      operations: this.measures.droppedOperations,
    };
    return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
  }

  sizeBytes(): number {
    return this.retention.sizeBytes();
  }

  oldestMs(): number | undefined {
    return this.retention.oldestMs();
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    try {
      this.flush();
    } finally {
      this.closeDatabase();
    }
  }

  private writeAll(nowMs: number): void {
    for (const part of [this.frames, this.stacks, this.processes, this.series, this.samples, this.measures]) part.write();
    this.spans.write(nowMs);
    this.rollup.write(nowMs);
  }

  /** What its source has counted as stored was not: the books stay in balance. */
  private countLost(source: string, count: number, timeMs: number): void {
    this.measures.ledger(source, 'stored', -count, timeMs);
    this.measures.ledger(source, 'lost:store_full', count, timeMs);
  }

  private failed(operation: string, cause: unknown): Error {
    const error = asStoreError(operation, this.path, cause);
    if (isDamage(error)) markDamaged(this.path);
    return error;
  }
}

/**
 * What the last run left open when it was killed: records in its hands are told as lost, and processes whose end it did not see
 * are taken to have ended with the last thing stored. Those that still live are announced again and so come back to life.
 */
function settleLastRun(database: Database.Database, nowMs: number): void {
  const last = database
    .prepare(
      `SELECT coalesce((SELECT max(time) FROM metric_second),
       (SELECT max((SELECT max(time) FROM metric_minute WHERE metric = metric.id)) * 60 + 59 FROM metric))`,
    )
    .pluck()
    .get() as number | null;
  const minute = Math.floor(nowMs / 60_000);
  database.transaction(() => {
    // Readers that open from now on read the frames as they are.
    database.exec('DELETE FROM frame_change');
    const open = database.prepare(
      `SELECT source, sum(count) AS count FROM ledger WHERE stage = 'in_flight' GROUP BY source HAVING sum(count) <> 0`,
    );
    const add = database.prepare(
      'INSERT INTO ledger (time, source, stage, count) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count',
    );
    for (const { source, count } of open.all() as { source: string; count: number }[]) {
      add.run(minute, source, 'in_flight', -count);
      add.run(minute, source, 'lost:agent_ended', count);
    }
    const endNs = BigInt(Math.max(last ?? 0, Math.floor(nowMs / 1000) - 86_400)) * 1_000_000_000n;
    database
      .prepare('UPDATE process SET exit_ns = max(start_ns, ?) WHERE exit_ns = 0')
      .run(last === null ? BigInt(nowMs) * 1_000_000n : endNs);
  })();
}

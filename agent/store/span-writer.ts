/** Spans on their way to disk: into the open segment, which is written with every commit, and closed when full or a minute old. */

import type Database from 'better-sqlite3';
import { lastId } from './key-table.ts';
import type { SpanRow } from './rows.ts';
import { type EncodedSegment, SegmentBuilder } from './span-segment.ts';

/** An open segment that grew this large is closed at the next commit: it would be written again and again. */
const settledSpans = 1024;
const maxOpenMs = 60_000;

export class SpanWriter {
  private open: SegmentBuilder | undefined;
  private openedMs = 0;
  private isChanged = false;
  private closed: EncodedSegment[] = [];
  private closedBytes = 0;
  /** Of closed segments that wait for a commit; beyond it spans are dropped. */
  private readonly maxPendingBytes: number;
  private nextId: number;
  private readonly statements: {
    replace: Database.Statement;
    hot: Database.Statement;
    cold: Database.Statement;
    trace: Database.Statement;
  };
  dropped = 0;

  constructor(database: Database.Database, maxPendingBytes: number) {
    this.maxPendingBytes = maxPendingBytes;
    this.statements = {
      replace: database.prepare(
        `INSERT OR REPLACE INTO span_segment (id, min_start_ms, max_start_ms, spans, errors, min_duration, max_duration, bytes)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      ),
      hot: database.prepare('INSERT OR REPLACE INTO span_hot (id, data) VALUES (?, ?)'),
      cold: database.prepare('INSERT OR REPLACE INTO span_cold (id, data) VALUES (?, ?)'),
      trace: database.prepare('INSERT OR REPLACE INTO span_trace (id, bloom) VALUES (?, ?)'),
    };
    this.nextId = lastId(database, 'span_segment') + 1;
  }

  /** False when there is no room; the span is counted in `dropped` then. */
  add(row: SpanRow, seriesId: number): boolean {
    if (this.closedBytes >= this.maxPendingBytes || seriesId === 0) {
      this.dropped += 1;
      return false;
    }
    this.open ??= new SegmentBuilder(this.nextId++);
    this.open.add(row, seriesId);
    this.isChanged = true;
    if (this.open.isFull) this.close();
    return true;
  }

  write(nowMs: number): void {
    if (this.open !== undefined && this.openedMs === 0) this.openedMs = nowMs;
    const isDue = this.open !== undefined && (this.open.spans >= settledSpans || nowMs - this.openedMs >= maxOpenMs);
    if (isDue && this.isChanged) this.close();
    else if (isDue) this.forgetOpen();
    for (const segment of this.closed) this.writeSegment(segment);
    if (this.open !== undefined && this.isChanged) this.writeSegment(this.open.encode());
  }

  committed(): void {
    this.closed = [];
    this.closedBytes = 0;
    this.isChanged = false;
  }

  private close(): void {
    const segment = (this.open as SegmentBuilder).encode();
    this.closed.push(segment);
    this.closedBytes += segment.hot.length + segment.cold.length + segment.bloom.length;
    this.forgetOpen();
    this.isChanged = false;
  }

  private forgetOpen(): void {
    this.open = undefined;
    this.openedMs = 0;
  }

  private writeSegment(segment: EncodedSegment): void {
    const { id, minStartMs, maxStartMs, spans, errors, minDurationNs, maxDurationNs, hot, cold, bloom } = segment;
    const bytes = hot.length + cold.length + bloom.length;
    this.statements.replace.run(id, minStartMs, maxStartMs, spans, errors, minDurationNs, maxDurationNs, bytes);
    this.statements.hot.run(id, hot);
    this.statements.cold.run(id, cold);
    this.statements.trace.run(id, bloom);
  }
}

/**
 * Stored spans in the order of storing, for those who carry them on (OTLP). A cursor is a plain number that stays good over
 * restarts: segment * 4,096 + index, the place of the next span. (A full segment's end is
 * the next one's beginning, and the same number.)
 */

import type Database from 'better-sqlite3';
import { openForReading } from './database.ts';
import type { AttributeValue } from './rows.ts';
import { SegmentDetails } from './span-details.ts';
import { decodeHot, segmentSpans } from './span-segment.ts';

export interface FeedSpan {
  /** Hex. parentSpanId is '' for a root. */
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly startNs: bigint;
  readonly durationNs: number;
  /** OTLP span kind. */
  readonly kind: number;
  readonly error: string;
  readonly service: string;
  readonly containerId: string;
  readonly pid: number;
  readonly tid: number;
  readonly thread: string;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}

export interface FeedBatch {
  readonly spans: FeedSpan[];
  /** Where to go on. */
  readonly cursor: number;
  /** Spans that retention deleted before they were read, as far as they had been counted before. */
  readonly skipped: number;
}

export interface SpanFeed {
  /** Up to `limit` spans from the cursor on. */
  after(cursor: number, limit: number): FeedBatch;
  countAfter(cursor: number): number;
  /** The cursor moved on by `spans`, or to the end. */
  advance(cursor: number, spans: number): number;
  /** Behind the newest span. */
  head(): number;
  close(): void;
}

interface Owner {
  readonly service: string;
  readonly containerId: string;
  readonly pid: number;
  readonly tid: number;
  readonly thread: string;
}

interface SegmentSize {
  readonly id: number;
  readonly spans: number;
}

/** Opens the store for feeding. Throws a StoreError. */
export function openSpanFeed(path: string): SpanFeed {
  return new SegmentFeed(openForReading(path));
}

class SegmentFeed implements SpanFeed {
  private readonly database: Database.Database;
  private readonly statements: {
    sizes: Database.Statement;
    last: Database.Statement;
    data: Database.Statement;
    owner: Database.Statement;
  };
  private readonly owners = new Map<number, Owner>();
  /** Sizes of segments as last counted, to tell how many spans went when retention took one away. */
  private counted = new Map<number, number>();

  constructor(database: Database.Database) {
    this.database = database;
    this.statements = {
      sizes: database.prepare('SELECT id, spans FROM span_segment WHERE id >= ? ORDER BY id'),
      last: database.prepare('SELECT id, spans FROM span_segment ORDER BY id DESC LIMIT 1'),
      data: database.prepare(
        'SELECT hot.data AS hot, cold.data AS cold FROM span_hot hot JOIN span_cold cold USING (id) WHERE id = ?',
      ),
      owner: database.prepare(
        `SELECT service, container_id AS containerId, pid, tid, thread FROM series JOIN process ON process.id = series.process
         WHERE series.id = ?`,
      ),
    };
  }

  after(cursor: number, limit: number): FeedBatch {
    // A process may have taken another name by an exec since the last batch.
    this.owners.clear();
    const sizes = this.sizesFrom(cursor);
    const skipped = this.skippedBefore(cursor, sizes);
    const spans: FeedSpan[] = [];
    let next = cursor;
    for (const { id, spans: size } of sizes) {
      if (spans.length >= limit) break;
      const from = id === segmentOf(cursor) ? indexOf(cursor) : 0;
      const to = Math.min(size, from + limit - spans.length);
      if (to > from) this.read(id, from, to, spans);
      next = id * segmentSpans + Math.max(from, to);
    }
    return { spans, cursor: next, skipped };
  }

  countAfter(cursor: number): number {
    const sizes = this.sizesFrom(cursor);
    this.counted = new Map(sizes.map(({ id, spans }) => [id, spans]));
    return sizes.reduce((sum, { id, spans }) => sum + spans - (id === segmentOf(cursor) ? indexOf(cursor) : 0), 0);
  }

  advance(cursor: number, spans: number): number {
    let left = spans;
    for (const { id, spans: size } of this.sizesFrom(cursor)) {
      const from = id === segmentOf(cursor) ? indexOf(cursor) : 0;
      if (left < size - from) return id * segmentSpans + from + left;
      left -= size - from;
    }
    return this.head();
  }

  head(): number {
    const last = this.statements.last.get() as SegmentSize | undefined;
    return last === undefined ? 0 : last.id * segmentSpans + last.spans;
  }

  close(): void {
    this.database.close();
  }

  private sizesFrom(cursor: number): SegmentSize[] {
    return this.statements.sizes.all(segmentOf(cursor)) as SegmentSize[];
  }

  private skippedBefore(cursor: number, sizes: readonly SegmentSize[]): number {
    const there = new Set(sizes.map(({ id }) => id));
    let skipped = 0;
    for (const [id, spans] of this.counted) {
      if (there.has(id)) continue;
      skipped += id === segmentOf(cursor) ? spans - indexOf(cursor) : spans;
      this.counted.delete(id);
    }
    return skipped;
  }

  private read(id: number, from: number, to: number, into: FeedSpan[]): void {
    const row = this.statements.data.get(id) as { hot: Buffer; cold: Buffer } | undefined;
    if (row === undefined) return;
    const columns = decodeHot(row.hot);
    const details = new SegmentDetails(columns.spans, row.cold);
    for (let i = from; i < to; i += 1) {
      const operation = columns.operations[columns.operation[i] as number];
      const owner = this.ownerOf(columns.seriesIds[columns.series[i] as number] as number);
      into.push({
        ...owner,
        traceId: details.traces.toString('hex', i * 16, i * 16 + 16),
        spanId: details.spanIds.toString('hex', i * 8, i * 8 + 8),
        parentSpanId: details.parent(i),
        name: operation?.name ?? '',
        kind: operation?.kind ?? 1,
        startNs: columns.baseNs + BigInt(columns.starts[i] as number),
        durationNs: columns.durations[i] as number,
        error: columns.errorNames[columns.error[i] as number] ?? '',
        attributes: details.attributes(i),
      });
    }
  }

  private ownerOf(seriesId: number): Owner {
    let owner = this.owners.get(seriesId);
    if (owner === undefined) {
      owner = this.statements.owner.get(seriesId) as Owner | undefined;
      if (owner === undefined) return { service: '', containerId: '', pid: 0, tid: 0, thread: '' };
      this.owners.set(seriesId, owner);
    }
    return owner;
  }
}

function segmentOf(cursor: number): number {
  return Math.floor(cursor / segmentSpans);
}

function indexOf(cursor: number): number {
  return cursor % segmentSpans;
}

/** Walks the span segments of a range and picks the spans that pass a filter; every query on spans is a fold over this walk. */

import type Database from 'better-sqlite3';
import { GenerationMap } from '../lib/generation-map.ts';
import type { TimeRange } from './rows.ts';
import type { SeriesIndex } from './series-index.ts';
import { SegmentDetails } from './span-details.ts';
import type { SpanFilter } from './span-filter.ts';
import { decodeHot, type SegmentColumns, segmentSpans } from './span-segment.ts';
import { TraceBloom } from './trace-bloom.ts';

export interface SegmentInfo {
  id: number;
  minStartMs: number;
  maxStartMs: number;
  spans: number;
  errors: number;
  minDuration: number;
  maxDuration: number;
}

/** Spans of one segment that passed: the first `count` of `indexes`. Valid until the next segment. */
export interface SegmentPick {
  readonly segment: SegmentInfo;
  readonly columns: SegmentColumns;
  readonly indexes: Uint16Array;
  readonly count: number;
  /** Nanoseconds from the range's start to the segment's base: add to `starts`. */
  readonly offsetNs: number;
}

export interface ScanOptions {
  /** In the order wanted; default all of the range. */
  readonly segments?: readonly SegmentInfo[];
  /** Asked before a segment is read. */
  readonly isSkipped?: (segment: SegmentInfo) => boolean;
}

/** Decoded segments kept: about 90 KB each, so 90 MB and 4 million spans. */
const cachedSegments = 500;
const cachedDetails = 32;

export class SpanScan {
  private readonly series: SeriesIndex;
  private readonly selectSegments: Database.Statement;
  private readonly selectHot: Database.Statement;
  private readonly selectCold: Database.Statement;
  private readonly selectBloom: Database.Statement;
  private readonly columns = new GenerationMap<number, SegmentColumns>(cachedSegments);
  private readonly details = new GenerationMap<number, { spans: number; details: SegmentDetails }>(cachedDetails);
  private readonly indexes = new Uint16Array(segmentSpans);

  constructor(database: Database.Database, series: SeriesIndex) {
    this.series = series;
    this.selectSegments = database.prepare(
      `SELECT id, min_start_ms AS minStartMs, max_start_ms AS maxStartMs, spans, errors, min_duration AS minDuration, max_duration AS maxDuration
       FROM span_segment WHERE max_start_ms >= ? AND min_start_ms < ?`,
    );
    this.selectHot = database.prepare('SELECT data FROM span_hot WHERE id = ?').pluck();
    this.selectCold = database.prepare('SELECT data FROM span_cold WHERE id = ?').pluck();
    this.selectBloom = database.prepare('SELECT bloom FROM span_trace WHERE id = ?').pluck();
  }

  segments({ fromMs, toMs }: TimeRange): SegmentInfo[] {
    return this.selectSegments.all(Math.floor(fromMs), Math.ceil(toMs)) as SegmentInfo[];
  }

  /** Calls `use` for each segment with spans that pass. */
  each(range: TimeRange, filter: SpanFilter, use: (pick: SegmentPick) => void, options: ScanOptions = {}): void {
    const tests = new SegmentTests(filter, this.series);
    const fromNs = nanosecondsOf(range.fromMs);
    const lengthNs = Number(nanosecondsOf(range.toMs) - fromNs);
    for (const segment of options.segments ?? this.segments(range)) {
      if (options.isSkipped?.(segment) || !this.mayMatch(segment, filter)) continue;
      const columns = this.columnsOf(segment);
      const offsetNs = Number(columns.baseNs - fromNs);
      let count = tests.pick(columns, { offsetNs, lengthNs }, this.indexes);
      if (count > 0 && (filter.traces.length > 0 || filter.attributes.length > 0))
        count = this.pickByDetails(segment, filter, count);
      if (count > 0) use({ segment, columns, indexes: this.indexes, count, offsetNs });
    }
  }

  columnsOf(segment: { id: number; spans: number }): SegmentColumns {
    let columns = this.columns.get(segment.id);
    // The newest segment grows until it is closed.
    if (columns === undefined || columns.spans !== segment.spans) {
      columns = decodeHot(this.selectHot.get(segment.id) as Buffer);
      this.columns.set(segment.id, columns);
    }
    return columns;
  }

  detailsOf(segment: { id: number; spans: number }): SegmentDetails {
    const known = this.details.get(segment.id);
    if (known !== undefined && known.spans === segment.spans) return known.details;
    const details = new SegmentDetails(segment.spans, this.selectCold.get(segment.id) as Buffer);
    this.details.set(segment.id, { spans: segment.spans, details });
    return details;
  }

  /** Whether a segment can have spans that pass, by what is known of it without reading it. */
  private mayMatch(segment: SegmentInfo, filter: SpanFilter): boolean {
    if (segment.errors === 0 && filter.error.some(test => !test(''))) return false;
    const isSpread = segment.minDuration !== segment.maxDuration;
    if (!isSpread && filter.duration.some(test => !test(segment.minDuration))) return false;
    for (const { id, isWanted } of filter.traces) {
      if (isWanted && !new TraceBloom(id).isMaybeIn(this.selectBloom.get(segment.id) as Buffer)) return false;
    }
    return true;
  }

  private pickByDetails(segment: SegmentInfo, { traces, attributes }: SpanFilter, candidates: number): number {
    const details = this.detailsOf(segment);
    const { indexes } = this;
    let count = 0;
    for (let i = 0; i < candidates; i += 1) {
      const span = indexes[i] as number;
      const isTrace = traces.every(
        ({ id, isWanted }) => (details.traces.compare(id, 0, 16, span * 16, span * 16 + 16) === 0) === isWanted,
      );
      if (!isTrace || !attributes.every(({ key, test }) => test(details.attribute(span, key)))) continue;
      indexes[count] = span;
      count += 1;
    }
    return count;
  }
}

/** Exact: a number of milliseconds has microseconds at most. */
export function nanosecondsOf(ms: number): bigint {
  return BigInt(Math.round(ms * 1000)) * 1000n;
}

/** The tests of a filter as tables over a segment's dictionaries. */
class SegmentTests {
  private readonly filter: SpanFilter;
  private readonly series: SeriesIndex;
  private readonly answers = new Map<number, boolean>();

  constructor(filter: SpanFilter, series: SeriesIndex) {
    this.filter = filter;
    this.series = series;
  }

  pick(columns: SegmentColumns, { offsetNs, lengthNs }: { offsetNs: number; lengthNs: number }, indexes: Uint16Array): number {
    const { filter } = this;
    const { spans, starts, durations, operation, series, error } = columns;
    const isOperation = Uint8Array.from(columns.operations, entry => Number(filter.operation.every(test => test(entry))));
    const isSeries = Uint8Array.from(columns.seriesIds, id => Number(this.isSeries(id)));
    const isError = Uint8Array.from(columns.errorNames, name => Number(filter.error.every(test => test(name))));
    const words = filter.words.map(word => ({
      series: Uint8Array.from(columns.seriesIds, id => Number(word.series(this.series.get(id)))),
      operation: Uint8Array.from(columns.operations, entry => Number(word.operation(entry))),
    }));
    const first = -offsetNs;
    const end = lengthNs - offsetNs;
    let count = 0;
    for (let i = 0; i < spans; i += 1) {
      const start = starts[i] as number;
      if (start < first || start >= end) continue;
      const o = operation[i] as number;
      const s = series[i] as number;
      if (isOperation[o] === 0 || isSeries[s] === 0 || isError[error[i] as number] === 0) continue;
      if (filter.duration.length > 0 && !filter.duration.every(test => test(durations[i] as number))) continue;
      if (words.length > 0 && !words.every(word => word.series[s] === 1 || word.operation[o] === 1)) continue;
      indexes[count] = i;
      count += 1;
    }
    return count;
  }

  private isSeries(id: number): boolean {
    let answer = this.answers.get(id);
    if (answer === undefined) {
      const info = this.series.get(id);
      answer = this.filter.series.every(test => test(info));
      this.answers.set(id, answer);
    }
    return answer;
  }
}

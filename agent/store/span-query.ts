/** Lists of spans, their heatmap, and whole traces. */

import type Database from 'better-sqlite3';
import { BestPlaces } from './best-places.ts';
import { FrameReader } from './frame-reader.ts';
import type { HeatmapResult, SpanDetail, SpanSummary, SpansQuery, SpansResult, TimeRange, TraceResult } from './rows.ts';
import type { SeriesIndex } from './series-index.ts';
import { compileSpanFilter } from './span-filter.ts';
import type { SegmentInfo, SegmentPick, SpanScan } from './span-scan.ts';
import type { StackTrie } from './stack-trie.ts';
import { QueryError } from './store-error.ts';
import { TraceBloom } from './trace-bloom.ts';

const maxCount = 1_000_000;
const maxLimit = 1000;
const maxTraceSpans = 20_000;
const maxColumns = 2000;
const maxRows = 200;

export class SpanReader {
  private readonly scan: SpanScan;
  private readonly series: SeriesIndex;
  private readonly stacks: StackTrie;
  private readonly frames: FrameReader;
  private readonly selectBlooms: Database.Statement;
  private readonly selectSegment: Database.Statement;

  constructor(database: Database.Database, parts: { scan: SpanScan; series: SeriesIndex; stacks: StackTrie }) {
    this.scan = parts.scan;
    this.series = parts.series;
    this.stacks = parts.stacks;
    this.frames = new FrameReader(database);
    this.selectBlooms = database.prepare('SELECT id, bloom FROM span_trace');
    this.selectSegment = database.prepare('SELECT id, spans FROM span_segment WHERE id = ?');
  }

  spans(query: SpansQuery): SpansResult {
    const filter = compileSpanFilter(query.filter);
    const limit = Math.min(maxLimit, Math.max(1, Math.trunc(query.limit) || 1));
    // One more than asked for tells whether there is a next page.
    const best = new BestPlaces(query, limit + 1);
    let count = 0;
    const isSkipped = (segment: SegmentInfo) => {
      if (!best.isSettledFor(segment)) return false;
      const isCountKnown = filter.isEmpty && segment.minStartMs >= query.fromMs && segment.maxStartMs < query.toMs;
      if (isCountKnown) count += segment.spans;
      return isCountKnown || count >= maxCount;
    };
    const segments = best.inOrder(this.scan.segments(query));
    const use = (pick: SegmentPick) => {
      count += pick.count;
      best.add(pick);
    };
    this.scan.each(query, filter, use, { segments, isSkipped });
    const places = best.take();
    const shown = places.slice(0, limit);
    const last = shown.at(-1);
    return {
      spans: shown.map(({ segment, index }) => this.summary(segment, index)),
      next: places.length > limit && last !== undefined ? best.cursorAfter(last) : '',
      count: Math.min(count, maxCount),
      isCountExact: count < maxCount,
    };
  }

  heatmap(query: TimeRange & { filter: string; columns: number; rows: number }): HeatmapResult {
    const filter = compileSpanFilter(query.filter);
    const columns = Math.min(maxColumns, Math.max(1, Math.trunc(query.columns) || 1));
    const rows = Math.min(maxRows, Math.max(1, Math.trunc(query.rows) || 1));
    const segments = this.scan.segments(query);
    const { minNs, ratio } = latencyScale(segments, rows);
    const counts = new Array<number>(columns * rows).fill(0);
    const errors = new Array<number>(columns * rows).fill(0);
    const columnNs = ((query.toMs - query.fromMs) * 1e6) / columns;
    const minLog = Math.log(minNs);
    const stepLog = Math.log(ratio);
    const use = ({ columns: spans, indexes, count, offsetNs }: SegmentPick) => {
      for (let i = 0; i < count; i += 1) {
        const index = indexes[i] as number;
        const x = Math.min(columns - 1, Math.floor(((spans.starts[index] as number) + offsetNs) / columnNs));
        const duration = spans.durations[index] as number;
        const row = duration <= minNs ? 0 : Math.floor((Math.log(duration) - minLog) / stepLog);
        const cell = Math.min(rows - 1, row) * columns + x;
        counts[cell] = (counts[cell] as number) + 1;
        if (spans.error[index] !== 0) errors[cell] = (errors[cell] as number) + 1;
      }
    };
    this.scan.each(query, filter, use, { segments });
    return { fromMs: query.fromMs, toMs: query.toMs, columns, rows, minNs, ratio, counts, errors };
  }

  /** Undefined where no span of it is stored. Throws a QueryError for what is no trace id. */
  trace(traceId: string): TraceResult | undefined {
    if (!/^[0-9a-f]{32}$/i.test(traceId))
      throw new QueryError(`"${traceId.slice(0, 40)}" is no trace id`, 'give its 32 hexadecimal digits');
    const id = Buffer.from(traceId, 'hex');
    const hash = new TraceBloom(id);
    const found: SpanDetail[] = [];
    this.stacks.load();
    for (const row of this.selectBlooms.all() as { id: number; bloom: Buffer }[]) {
      if (!hash.isMaybeIn(row.bloom)) continue;
      const segment = this.selectSegment.get(row.id) as { id: number; spans: number };
      const { traces } = this.scan.detailsOf(segment);
      for (let index = 0; index < segment.spans && found.length < maxTraceSpans; index += 1) {
        if (traces.compare(id, 0, 16, index * 16, index * 16 + 16) === 0) found.push(this.detail(segment, index));
      }
    }
    if (found.length === 0) return undefined;
    found.sort((a, b) => (BigInt(a.startNs) < BigInt(b.startNs) ? -1 : 1));
    return { traceId: traceId.toLowerCase(), spans: found };
  }

  private summary(segment: { id: number; spans: number }, index: number): SpanSummary {
    const columns = this.scan.columnsOf(segment);
    const details = this.scan.detailsOf(segment);
    const series = this.series.get(columns.seriesIds[columns.series[index] as number] ?? 0);
    const operation = columns.operations[columns.operation[index] as number];
    const startNs = columns.baseNs + BigInt(columns.starts[index] as number);
    return {
      traceId: details.traces.toString('hex', index * 16, index * 16 + 16),
      spanId: details.spanIds.toString('hex', index * 8, index * 8 + 8),
      parentSpanId: details.parent(index),
      source: operation?.source ?? '',
      name: operation?.name ?? '',
      service: series.service,
      process: series.process,
      pid: series.pid,
      tid: series.tid,
      thread: series.thread,
      startMs: Number(startNs / 1000n) / 1000,
      startNs: String(startNs),
      durationNs: columns.durations[index] as number,
      kind: operation?.kind ?? 1,
      error: columns.errorNames[columns.error[index] as number] ?? '',
      attributes: details.attributes(index),
    };
  }

  private detail(segment: { id: number; spans: number }, index: number): SpanDetail {
    const stackId = this.scan.detailsOf(segment).stack(index);
    const frames = this.stacks.framesOf(this.stacks.indexOf(stackId));
    return { ...this.summary(segment, index), stack: this.frames.stack(frames) };
  }
}

/** Whole decades round all durations of the segments, so that the scale stays while the range moves. */
function latencyScale(segments: readonly SegmentInfo[], rows: number): { minNs: number; ratio: number } {
  let min = Number.POSITIVE_INFINITY;
  let max = 1;
  for (const segment of segments) {
    min = Math.min(min, segment.minDuration);
    max = Math.max(max, segment.maxDuration);
  }
  const low = Math.floor(Math.log10(Math.max(1, Number.isFinite(min) ? min : 1)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(max + 1)));
  return { minNs: 10 ** low, ratio: 10 ** ((high - low) / rows) };
}

/**
 * Spans are stored in segments of up to 4,096, column by column. The hot part has what lists, counts and heatmaps scan (start,
 * duration, operation, thread, error: about 9 bytes a span); the cold part, compressed, has what only the spans that are shown
 * need (ids, stack, attributes). Rows with an index for each filter were measured at a quarter of the speed and three times the size.
 * A segment only ever grows at its end, so (segment, index) names a span for good.
 */

import type { SpanRow } from './rows.ts';
import { AttributeBuilder, compress, cut } from './span-details.ts';
import { TraceBloom } from './trace-bloom.ts';
import { ByteReader, ByteWriter } from './varint.ts';

export const segmentSpans = 4096;

/** A segment is closed early when its attributes are long, so that one segment's bytes stay bounded too. */
const segmentAttributeBytes = 2 << 20;

/** What spans of one kind of call share. */
export interface SpanOperation {
  readonly source: string;
  readonly name: string;
  /** OTLP span kind. */
  readonly kind: number;
}

/** Hot columns of a segment, decoded; the i-th entries belong to span i. */
export interface SegmentColumns {
  readonly spans: number;
  /** Unix nanoseconds that `starts` counts from. */
  readonly baseNs: bigint;
  readonly operations: readonly SpanOperation[];
  /** Store ids of the series that `series` indexes. */
  readonly seriesIds: readonly number[];
  /** errors[0] is ''. */
  readonly errorNames: readonly string[];
  readonly starts: Float64Array;
  readonly durations: Float64Array;
  readonly operation: Uint16Array;
  readonly series: Uint16Array;
  readonly error: Uint16Array;
}

export interface EncodedSegment {
  readonly id: number;
  readonly spans: number;
  readonly errors: number;
  readonly minStartMs: number;
  readonly maxStartMs: number;
  readonly minDurationNs: number;
  readonly maxDurationNs: number;
  readonly hot: Buffer;
  readonly cold: Buffer;
  readonly bloom: Buffer;
}

/** A segment in the making. */
export class SegmentBuilder {
  readonly id: number;
  spans = 0;
  private errors = 0;
  private baseNs = 0n;
  private minStart = 0;
  private maxStart = 0;
  private lastStart = 0;
  private minDurationNs = Number.POSITIVE_INFINITY;
  private maxDurationNs = 0;
  private readonly starts = new ByteWriter(16_384);
  private readonly durations = new ByteWriter(16_384);
  private readonly operationColumn = new ByteWriter(4096);
  private readonly seriesColumn = new ByteWriter(4096);
  private readonly errorPairs = new ByteWriter(256);
  private lastError = 0;
  private readonly operations: SpanOperation[] = [];
  private readonly operationIds = new Map<string, Map<string, number[]>>();
  private readonly seriesIds: number[] = [];
  private readonly seriesIndex = new Map<number, number>();
  private readonly errorNames: string[] = [''];
  private readonly traces = Buffer.alloc(segmentSpans * 16);
  private readonly spanIds = Buffer.alloc(segmentSpans * 8);
  private readonly parents = Buffer.alloc(segmentSpans * 8);
  private readonly stacks = Buffer.alloc(segmentSpans * 4);
  private readonly attributes = new AttributeBuilder();

  constructor(id: number) {
    this.id = id;
  }

  get isFull(): boolean {
    return this.spans >= segmentSpans || this.bytes > segmentAttributeBytes;
  }

  /** Roughly what it holds in memory, the arrays of fixed size left out. */
  get bytes(): number {
    return this.attributes.bytes + this.spans * 48;
  }

  add(row: SpanRow, seriesId: number): void {
    if (this.spans === 0) this.baseNs = row.startNs;
    const at = this.spans;
    this.addTimes(Number(row.startNs - this.baseNs), Math.max(0, Math.round(row.durationNs)));
    this.operationColumn.varint(this.operationOf(row));
    this.seriesColumn.varint(this.seriesOf(seriesId));
    if (row.error !== '') this.addError(at, row.error);
    copyBytes(row.traceId, this.traces, at * 16, 16);
    copyBytes(row.spanId, this.spanIds, at * 8, 8);
    if (row.parentSpanId !== undefined) copyBytes(row.parentSpanId, this.parents, at * 8, 8);
    this.stacks.writeUInt32LE(row.stackId, at * 4);
    this.attributes.add(row.attributes);
    this.spans = at + 1;
  }

  encode(): EncodedSegment {
    const { id, spans, errors, minDurationNs, maxDurationNs } = this;
    const baseMs = Number(this.baseNs / 1000n) / 1000;
    return {
      id,
      spans,
      errors,
      minStartMs: Math.floor(baseMs + this.minStart / 1e6),
      maxStartMs: Math.ceil(baseMs + this.maxStart / 1e6),
      minDurationNs,
      maxDurationNs,
      hot: this.encodeHot(),
      cold: this.encodeCold(),
      bloom: TraceBloom.build(this.traces, spans),
    };
  }

  private addTimes(start: number, duration: number): void {
    const step = start - this.lastStart;
    this.starts.varint(step >= 0 ? step * 2 : step * -2 - 1);
    this.durations.varint(duration);
    this.lastStart = start;
    if (start < this.minStart) this.minStart = start;
    if (start > this.maxStart) this.maxStart = start;
    if (duration < this.minDurationNs) this.minDurationNs = duration;
    if (duration > this.maxDurationNs) this.maxDurationNs = duration;
  }

  private operationOf({ source, name, kind }: SpanRow): number {
    let names = this.operationIds.get(source);
    if (names === undefined) {
      names = new Map();
      this.operationIds.set(source, names);
    }
    let kinds = names.get(name);
    if (kinds === undefined) {
      kinds = [];
      names.set(name, kinds);
    }
    let id = kinds[kind];
    if (id === undefined) {
      id = this.operations.length;
      kinds[kind] = id;
      this.operations.push({ source, name: cut(name), kind });
    }
    return id;
  }

  private seriesOf(seriesId: number): number {
    let index = this.seriesIndex.get(seriesId);
    if (index === undefined) {
      index = this.seriesIds.length;
      this.seriesIndex.set(seriesId, index);
      this.seriesIds.push(seriesId);
    }
    return index;
  }

  private addError(at: number, error: string): void {
    const text = cut(error);
    let id = this.errorNames.indexOf(text);
    if (id < 0) {
      id = this.errorNames.length;
      this.errorNames.push(text);
    }
    this.errorPairs.varint(at - this.lastError);
    this.errorPairs.varint(id);
    this.lastError = at;
    this.errors += 1;
  }

  private encodeHot(): Buffer {
    const head = new ByteWriter(1024);
    head.varint(this.spans);
    head.text(
      JSON.stringify({
        baseNs: String(this.baseNs),
        operations: this.operations.map(({ source, name, kind }) => [source, name, kind]),
        series: this.seriesIds,
        errors: this.errorNames,
      }),
    );
    head.varint(this.errors);
    const columns = [head, this.errorPairs, this.starts, this.durations, this.operationColumn, this.seriesColumn];
    return Buffer.concat(columns.map(column => column.view()));
  }

  private encodeCold(): Buffer {
    const { spans } = this;
    const { traces, spanIds, parents, stacks } = this;
    const columns = [
      traces.subarray(0, spans * 16),
      spanIds.subarray(0, spans * 8),
      parents.subarray(0, spans * 8),
      stacks.subarray(0, spans * 4),
    ];
    return compress([...columns, ...this.attributes.encode()]);
  }
}

function copyBytes(from: Uint8Array, to: Uint8Array, at: number, length: number): void {
  for (let i = 0; i < length; i += 1) to[at + i] = from[i] as number;
}

export function decodeHot(data: Uint8Array): SegmentColumns {
  const input = new ByteReader(data);
  const spans = input.varint();
  if (spans > segmentSpans) throw new RangeError(`a segment says that it has ${spans} spans`);
  const head = JSON.parse(input.text()) as {
    baseNs: string;
    operations: [string, string, number][];
    series: number[];
    errors: string[];
  };
  const columns: SegmentColumns = {
    spans,
    baseNs: BigInt(head.baseNs),
    operations: head.operations.map(([source, name, kind]) => ({ source, name, kind })),
    seriesIds: head.series,
    errorNames: head.errors,
    starts: new Float64Array(spans),
    durations: new Float64Array(spans),
    operation: new Uint16Array(spans),
    series: new Uint16Array(spans),
    error: new Uint16Array(spans),
  };
  for (let left = input.varint(), at = 0; left > 0; left -= 1) {
    at += input.varint();
    columns.error[at] = input.varint();
  }
  for (let i = 0, start = 0; i < spans; i += 1) {
    const step = input.varint();
    start += step % 2 === 0 ? step / 2 : (step + 1) / -2;
    columns.starts[i] = start;
  }
  for (let i = 0; i < spans; i += 1) columns.durations[i] = input.varint();
  for (let i = 0; i < spans; i += 1) columns.operation[i] = input.varint();
  for (let i = 0; i < spans; i += 1) columns.series[i] = input.varint();
  return columns;
}

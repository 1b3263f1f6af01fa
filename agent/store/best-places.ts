/** The first spans of a list in its order, kept while segments are walked, and the cursor that goes on after them. */

import type { SpansQuery } from './rows.ts';
import type { SegmentInfo, SegmentPick } from './span-scan.ts';
import { nanosecondsOf } from './span-scan.ts';
import { QueryError } from './store-error.ts';

/** A span's place in the order: by `key` (start from the range's beginning, or duration), then by where it is stored, which never changes. */
export interface Place {
  readonly key: number;
  readonly segment: SegmentInfo;
  readonly index: number;
}

interface Cursor {
  readonly key: number;
  readonly segmentId: number;
  readonly index: number;
}

export class BestPlaces {
  private readonly query: SpansQuery;
  private readonly wanted: number;
  private readonly fromNs: bigint;
  private readonly cursor: Cursor | undefined;
  private places: Place[] = [];
  /** Key of the last place that would be kept, once there are enough. */
  private lastKey: number | undefined;

  constructor(query: SpansQuery, wanted: number) {
    this.query = query;
    this.wanted = wanted;
    this.fromNs = nanosecondsOf(query.fromMs);
    this.cursor = query.cursor === '' ? undefined : this.parseCursor(query.cursor);
  }

  add({ segment, columns, indexes, count, offsetNs }: SegmentPick): void {
    const { order, isDescending } = this.query;
    const keys = order === 'start' ? columns.starts : columns.durations;
    const offset = order === 'start' ? offsetNs : 0;
    let last = this.lastKey;
    for (let i = 0; i < count; i += 1) {
      const index = indexes[i] as number;
      const key = (keys[index] as number) + offset;
      if (last !== undefined && (isDescending ? key < last : key > last)) continue;
      const place = { key, segment, index };
      if (this.cursor !== undefined && !this.isAfterCursor(place, this.cursor)) continue;
      this.places.push(place);
      if (this.places.length < this.wanted * 2 + 64) continue;
      this.cut();
      last = this.lastKey;
    }
  }

  /** Whether no span of a segment can come before those that are kept. */
  isSettledFor(segment: SegmentInfo): boolean {
    if (this.places.length < this.wanted) return false;
    this.cut();
    const { order, isDescending, fromMs } = this.query;
    const last = this.lastKey as number;
    if (order === 'start') {
      return isDescending ? (segment.maxStartMs - fromMs) * 1e6 < last : (segment.minStartMs - fromMs) * 1e6 > last;
    }
    return isDescending ? segment.maxDuration < last : segment.minDuration > last;
  }

  /** Segments so that those which hold the first spans come first. */
  inOrder(segments: SegmentInfo[]): SegmentInfo[] {
    const { order, isDescending } = this.query;
    const edge = (segment: SegmentInfo) => {
      if (order === 'start') return isDescending ? -segment.maxStartMs : segment.minStartMs;
      return isDescending ? -segment.maxDuration : segment.minDuration;
    };
    return segments.sort((a, b) => edge(a) - edge(b));
  }

  take(): Place[] {
    this.cut();
    return this.places;
  }

  cursorAfter({ key, segment, index }: Place): string {
    const shown = this.query.order === 'start' ? String(this.fromNs + BigInt(key)) : String(key);
    return `${shown}_${segment.id}_${index}`;
  }

  private cut(): void {
    const sign = this.query.isDescending ? -1 : 1;
    this.places.sort((a, b) => sign * (a.key - b.key || a.segment.id - b.segment.id || a.index - b.index));
    if (this.places.length < this.wanted) return;
    this.places.length = this.wanted;
    this.lastKey = (this.places[this.wanted - 1] as Place).key;
  }

  private isAfterCursor({ key, segment, index }: Place, cursor: Cursor): boolean {
    const rising = key - cursor.key || segment.id - cursor.segmentId || index - cursor.index;
    return this.query.isDescending ? rising < 0 : rising > 0;
  }

  private parseCursor(text: string): Cursor {
    const match = /^(\d{1,20})_(\d{1,10})_(\d{1,5})$/.exec(text);
    if (match === null) throw new QueryError(`"${text.slice(0, 40)}" is no cursor`, 'take `next` of the page before');
    const shown = BigInt(match[1] as string);
    const key = Number(this.query.order === 'start' ? shown - this.fromNs : shown);
    return { key, segmentId: Number(match[2]), index: Number(match[3]) };
  }
}

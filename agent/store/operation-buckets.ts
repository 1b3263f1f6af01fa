/** Latency histograms of operations (a count per power of two of nanoseconds), packed: most of the 40 buckets are empty. */

import { ByteReader, ByteWriter } from './varint.ts';

export const bucketCount = 40;

/** Pairs of (empty buckets before, count). */
export function encodeBuckets(buckets: readonly number[]): Buffer {
  const out = new ByteWriter(64);
  let empty = 0;
  for (const count of buckets.slice(0, bucketCount)) {
    if (count === 0) {
      empty += 1;
      continue;
    }
    out.varint(empty);
    out.varint(count);
    empty = 0;
  }
  return out.take();
}

export function decodeBuckets(data: Uint8Array): number[] {
  const buckets = new Array<number>(bucketCount).fill(0);
  const input = new ByteReader(data);
  for (let at = 0; !input.isAtEnd; at += 1) {
    at += input.varint();
    if (at >= bucketCount) throw new RangeError('a histogram has more buckets than there are');
    buckets[at] = input.varint();
  }
  return buckets;
}

export function addBuckets(into: number[], buckets: readonly number[]): void {
  for (let i = 0; i < bucketCount; i += 1) into[i] = (into[i] ?? 0) + (buckets[i] ?? 0);
}

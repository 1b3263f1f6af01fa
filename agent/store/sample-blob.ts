/**
 * Samples of one series over one second or minute, packed: stacks in rising order of id, each as the distance to the one before
 * and its count. A sample of cpu time is worth the same as any other of its row, so values are written only where they differ.
 */

import { ByteWriter } from './varint.ts';

/** First byte of a blob. */
const evenValues = 0;
const ownValues = 1;

export interface SampleEntry {
  count: number;
  value: number;
}

const packer = new ByteWriter(4096);

/** Packs entries by stack id. `samples` and `value` are their sums. */
export function encodeSamples(entries: ReadonlyMap<number, SampleEntry>): { data: Buffer; samples: number; value: number } {
  const stacks = Uint32Array.from(entries.keys()).sort();
  let samples = 0;
  let value = 0;
  for (const entry of entries.values()) {
    samples += entry.count;
    value += entry.value;
  }
  const each = value / samples;
  const isEven = Number.isInteger(each) && everyEntry(entries, each);
  packer.clear();
  packer.varint(isEven ? evenValues : ownValues);
  let before = 0;
  for (const stack of stacks) {
    const entry = entries.get(stack) as SampleEntry;
    // Bit 0 says that the count is 1, which in the rows of a second it nearly always is.
    packer.varint((stack - before) * 2 + (entry.count === 1 ? 1 : 0));
    if (entry.count !== 1) packer.varint(entry.count);
    if (!isEven) packer.varint(entry.value);
    before = stack;
  }
  return { data: packer.take(), samples, value };
}

function everyEntry(entries: ReadonlyMap<number, SampleEntry>, each: number): boolean {
  for (const entry of entries.values()) if (entry.value !== entry.count * each) return false;
  return true;
}

/** What decoded samples are added to, indexed by stack id minus `base`; stacks outside are added to index 0. */
export interface SampleSums {
  readonly base: number;
  readonly counts: Float64Array;
  readonly values: Float64Array;
}

/**
 * Adds a row's entries to the sums. This is the inner loop of every flame graph, so the varints are read in place: stack ids are
 * below 2^32 and distances below 2^33, counts and values up to 2^53.
 */
export function addSamples(data: Uint8Array, samples: number, value: number, sums: SampleSums): void {
  const { base, counts, values } = sums;
  const size = counts.length;
  const each = data[0] === evenValues ? value / samples : -1;
  const end = data.length;
  let at = 1;
  let stack = 0;
  while (at < end) {
    let byte = data[at++] as number;
    let word = byte & 0x7f;
    for (let scale = 128; byte >= 0x80; scale *= 128) {
      byte = data[at++] as number;
      word += (byte & 0x7f) * scale;
    }
    let count = 1;
    if ((word & 1) === 0) {
      byte = data[at++] as number;
      count = byte & 0x7f;
      for (let scale = 128; byte >= 0x80; scale *= 128) {
        byte = data[at++] as number;
        count += (byte & 0x7f) * scale;
      }
      stack += word / 2;
    } else stack += (word - 1) / 2;
    let own = count * each;
    if (each < 0) {
      byte = data[at++] as number;
      own = byte & 0x7f;
      for (let scale = 128; byte >= 0x80; scale *= 128) {
        byte = data[at++] as number;
        own += (byte & 0x7f) * scale;
      }
    }
    const index = stack - base;
    const target = index > 0 && index < size ? index : 0;
    counts[target] = (counts[target] as number) + count;
    values[target] = (values[target] as number) + own;
  }
}

/** Adds a row's entries to a map by stack id, for merging rows. */
export function mergeSamples(data: Uint8Array, samples: number, value: number, into: Map<number, SampleEntry>): void {
  const reader = { at: 1 };
  const each = data[0] === evenValues ? value / samples : -1;
  let stack = 0;
  while (reader.at < data.length) {
    const word = readVarint(data, reader);
    stack += Math.floor(word / 2);
    const count = word % 2 === 1 ? 1 : readVarint(data, reader);
    const own = each < 0 ? readVarint(data, reader) : count * each;
    const entry = into.get(stack);
    if (entry === undefined) into.set(stack, { count, value: own });
    else {
      entry.count += count;
      entry.value += own;
    }
  }
}

function readVarint(data: Uint8Array, reader: { at: number }): number {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = data[reader.at++];
    if (byte === undefined) throw new RangeError('packed samples end early');
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
  }
}

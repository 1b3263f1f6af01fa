/**
 * The cold part of a span segment: ids, stacks and attributes. Laid out so that the details of one span are read without decoding
 * those of all: columns of fixed width, texts by their place, and the place of every 64th span's attributes.
 */

import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { AttributeValue } from './rows.ts';
import { ByteReader, ByteWriter } from './varint.ts';

/** Spans between two known places in the attributes. */
const blockSpans = 64;

/** Longer texts are cut: one span must not fill the store. */
const maxTextLength = 16_384;

/** Low two bits of an attribute's word say what the rest is. */
const tagText = 0;
const tagInteger = 1;
const tagNegative = 2;
const tagOther = 3;
const otherFalse = 0;
const otherTrue = 1;
const otherDouble = 2;
const maxTaggedInteger = 2 ** 50;

interface ShapeNode {
  shape: number;
  readonly next: Map<string, ShapeNode>;
}

/** Attributes of spans in a row: a shape (the list of keys), then a value per key, texts by their number. */
export class AttributeBuilder {
  private readonly out = new ByteWriter(65_536);
  private readonly places: number[] = [];
  private readonly shapes: string[][] = [[]];
  private readonly shapeRoot: ShapeNode = { shape: 0, next: new Map() };
  private readonly texts: string[] = [];
  private readonly textIndex = new Map<string, number>();
  private textLength = 0;
  private spans = 0;

  get bytes(): number {
    return this.out.length + this.textLength;
  }

  add(attributes: Readonly<Record<string, AttributeValue>>): void {
    if (this.spans % blockSpans === 0) this.places.push(this.out.length);
    this.spans += 1;
    let node = this.shapeRoot;
    for (const key in attributes) {
      let next = node.next.get(key);
      if (next === undefined) {
        next = { shape: -1, next: new Map() };
        node.next.set(key, next);
      }
      node = next;
    }
    if (node.shape < 0) {
      node.shape = this.shapes.length;
      this.shapes.push(Object.keys(attributes));
    }
    this.out.varint(node.shape);
    for (const key in attributes) this.addValue(attributes[key] as AttributeValue);
  }

  /** Parts to be joined: places, shapes, texts, values. */
  encode(): Uint8Array[] {
    const head = new ByteWriter(1024);
    head.text(JSON.stringify(this.shapes));
    head.varint(this.texts.length);
    for (const text of this.texts) head.varint(Buffer.byteLength(text));
    return [new Uint8Array(Uint32Array.from(this.places).buffer), head.view(), Buffer.from(this.texts.join('')), this.out.view()];
  }

  private addValue(value: AttributeValue): void {
    const { out } = this;
    if (typeof value === 'string') out.varint(this.textOf(value) * 4 + tagText);
    else if (typeof value === 'boolean') out.varint((value ? otherTrue : otherFalse) * 4 + tagOther);
    else if (!Number.isInteger(value) || Math.abs(value) >= maxTaggedInteger) {
      out.varint(otherDouble * 4 + tagOther);
      out.float64(value);
    } else if (value >= 0) out.varint(value * 4 + tagInteger);
    else out.varint(-value * 4 + tagNegative);
  }

  private textOf(text: string): number {
    let id = this.textIndex.get(text);
    if (id === undefined) {
      id = this.texts.length;
      this.textIndex.set(text, id);
      const kept = cut(text).toWellFormed();
      this.texts.push(kept);
      this.textLength += kept.length;
    }
    return id;
  }
}

export function cut(text: string): string {
  return text.length <= maxTextLength ? text : `${text.slice(0, maxTextLength)}…`;
}

/** Joins and compresses. Level 1 takes 0.2 ms for a full segment; higher levels gained under 10 %. */
export function compress(parts: readonly Uint8Array[]): Buffer {
  const raw = Buffer.concat(parts);
  const head = new ByteWriter(8);
  head.varint(raw.length);
  const params = { [constants.ZSTD_c_compressionLevel]: 1 };
  return Buffer.concat([head.view(), zstdCompressSync(raw, { params, chunkSize: Math.max(1024, raw.length) })]);
}

/** One buffer of the right size at once: growing it in steps takes as long as decompressing. */
function decompress(data: Uint8Array): Buffer {
  const input = new ByteReader(data);
  const length = input.varint();
  return zstdDecompressSync(data.subarray(input.at), {
    chunkSize: Math.max(1024, length),
    maxOutputLength: Math.max(1024, length),
  });
}

/** Details of the spans of a segment by their index. */
export class SegmentDetails {
  readonly spans: number;
  /** 16 bytes each. */
  readonly traces: Buffer;
  /** 8 bytes each. */
  readonly spanIds: Buffer;
  /** Lists of attribute keys that spans of this segment have. */
  readonly shapes: readonly (readonly string[])[];
  private readonly parents: Buffer;
  private readonly stacks: Buffer;
  private readonly places: Buffer;
  private readonly textEnds: Uint32Array;
  private readonly textBytes: Buffer;
  private readonly attributeBytes: Buffer;
  /** Where the attributes of `seekSpan` begin: spans are mostly asked for one after another. */
  private seekSpan = 0;
  private seekAt = 0;

  constructor(spans: number, cold: Uint8Array) {
    const raw = decompress(cold);
    const input = new ByteReader(raw);
    this.spans = spans;
    this.traces = input.slice(spans * 16);
    this.spanIds = input.slice(spans * 8);
    this.parents = input.slice(spans * 8);
    this.stacks = input.slice(spans * 4);
    this.places = input.slice(Math.ceil(spans / blockSpans) * 4);
    this.shapes = JSON.parse(input.text()) as string[][];
    this.textEnds = new Uint32Array(input.varint());
    for (let i = 0, end = 0; i < this.textEnds.length; i += 1) {
      end += input.varint();
      this.textEnds[i] = end;
    }
    this.textBytes = input.slice(this.textEnds.at(-1) ?? 0);
    this.attributeBytes = raw.subarray(input.at);
  }

  /** Hexadecimal; '' for a root. */
  parent(span: number): string {
    const hex = this.parents.toString('hex', span * 8, span * 8 + 8);
    return hex === '0000000000000000' ? '' : hex;
  }

  /** Store id; 0 for none. */
  stack(span: number): number {
    return this.stacks.readUInt32LE(span * 4);
  }

  attributes(span: number): Record<string, AttributeValue> {
    const input = this.seek(span);
    const keys = this.shapes[input.varint()] ?? [];
    const attributes: Record<string, AttributeValue> = {};
    for (const key of keys) attributes[key] = this.readValue(input);
    return attributes;
  }

  /** One attribute's value; undefined where the span has none of this name. */
  attribute(span: number, key: string): AttributeValue | undefined {
    const input = this.seek(span);
    const at = this.shapes[input.varint()]?.indexOf(key) ?? -1;
    if (at < 0) return undefined;
    for (let i = 0; i < at; i += 1) skipValue(input);
    return this.readValue(input);
  }

  private seek(span: number): ByteReader {
    const block = Math.floor(span / blockSpans);
    if (span < this.seekSpan || block !== Math.floor(this.seekSpan / blockSpans)) {
      this.seekSpan = block * blockSpans;
      this.seekAt = this.places.readUInt32LE(block * 4);
    }
    const input = new ByteReader(this.attributeBytes, this.seekAt);
    for (; this.seekSpan < span; this.seekSpan += 1) {
      for (let left = this.shapes[input.varint()]?.length ?? 0; left > 0; left -= 1) skipValue(input);
    }
    this.seekAt = input.at;
    return input;
  }

  private text(id: number): string {
    return this.textBytes.toString('utf8', id === 0 ? 0 : this.textEnds[id - 1], this.textEnds[id]);
  }

  private readValue(input: ByteReader): AttributeValue {
    const word = input.varint();
    const tag = word % 4;
    const rest = (word - tag) / 4;
    if (tag === tagText) return this.text(rest);
    if (tag === tagInteger) return rest;
    if (tag === tagNegative) return -rest;
    return rest === otherDouble ? input.float64() : rest === otherTrue;
  }
}

function skipValue(input: ByteReader): void {
  const word = input.varint();
  if (word === otherDouble * 4 + tagOther) input.at += 8;
}

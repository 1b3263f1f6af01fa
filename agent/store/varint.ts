/** Packed bytes: LEB128 varints (7 bits a byte, low first) up to 2^53, as blobs of the store use them. */

export class ByteWriter {
  bytes: Buffer;
  length = 0;

  constructor(capacity = 256) {
    this.bytes = Buffer.allocUnsafe(capacity);
  }

  clear(): void {
    this.length = 0;
  }

  /** A non-negative integer below 2^53. */
  varint(value: number): void {
    if (this.length + 8 > this.bytes.length) this.grow(8);
    const bytes = this.bytes;
    let at = this.length;
    let rest = value;
    while (rest >= 0x1000_0000) {
      bytes[at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest >= 0x80) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.length = at;
  }

  float64(value: number): void {
    if (this.length + 8 > this.bytes.length) this.grow(8);
    this.length = this.bytes.writeDoubleLE(value, this.length);
  }

  append(source: Uint8Array): void {
    if (this.length + source.length > this.bytes.length) this.grow(source.length);
    this.bytes.set(source, this.length);
    this.length += source.length;
  }

  /** UTF-8 text after its length in bytes. */
  text(value: string): void {
    const encoded = Buffer.from(value, 'utf8');
    this.varint(encoded.length);
    this.append(encoded);
  }

  /** A copy of what was written, of exactly its length. */
  take(): Buffer {
    return Buffer.from(this.bytes.subarray(0, this.length));
  }

  /** What was written; valid until the next write. */
  view(): Buffer {
    return this.bytes.subarray(0, this.length);
  }

  private grow(needed: number): void {
    const grown = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.length + needed));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }
}

/** Reads what ByteWriter wrote. Reading past the end throws a RangeError: a blob cut short must not be taken for data. */
export class ByteReader {
  private readonly bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  get isAtEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  varint(): number {
    const bytes = this.bytes;
    let at = this.at;
    let byte = bytes[at++];
    if (byte === undefined) throw new RangeError('packed bytes end early');
    if (byte < 0x80) {
      this.at = at;
      return byte;
    }
    let value = byte & 0x7f;
    let shift = 7;
    while (shift < 28) {
      byte = bytes[at++];
      if (byte === undefined) throw new RangeError('packed bytes end early');
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.at = at;
        return value;
      }
      shift += 7;
    }
    let scale = 0x1000_0000;
    do {
      byte = bytes[at++];
      if (byte === undefined) throw new RangeError('packed bytes end early');
      value += (byte & 0x7f) * scale;
      scale *= 128;
    } while (byte >= 0x80);
    this.at = at;
    return value;
  }

  float64(): number {
    const value = Buffer.from(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength).readDoubleLE(this.at);
    this.at += 8;
    return value;
  }

  text(): string {
    const length = this.varint();
    return this.slice(length).toString('utf8');
  }

  slice(length: number): Buffer {
    const end = this.at + length;
    if (end > this.bytes.length) throw new RangeError('packed bytes end early');
    const slice = Buffer.from(this.bytes.buffer, this.bytes.byteOffset + this.at, length);
    this.at = end;
    return slice;
  }
}

/**
 * JSON of large columns of integers, written straight into bytes: JSON.stringify of a flame graph with a million nodes takes
 * several times as long and needs the columns as arrays first.
 */

export class JsonWriter {
  private bytes: Buffer;
  private length = 0;

  constructor(capacity = 1 << 16) {
    this.bytes = Buffer.allocUnsafe(capacity);
  }

  /** Adds text that is JSON, or a part of it, already. */
  raw(json: string): this {
    const most = json.length * 3;
    this.reserve(most);
    this.length += this.bytes.write(json, this.length, 'utf8');
    return this;
  }

  value(value: unknown): this {
    return this.raw(JSON.stringify(value));
  }

  /** An array of integers between -2^53 and 2^53; others are written as JSON writes them. */
  integers(values: ArrayLike<number>): this {
    this.raw('[');
    for (let i = 0; i < values.length; i += 1) {
      // 17 digits with sign, and a comma.
      if (this.length + 24 > this.bytes.length) this.reserve(24 + (values.length - i) * 8);
      if (i > 0) this.bytes[this.length++] = 0x2c;
      this.integer(values[i] as number);
    }
    return this.raw(']');
  }

  /** What was written. The writer must not be used afterwards. */
  take(): Buffer {
    return this.bytes.subarray(0, this.length);
  }

  private integer(value: number): void {
    const { bytes } = this;
    if (!Number.isSafeInteger(value)) {
      this.raw(Number.isFinite(value) ? String(value) : 'null');
      return;
    }
    let rest = value;
    if (rest < 0) {
      bytes[this.length++] = 0x2d;
      rest = -rest;
    }
    let high = 0;
    if (rest >= 1e9) {
      high = Math.floor(rest / 1e9);
      rest -= high * 1e9;
      this.integer(high);
    }
    let digits = high > 0 ? 9 : digitsOf(rest);
    const end = this.length + digits;
    let low = rest | 0;
    for (let at = end - 1; digits > 0; digits -= 1, at -= 1) {
      const quotient = (low / 10) | 0;
      bytes[at] = 0x30 + (low - quotient * 10);
      low = quotient;
    }
    this.length = end;
  }

  private reserve(needed: number): void {
    if (this.length + needed <= this.bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.length + needed));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }
}

/** Of a number below 10^9. */
function digitsOf(value: number): number {
  if (value < 10) return 1;
  if (value < 100) return 2;
  if (value < 1000) return 3;
  if (value < 10_000) return 4;
  if (value < 100_000) return 5;
  if (value < 1_000_000) return 6;
  if (value < 10_000_000) return 7;
  return value < 100_000_000 ? 8 : 9;
}

/** Reading of fixed-layout records: what every generated decoder needs. Little endian, no bounds checks of its own. */

/** An unsigned 64-bit number; exact up to 2^53. */
export function u64Number(data: Buffer, offset: number): number {
  return u32(data, offset) + u32(data, offset + 4) * 4294967296;
}

/** A signed 64-bit number; exact from -2^53 to 2^53. */
export function s64Number(data: Buffer, offset: number): number {
  return u32(data, offset) + (u32(data, offset + 4) | 0) * 4294967296;
}

/** Plain arithmetic on bytes: measured twice as fast as readUInt32LE, which checks its bounds on each call. */
export function u32(data: Buffer, offset: number): number {
  return (data[offset]! | (data[offset + 1]! << 8) | (data[offset + 2]! << 16) | (data[offset + 3]! << 24)) >>> 0;
}

export function u16(data: Buffer, offset: number): number {
  return data[offset]! | (data[offset + 1]! << 8);
}

/** Text in a field of fixed size: up to the first NUL. */
export function fixedText(data: Buffer, offset: number, sizeBytes: number): string {
  const nul = data.indexOf(0, offset);
  return data.toString('utf8', offset, nul < 0 || nul > offset + sizeBytes ? offset + sizeBytes : nul);
}

/** 1024 names: few hosts have as many distinct thread names that are busy at once, and a miss costs only the decoding. */
const cachedNames = 1024;
const nameWords = new Uint32Array(cachedNames * 4);
const names = new Array<string>(cachedNames).fill('');

/**
 * Text of 16 bytes (task_struct.comm), through a cache that is indexed by a hash of the bytes and compares them all: decoding costs
 * more than the rest of a small event.
 */
export function commText(data: Buffer, offset: number): string {
  const a = u32(data, offset) | 0;
  const b = u32(data, offset + 4) | 0;
  const c = u32(data, offset + 8) | 0;
  const d = u32(data, offset + 12) | 0;
  const hash = Math.imul(a ^ Math.imul(b, 0x9e3779b1) ^ Math.imul(c, 0x85ebca6b) ^ Math.imul(d, 0xc2b2ae35), 0x27d4eb2f) >>> 22;
  const at = hash * 4;
  if (
    (nameWords[at]! | 0) === a &&
    (nameWords[at + 1]! | 0) === b &&
    (nameWords[at + 2]! | 0) === c &&
    (nameWords[at + 3]! | 0) === d
  )
    return names[hash]!;
  nameWords[at] = a;
  nameWords[at + 1] = b;
  nameWords[at + 2] = c;
  nameWords[at + 3] = d;
  const name = fixedText(data, offset, 16);
  names[hash] = name;
  return name;
}

/** The exact 64-bit value. */
export function u64BigInt(data: Buffer, offset: number): bigint {
  const high = u32(data, offset + 4);
  // Most identifiers are small, and a BigInt of a small number is made faster than one of two halves.
  return high === 0 ? BigInt(u32(data, offset)) : data.readBigUInt64LE(offset);
}

const nothing = new Uint8Array();

/** Bytes from `start` to `end`, not copied. No Buffer, whose slice() would be one more view where Uint8Array's is a copy. */
export function view(data: Buffer, start: number, end: number): Uint8Array {
  return start === end ? nothing : new Uint8Array(data.buffer, data.byteOffset + start, end - start);
}

/** UTF-8 text from `start` to `end`, NULs included. */
export function text(data: Buffer, start: number, end: number): string {
  return start === end ? '' : data.toString('utf8', start, end);
}

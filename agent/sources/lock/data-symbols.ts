/** Names of variables in an ELF file, from its .symtab or .dynsym: of which object an address of its data is part. */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** Where a part of the file lies in memory, relative to the load address. */
interface Segment {
  readonly offset: number;
  readonly address: number;
  readonly fileBytes: number;
}

export interface DataSymbols {
  /** Address in the file's own terms of what is at this offset of the file; undefined where no segment has it. */
  addressOf(offset: number): number | undefined;
  /** "table" or "table+0x40"; undefined where no variable is there. */
  nameAt(address: number): string | undefined;
}

/** Larger tables are not read: the names of a program's locks are not worth a second of work. */
const maxTableBytes = 8 << 20;
const maxNameBytes = 16 << 20;
const symbolBytes = 24;
/** ELF-64 (System V ABI). */
const segmentLoad = 1;
const sectionSymtab = 2;
const sectionDynsym = 11;
const typeObject = 1;

/** Throws a RangeError for what is no 64-bit little-endian ELF file, and what the file system throws. */
export function readDataSymbols(path: string): DataSymbols {
  const file = openSync(path, 'r');
  try {
    const size = fstatSync(file).size;
    const header = read(file, 0, 64, size);
    if (header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1)
      throw new RangeError(`${path} is no 64-bit ELF file`);
    const segments = readSegments(file, header, size);
    const symbols = readSymbols(file, header, size);
    return {
      addressOf: offset => {
        const segment = segments.find(candidate => offset >= candidate.offset && offset < candidate.offset + candidate.fileBytes);
        return segment === undefined ? undefined : segment.address + offset - segment.offset;
      },
      nameAt: address => nameAt(symbols, address),
    };
  } finally {
    closeSync(file);
  }
}

function read(file: number, at: number, bytes: number, size: number): Buffer {
  if (at < 0 || bytes < 0 || at + bytes > size) throw new RangeError('a table lies outside of the file');
  const buffer = Buffer.alloc(bytes);
  if (readSync(file, buffer, 0, bytes, at) !== bytes) throw new RangeError('the file has become shorter');
  return buffer;
}

/** PT_LOAD segments. The first page of one may hold the end of the one before: offsets are rounded down as the loader does. */
function readSegments(file: number, header: Buffer, size: number): Segment[] {
  const [at, entryBytes, count] = [Number(header.readBigUInt64LE(32)), header.readUInt16LE(54), header.readUInt16LE(56)];
  if (entryBytes < 56) return [];
  const table = read(file, at, entryBytes * count, size);
  const segments: Segment[] = [];
  for (let i = 0; i < count; i += 1) {
    const entry = table.subarray(i * entryBytes);
    if (entry.readUInt32LE(0) !== segmentLoad) continue;
    const [offset, address, fileBytes] = [8, 16, 32].map(place => Number(entry.readBigUInt64LE(place))) as [
      number,
      number,
      number,
    ];
    const before = offset % 4096;
    segments.push({ offset: offset - before, address: address - before, fileBytes: fileBytes + before });
  }
  // Of two that share a page of the file, the later one is where variables lie.
  return segments.reverse();
}

interface Variable {
  readonly address: number;
  readonly sizeBytes: number;
  readonly name: string;
}

function readSymbols(file: number, header: Buffer, size: number): Variable[] {
  const [at, entryBytes, count] = [Number(header.readBigUInt64LE(40)), header.readUInt16LE(58), header.readUInt16LE(60)];
  if (entryBytes < 64) return [];
  const sections = read(file, at, entryBytes * count, size);
  const ofType = (wanted: number): Buffer | undefined => {
    for (let i = 0; i < count; i += 1) {
      const section = sections.subarray(i * entryBytes, (i + 1) * entryBytes);
      if (section.readUInt32LE(4) === wanted) return section;
    }
    return undefined;
  };
  const table = ofType(sectionSymtab) ?? ofType(sectionDynsym);
  const link = table?.readUInt32LE(40) ?? count;
  if (table === undefined || link >= count) return [];
  const names = sections.subarray(link * entryBytes, (link + 1) * entryBytes);
  const [tableAt, tableBytes] = [Number(table.readBigUInt64LE(24)), Number(table.readBigUInt64LE(32))];
  const [namesAt, nameBytes] = [Number(names.readBigUInt64LE(24)), Number(names.readBigUInt64LE(32))];
  if (tableBytes > maxTableBytes || nameBytes > maxNameBytes) return [];
  return variables(read(file, tableAt, tableBytes, size), read(file, namesAt, nameBytes, size));
}

function variables(table: Buffer, names: Buffer): Variable[] {
  const found: Variable[] = [];
  for (let at = 0; at + symbolBytes <= table.length; at += symbolBytes) {
    if (((table[at + 4] ?? 0) & 0xf) !== typeObject || table.readUInt16LE(at + 6) === 0) continue;
    const nameAt = table.readUInt32LE(at);
    const end = names.indexOf(0, nameAt);
    if (nameAt >= names.length || end < 0) continue;
    found.push({
      name: names.toString('utf8', nameAt, end),
      address: Number(table.readBigUInt64LE(at + 8)),
      sizeBytes: Number(table.readBigUInt64LE(at + 16)),
    });
  }
  return found.sort((a, b) => a.address - b.address);
}

function nameAt(symbols: readonly Variable[], address: number): string | undefined {
  let [low, high] = [0, symbols.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((symbols[middle]?.address ?? 0) <= address) low = middle + 1;
    else high = middle;
  }
  const symbol = symbols[low - 1];
  if (symbol === undefined || address >= symbol.address + Math.max(1, symbol.sizeBytes)) return undefined;
  const offset = address - symbol.address;
  return offset === 0 ? symbol.name : `${symbol.name}+0x${offset.toString(16)}`;
}

/** Values of a few symbols of a 64-bit ELF file, data included. Reads headers, symbol table and names; no more of the file. */

import { closeSync, openSync, readSync } from 'node:fs';

/** Of all that is read at once: the symbols of the largest programs come to less. */
const maxBytes = 256 << 20;

export interface ElfSymbols {
  /** Virtual address by name, for the names that were found. */
  readonly addresses: ReadonlyMap<string, bigint>;
  /** Its addresses are offsets to where it is mapped (ET_DYN). */
  readonly isPositionIndependent: boolean;
  /** It has the section that was asked for. */
  readonly hasSection: boolean;
  /** Offset in the file of a virtual address; undefined for what is in no loaded segment. */
  offsetOf(address: bigint): bigint | undefined;
}

interface Section {
  readonly name: string;
  readonly type: number;
  readonly offset: number;
  readonly bytes: number;
  readonly link: number;
}

const typeSymbolTable = 2;
const typeLoad = 1;
const typeDynamic = 3;

/**
 * Symbols of a file that has the section `only`; of others no symbols are read, and none found.
 * undefined for what is no 64-bit little-endian ELF file, or a damaged one. Throws what the file system says of an unreadable file.
 */
export function readElfSymbols(path: string, only: string, names: ReadonlySet<string>): ElfSymbols | undefined {
  const file = openSync(path, 'r');
  try {
    return readFrom(file, only, names);
  } catch (error) {
    // Places outside the file, or more than can be: damaged.
    if (error instanceof RangeError) return undefined;
    throw error;
  } finally {
    closeSync(file);
  }
}

function readFrom(file: number, only: string, names: ReadonlySet<string>): ElfSymbols | undefined {
  const header = readAt(file, 0, 64);
  if (header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1) return undefined;
  const sections = sectionsOf(file, header);
  const segments = segmentsOf(file, header);
  return {
    addresses: sections.some(({ name }) => name === only) ? symbolsOf(file, sections, names) : new Map(),
    isPositionIndependent: header.readUInt16LE(16) === typeDynamic,
    hasSection: sections.some(({ name }) => name === only),
    offsetOf: address => {
      const segment = segments.find(({ start, bytes }) => address >= start && address < start + bytes);
      return segment === undefined ? undefined : address - segment.start + segment.offset;
    },
  };
}

function readAt(file: number, offset: number, bytes: number): Buffer {
  if (bytes > maxBytes) throw new RangeError(`${bytes} bytes are no table of symbols`);
  const data = Buffer.alloc(bytes);
  if (readSync(file, data, 0, bytes, offset) !== bytes) throw new RangeError('the file ends before its table');
  return data;
}

/** A 64-bit place that files do not reach beyond 2^53. */
function place(data: Buffer, at: number): number {
  return Number(data.readBigUInt64LE(at));
}

function sectionsOf(file: number, header: Buffer): Section[] {
  const count = header.readUInt16LE(60);
  const table = readAt(file, place(header, 40), count * 64);
  const raw = Array.from({ length: count }, (_, i) => {
    const at = i * 64;
    return {
      nameAt: table.readUInt32LE(at),
      type: table.readUInt32LE(at + 4),
      offset: place(table, at + 24),
      bytes: place(table, at + 32),
      link: table.readUInt32LE(at + 40),
    };
  });
  const names = raw[header.readUInt16LE(62)];
  const text = names === undefined ? Buffer.alloc(0) : readAt(file, names.offset, names.bytes);
  return raw.map(({ nameAt, ...section }) => ({ ...section, name: textAt(text, nameAt) }));
}

function segmentsOf(file: number, header: Buffer): { start: bigint; bytes: bigint; offset: bigint }[] {
  const count = header.readUInt16LE(56);
  const table = readAt(file, place(header, 32), count * 56);
  return Array.from({ length: count }, (_, i) => i * 56)
    .filter(at => table.readUInt32LE(at) === typeLoad)
    .map(at => ({
      offset: table.readBigUInt64LE(at + 8),
      start: table.readBigUInt64LE(at + 16),
      bytes: table.readBigUInt64LE(at + 32),
    }));
}

function symbolsOf(file: number, sections: readonly Section[], names: ReadonlySet<string>): Map<string, bigint> {
  const found = new Map<string, bigint>();
  const symbols = sections.find(({ type }) => type === typeSymbolTable);
  const strings = symbols === undefined ? undefined : sections[symbols.link];
  if (symbols === undefined || strings === undefined) return found;
  const text = readAt(file, strings.offset, strings.bytes);
  const places = new Map<number, string>();
  for (const name of names) {
    const at = text.indexOf(`\0${name}\0`, 0, 'latin1');
    if (at >= 0) places.set(at + 1, name);
  }
  const table = readAt(file, symbols.offset, symbols.bytes);
  for (let at = 0; at + 24 <= table.length && found.size < places.size; at += 24) {
    const name = places.get(table.readUInt32LE(at));
    if (name !== undefined) found.set(name, table.readBigUInt64LE(at + 8));
  }
  return found;
}

function textAt(text: Buffer, at: number): string {
  const end = text.indexOf(0, at);
  return text.toString('latin1', at, end < 0 ? text.length : end);
}

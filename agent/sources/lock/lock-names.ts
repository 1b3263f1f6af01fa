/**
 * What a lock is called: the variable that it is in, or that is part of, where it lies in the static data of a program or library; else
 * its address, and whether that is on the heap, a stack or in shared memory.
 */

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { type DataSymbols, readDataSymbols } from './data-symbols.ts';

interface Mapping {
  readonly start: number;
  readonly end: number;
  readonly offset: number;
  readonly inode: string;
  /** '' for memory without a file. */
  readonly path: string;
  readonly isShared: boolean;
}

/** A process's mappings may change, and its number may come to be another's. */
const keptMs = 60_000;
const maxNames = 10_000;
const maxProcesses = 256;
const maxFiles = 64;

export class LockNames {
  private readonly names = new Map<string, { readonly name: string; readonly untilMs: number }>();
  private readonly mappings = new Map<number, { readonly list: readonly Mapping[]; readonly untilMs: number }>();
  /** By inode and path; undefined for files that cannot be read, or are none of ELF. */
  private readonly files = new Map<string, DataSymbols | undefined>();

  /** Never throws: of a process that is gone the address is all there is. */
  of(pid: number, address: bigint, nowMs = Date.now()): string {
    const key = `${pid} ${address}`;
    const known = this.names.get(key);
    if (known !== undefined && known.untilMs > nowMs) return known.name;
    const name = this.find(pid, Number(address), nowMs) ?? known?.name ?? hex(Number(address));
    if (this.names.size >= maxNames) this.names.clear();
    this.names.set(key, { name, untilMs: nowMs + keptMs });
    return name;
  }

  private find(pid: number, address: number, nowMs: number): string | undefined {
    const list = this.mappingsOf(pid, address, nowMs);
    const index = list.findIndex(({ start, end }) => address >= start && address < end);
    const mapping = list[index];
    if (mapping === undefined) return undefined;
    const owner = mapping.path === '' ? beforeBss(list, index) : mapping;
    if (owner === undefined) return `${hex(address)} (heap)`;
    if (owner.path.startsWith('[stack')) return `${hex(address)} (stack)`;
    if (owner.path.startsWith('[')) return `${hex(address)} (heap)`;
    if (owner.isShared) return `${basename(owner.path)}+${hex(address - owner.start + owner.offset)} (shared)`;
    return this.inFile(pid, owner, address);
  }

  private inFile(pid: number, owner: Mapping, address: number): string {
    const module = basename(owner.path);
    const symbols = this.symbolsOf(pid, owner);
    // The address where the linker put it: variables that are zero at first lie behind the file's part.
    const linked = symbols?.addressOf(owner.offset);
    if (symbols === undefined || linked === undefined) return `${module}+${hex(address - owner.start + owner.offset)}`;
    const place = linked + address - owner.start;
    const name = symbols.nameAt(place);
    return name === undefined ? `${module}+${hex(place)}` : `${name} (${module})`;
  }

  private mappingsOf(pid: number, address: number, nowMs: number): readonly Mapping[] {
    const known = this.mappings.get(pid);
    const isThere = known?.list.some(({ start, end }) => address >= start && address < end) === true;
    if (known !== undefined && isThere && known.untilMs > nowMs) return known.list;
    if (this.mappings.size >= maxProcesses) this.mappings.clear();
    const list = readMappings(pid);
    this.mappings.set(pid, { list, untilMs: nowMs + keptMs });
    return list;
  }

  private symbolsOf(pid: number, { inode, path }: Mapping): DataSymbols | undefined {
    const key = `${inode} ${path}`;
    if (this.files.has(key)) return this.files.get(key);
    if (this.files.size >= maxFiles) this.files.clear();
    let symbols: DataSymbols | undefined;
    try {
      symbols = readDataSymbols(`/proc/${pid}/root${path}`);
    } catch {
      // Deleted, or no ELF file: the name is then the module and the offset.
    }
    this.files.set(key, symbols);
    return symbols;
  }
}

/** The part of a file that an anonymous mapping continues: its variables that are zero at first. */
function beforeBss(list: readonly Mapping[], index: number): Mapping | undefined {
  const [before, mapping] = [list[index - 1], list[index]];
  if (before === undefined || mapping === undefined || before.end !== mapping.start) return undefined;
  return before.path.startsWith('/') && !before.isShared ? before : undefined;
}

function readMappings(pid: number): Mapping[] {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/maps`, 'utf8');
  } catch {
    // The process is gone.
    return [];
  }
  return text.split('\n').flatMap(line => {
    const match = /^([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) (\S+) (\d+) *(.*)$/.exec(line);
    if (match === null) return [];
    const [, start = '', end = '', rights = '', offset = '', device = '', inode = '', path = ''] = match;
    const [startAt, endAt, offsetAt] = [start, end, offset].map(digits => Number.parseInt(digits, 16)) as [
      number,
      number,
      number,
    ];
    return [{ start: startAt, end: endAt, offset: offsetAt, inode: `${device} ${inode}`, path, isShared: rights[3] === 's' }];
  });
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/**
 * Go programs among the processes: where their runtime samples allocations, and how often. A program that does not link
 * runtime/pprof has its sampling switched off by Go's linker: there is nothing to see of its heap then, and that is said.
 */

import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import type { NativeSymbolizer } from '../../bpf/native.ts';
import { readElfSymbols } from './elf-symbols.ts';

const samplingFunction = 'runtime.profilealloc';
const rateVariable = 'runtime.MemProfileRate';
/** Go's default: one sample in 512 KiB. */
export const defaultRateBytes = 512 << 10;

/** Executables that are remembered, and Go programs read in one look: each takes up to some tenths of a second. */
const maxFiles = 4096;
const maxReadsPerLook = 8;

export interface GoProgram {
  /** A process that runs it, by whose /proc entry the file is reached. */
  readonly pid: number;
  readonly path: string;
  /** Of the sampling function, as a uprobe takes it. */
  readonly offset: number;
  /** Of runtime.MemProfileRate; undefined in a program without symbols. */
  readonly rateAddress: bigint | undefined;
  readonly isPositionIndependent: boolean;
}

export class GoPrograms {
  private readonly symbolizer: Pick<NativeSymbolizer, 'findSymbols'>;
  private readonly proc: string;
  /** By device, inode and time of the last change; undefined for what is no Go program. */
  private readonly files = new Map<string, GoProgram | undefined>();

  constructor(symbolizer: Pick<NativeSymbolizer, 'findSymbols'>, proc = '/proc') {
    this.symbolizer = symbolizer;
    this.proc = proc;
  }

  /** Go programs that were not there at the last look. Those left for the next look are as few as `maxReadsPerLook` allows. */
  look(): GoProgram[] {
    const fresh: GoProgram[] = [];
    for (const name of readdirSync(this.proc)) {
      if (fresh.length >= maxReadsPerLook || this.files.size >= maxFiles) break;
      const program = /^\d+$/.test(name) ? this.lookAt(Number(name)) : undefined;
      if (program !== undefined) fresh.push(program);
    }
    return fresh;
  }

  /** The program that this process runs, where it is one of Go that was not seen before. */
  lookAt(pid: number): GoProgram | undefined {
    const path = `${this.proc}/${pid}/exe`;
    const key = fileKey(path);
    if (key === undefined || this.files.has(key) || this.files.size >= maxFiles) return undefined;
    try {
      const program = this.read(pid, path);
      this.files.set(key, program);
      return program;
    } catch {
      // It ended while it was looked at, or its file cannot be read: another process of the file is looked at anew.
      return undefined;
    }
  }

  /** Bytes for which one sample stands, as the process has set it; undefined where that cannot be known. */
  rateOf(pid: number): number | undefined {
    const key = fileKey(`${this.proc}/${pid}/exe`);
    const program = key === undefined ? undefined : this.files.get(key);
    if (program?.rateAddress === undefined) return undefined;
    try {
      const base = program.isPositionIndependent ? firstMapping(`${this.proc}/${pid}/maps`) : 0n;
      return Number(readBytes(`${this.proc}/${pid}/mem`, base + program.rateAddress, 8).readBigInt64LE());
    } catch {
      // The process has ended, or does not let itself be read: what it was is not known.
      return undefined;
    }
  }

  private read(pid: number, path: string): GoProgram | undefined {
    const elf = readElfSymbols(path, '.go.buildinfo', new Set([samplingFunction, rateVariable]));
    if (elf === undefined || !elf.hasSection) return undefined;
    const address = elf.addresses.get(samplingFunction);
    const offset = address === undefined ? undefined : elf.offsetOf(address);
    const found = offset === undefined ? this.symbolizer.findSymbols(path, samplingFunction, 1)[0]?.offset : Number(offset);
    if (found === undefined) return undefined;
    const { addresses, isPositionIndependent } = elf;
    return { pid, path, offset: afterStackCheck(path, found), rateAddress: addresses.get(rateVariable), isPositionIndependent };
  }
}

/** What an allocation of `bytes` that was sampled stands for, as pprof scales it (runtime/pprof, scaleHeapSample). */
export function samplesFor(bytes: number, rateBytes: number): number {
  if (rateBytes <= 1 || bytes <= 0) return 1;
  return 1 / (1 - Math.exp(-bytes / rateBytes));
}

/**
 * A Go function begins with a look at its stack's end (cmp 0x10(%r14),%rsp and jbe). Where the stack has to grow, or the goroutine was
 * asked to pause, it begins anew afterwards: a probe on its first instruction would be hit twice by one call.
 */
function afterStackCheck(path: string, offset: number): number {
  const code = readBytes(path, BigInt(offset), 6);
  if (code.readUInt32BE(0) !== 0x493b6610) return offset;
  if (code[4] === 0x76) return offset + 6;
  return code.readUInt16BE(4) === 0x0f86 ? offset + 10 : offset;
}

function fileKey(path: string): string | undefined {
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat === undefined ? undefined : `${stat.dev}:${stat.ino}:${stat.mtimeMs}`;
  } catch {
    // ESRCH or EACCES: it is ending, or not ours to see.
    return undefined;
  }
}

/** Where the executable is mapped: the first line of maps that is of a file. */
function firstMapping(path: string): bigint {
  const line = readFileSync(path, 'latin1')
    .split('\n')
    .find(text => text.includes('/'));
  return BigInt(`0x${line?.split('-')[0] ?? '0'}`);
}

function readBytes(path: string, offset: bigint, bytes: number): Buffer {
  const file = openSync(path, 'r');
  try {
    const data = Buffer.alloc(bytes);
    readSync(file, data, 0, bytes, offset);
    return data;
  } finally {
    closeSync(file);
  }
}

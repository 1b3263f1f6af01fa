/** Builds and runs walk-live.cc: stacks of some processes by source cpu's programs, with tables that are made for them on the spot. */

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { compileBpf, projectDir } from '../../../scripts/lib/bpf.ts';
import { runTool } from '../../../scripts/lib/steps.ts';
import { MEMBERS } from '../../../test/zoo/members.ts';

const parts = ['walk', 'table-writer', 'unwind-table', 'byte-window', 'cfi-expression', 'cfi-program', 'cfi-section'];
const codeParts = [
  'go-rows',
  'bare-code',
  'code-scan',
  'instruction',
  'instruction-writes',
  'followed-code',
  'stack-follower',
  'stack-heights',
  'stack-jumps',
];

/** The walk, and the making of tables that it needs to be tried. */
export const walkSources: readonly string[] = [
  ...[...parts, ...codeParts, 'compressed-section', 'eh-frame-header'].map(name => `native/src/unwind/${name}.cc`),
  ...['byte-source', 'elf-file', 'go-module'].map(name => `native/src/symbols/${name}.cc`),
];
const sources = ['native/test/walk/walk-live.cc', 'native/src/symbols/proc-maps.cc', ...walkSources];
const flags = ['-std=c++20', '-O2', '-g', '-Wall', '-Wextra', '-Werror', '-fno-exceptions', '-D_GNU_SOURCE'];
const folders = ['-I', 'native/src', '-iquote', 'bpf/lib'];

/** The programs of the zoo that are walked by themselves. */
const walkedNames = ['chain-gcc-O2', 'recursion-gcc', 'signals-alternate'] as const;
export type WalkedName = (typeof walkedNames)[number];
export const walkedMembers = MEMBERS.filter(({ name }) => walkedNames.some(walked => walked === name));

/** Numbers of enum unwind_end (bpf/lib/unwind-table.h). */
export const unwindRoot = 0;

export interface WalkedSample {
  readonly end: number;
  readonly rawBytes: number;
  /** Leaf first. */
  readonly addresses: readonly number[];
}

export interface LiveMapping {
  readonly start: number;
  readonly end: number;
  /** ELF address = address - bias. */
  readonly bias: number;
  readonly path: string;
}

export interface LiveWalks {
  readonly mappings: readonly LiveMapping[];
  readonly samples: readonly WalkedSample[];
  /** Walked in user space from the copies that came with samples. */
  readonly resumed: readonly WalkedSample[];
  /** Walks of known processes by duration, in steps of 50 ns. */
  readonly times: readonly number[];
}

/** Compiled once for the same sources, so that a VM finds it ready. */
export async function buildWalkLive(): Promise<string> {
  const hash = createHash('sha256').update(flags.join('\0'));
  const headers = ['native/src/unwind', 'native/src/symbols', 'bpf/lib', 'bpf/cpu'].flatMap(folder =>
    readdirSync(join(projectDir, folder))
      .filter(name => name.endsWith('.h'))
      .map(name => join(folder, name)),
  );
  for (const path of [...sources, ...headers.sort()]) hash.update(readFileSync(join(projectDir, path)));
  const folder = join(projectDir, '.build', 'walk-live', hash.digest('hex').slice(0, 16));
  const program = join(folder, 'walk-live');
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  const partial = `${program}.${process.pid}`;
  await runTool('g++', [...flags, ...folders, '-o', partial, ...sources, '-lbpf', '-lz']);
  renameSync(partial, program);
  return program;
}

/** Blocks until it is done. `isTold`: whether the programs know the processes, else their stacks come as copies. */
export async function walkLiveAll(
  pids: readonly number[],
  hz: number,
  seconds: number,
  isTold = true,
): Promise<(pid: number) => LiveWalks> {
  const program = await buildWalkLive();
  const { objectPath } = await compileBpf('cpu');
  const words = [objectPath, pids.join(','), String(hz), String(seconds), ...(isTold ? [] : ['untold'])];
  const run = spawnSync(program, words, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (run.status !== 0) throw new Error(`walk-live: ${run.stderr}`);
  const lines = run.stdout.split('\n').map(line => line.split(' '));
  const of = (kind: string) => lines.filter(([word]) => word === kind).map(([, ...rest]) => rest);
  const [times = []] = of('times');
  return pid => {
    const ofPid = (kind: string) => of(kind).flatMap(([first, ...rest]) => (Number(first) === pid ? [rest] : []));
    return {
      mappings: ofPid('map').map(([start = '', end = '', bias = '', path = '']) => ({
        start: Number.parseInt(start, 16),
        end: Number.parseInt(end, 16),
        bias: Number.parseInt(bias, 16),
        path,
      })),
      samples: ofPid('sample').map(([end, rawBytes, ...addresses]) => sampleOf(end, rawBytes, addresses)),
      resumed: ofPid('resumed').map(([end, ...addresses]) => sampleOf(end, '0', addresses)),
      times: times.map(Number),
    };
  };
}

/** As walkLiveAll, of one process. */
export async function walkLive(pid: number, hz: number, seconds: number, isTold = true): Promise<LiveWalks> {
  return (await walkLiveAll([pid], hz, seconds, isTold))(pid);
}

function sampleOf(end = '', rawBytes = '', addresses: readonly string[]): WalkedSample {
  return {
    end: Number(end),
    rawBytes: Number(rawBytes),
    addresses: addresses.map(address => Number.parseInt(address, 16)),
  };
}

/** Names the functions of `binary`, whose symbols stand in `symbolFile`; of code elsewhere there is nothing. */
export function functionNamer(
  { mappings }: LiveWalks,
  binary: string,
  symbolFile = binary,
): (address: number) => string | undefined {
  const symbols = execFileSync('nm', ['-S', '--defined-only', symbolFile], { encoding: 'utf8', maxBuffer: 1 << 28 })
    .split('\n')
    .map(line => /^([0-9a-f]+) ([0-9a-f]+) [tTwW] (\S+)$/.exec(line))
    .filter(match => match !== null)
    .map(([, address = '', size = '', name = '']) => ({
      start: Number.parseInt(address, 16),
      end: Number.parseInt(address, 16) + Number.parseInt(size, 16),
      name,
    }));
  const ofBinary = mappings.filter(({ path }) => path === binary);
  return address => {
    const mapping = ofBinary.find(({ start, end }) => address >= start && address < end);
    if (mapping === undefined) return undefined;
    const elf = address - mapping.bias;
    return symbols.find(({ start, end }) => elf >= start && elf < end)?.name;
  };
}

/** Names of the functions of `binary` on a stack, root first; of code elsewhere there is nothing. */
export function functionNames(walks: LiveWalks, binary: string): (sample: WalkedSample) => string[] {
  const nameOf = functionNamer(walks, binary);
  return ({ addresses }) =>
    addresses
      .map((address, i) => nameOf(i === 0 ? address : address - 1))
      .filter(name => name !== undefined)
      .reverse();
}

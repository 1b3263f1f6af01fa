/**
 * What the addon's tests share: the probe object (probe.bpf.c) built, opened and loaded for this process, and the events that it counts.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { NativeAddon, NativeObject } from '../../agent/bpf/native.ts';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const buildDir = join(root, '.build', 'test');

/** The programs that need what not every kernel has, and the one that the verifier refuses: left out unless asked for. */
const optionalPrograms = ['probe_kprobe', 'probe_fentry', 'probe_refused'];

/** Index into probe_counts: enum counter of probe.bpf.c. */
export const counters = { raw: 0, btf: 1, tracepoint: 2, perf: 3, uprobe: 4, uretprobe: 5 } as const;
/** Index into probe_drops: enum drop_reason of bpf/lib/event.h. */
export const drops = { seen: 0, emitted: 1, bufferFull: 4 } as const;

/** For programs that are no Node: without the sanitizers' runtime, which would report what is not ours. */
export function toolEnvironment(): NodeJS.ProcessEnv {
  const { LD_PRELOAD: _, ...environment } = process.env;
  return environment;
}

interface Compilation {
  readonly command: string;
  readonly options: readonly string[];
  /** The file to compile first, then all that it includes of ours. */
  readonly sources: readonly string[];
  readonly output: string;
}

/** Where the output of this very compilation lies. */
function outputPath({ command, options, sources, output }: Compilation): string {
  const hash = createHash('sha256').update([command, ...options].join('\0'));
  for (const source of sources) hash.update(readFileSync(source));
  return join(buildDir, hash.digest('hex').slice(0, 16), output);
}

/** Compiles once for the same sources, so that a VM finds it ready; to a name of its own and then renames: test files run at the same time. */
function compile(compilation: Compilation): string {
  const path = outputPath(compilation);
  if (existsSync(path)) return path;
  const { command, options, sources } = compilation;
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}`;
  const words = [...options, sources[0] as string, '-o', temporary];
  execFileSync(command, words, { stdio: ['ignore', 'inherit', 'inherit'], env: toolEnvironment() });
  renameSync(temporary, path);
  return path;
}

const probe = probeCompilation();
export const probePath = outputPath(probe);

export function buildProbe(): void {
  compile(probe);
}

function probeCompilation(): Compilation {
  const machine = process.arch === 'arm64' ? 'arm64' : 'x86';
  const lib = join(root, 'bpf', 'lib');
  const includes = ['-I', lib, '-isystem', `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`];
  const flags = [
    '-O2',
    '-g',
    '-target',
    'bpf',
    `-D__TARGET_ARCH_${machine}`,
    '-D__bpf__',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-Wno-unused-parameter',
  ];
  const headers = readdirSync(lib).filter(name => name.endsWith('.h'));
  return {
    command: 'clang',
    options: [...flags, ...includes, '-c'],
    sources: [join(root, 'native', 'test', 'probe.bpf.c'), ...headers.sort().map(name => join(lib, name))],
    output: 'probe.bpf.o',
  };
}

/** The program whose function probed_work is called as often as its argument says, and the file offset of that function. */
export function buildTarget(): { path: string; offset: number } {
  const source = join(root, 'native', 'test', 'target.c');
  const targetPath = compile({ command: 'gcc', options: ['-O1'], sources: [source], output: 'target' });
  const symbols = execFileSync('nm', [targetPath], { encoding: 'utf8', env: toolEnvironment() });
  const address = /^([0-9a-f]+) T probed_work$/m.exec(symbols)?.[1];
  if (!address) throw new Error('nm does not list probed_work');
  // The linker places .text at the same address and offset in position-independent executables.
  return { path: targetPath, offset: Number.parseInt(address, 16) };
}

export interface ProbeOptions {
  /** Bytes of a record; 0: none is written. */
  readonly recordBytes?: number;
  /** Only this thread; otherwise all of the process. */
  readonly tid?: number;
  readonly programs?: readonly string[];
}

/** Opens and loads the probe for this process, with the programs named or all that every kernel can load. */
export function loadProbe(addon: NativeAddon, options: ProbeOptions = {}): NativeObject {
  const object = addon.openObject(probePath);
  for (const { name } of object.programs) {
    object.setAutoload(name, options.programs ? options.programs.includes(name) : !optionalPrograms.includes(name));
  }
  object.setConstant('target_pid', process.pid);
  object.setConstant('target_tid', options.tid ?? 0);
  object.setConstant('is_emitting', options.recordBytes === 0 ? 0 : 1);
  if (options.recordBytes) object.setConstant('record_bytes', BigInt(options.recordBytes));
  object.load();
  return object;
}

/** Makes exactly `count` of the system calls that the probe listens to. */
export function makeEvents(count: number): void {
  for (let i = 0; i < count; i++) process.ppid;
}

/** A per-CPU u64 of an array map, summed. */
export function sumOfCpus(object: NativeObject, map: string, index: number): number {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(index);
  const values = object.mapLookup(map, key);
  if (!values) throw new Error(`${map} has no entry ${index}`);
  let sum = 0;
  for (let offset = 0; offset < values.length; offset += 8) sum += Number(values.readBigUInt64LE(offset));
  return sum;
}

/** Ids of the BPF programs and maps that this process holds open. */
export function heldIds(pid: number | 'self' | undefined = 'self'): { programs: number[]; maps: number[] } {
  const ids = { programs: [] as number[], maps: [] as number[] };
  for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
    let text: string;
    try {
      text = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8');
    } catch (error) {
      // ENOENT: the descriptor that read the folder itself, closed since.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw error;
    }
    const program = /^prog_id:\s+(\d+)/m.exec(text)?.[1];
    const map = /^map_id:\s+(\d+)/m.exec(text)?.[1];
    if (program) ids.programs.push(Number(program));
    if (map) ids.maps.push(Number(map));
  }
  return ids;
}

function existingIds(kind: 'prog' | 'map'): Set<number> {
  const list = JSON.parse(execFileSync('bpftool', ['-j', kind, 'show'], { encoding: 'utf8', env: toolEnvironment() })) as {
    id: number;
  }[];
  return new Set(list.map(item => item.id));
}

/** Which of these the kernel still has. It frees them a little after the last descriptor is closed, so it gets five seconds. */
export async function leftBehind(ids: { programs: number[]; maps: number[] }): Promise<string[]> {
  for (let tries = 0; ; tries++) {
    const [programs, maps] = [existingIds('prog'), existingIds('map')];
    const left = [
      ...ids.programs.filter(id => programs.has(id)).map(id => `program ${id}`),
      ...ids.maps.filter(id => maps.has(id)).map(id => `map ${id}`),
    ];
    if (left.length === 0 || tries === 50) return left;
    await sleep(100);
  }
}

/** Waits until `read` gives `wanted` or less, five seconds at most, and returns what it gives then. */
export async function settle(read: () => number, wanted: number): Promise<number> {
  for (let tries = 0; read() > wanted && tries < 50; tries++) await sleep(100);
  return read();
}

export const openDescriptors = (): number => readdirSync('/proc/self/fd').length;
export const threads = (): number => readdirSync('/proc/self/task').length;

/**
 * Names of native code: what the first lookups in a program with debug information take, with a symbolizer that has seen nothing, what
 * later ones take, and the memory that they leave behind. The program is a small C++ one (1 MB of DWARF, as a service's unit has) with
 * libstdc++ and libc around it.
 */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadAddon } from '../../agent/bpf/addon.ts';
import { projectDir } from '../lib/bpf.ts';
import { type BenchRow, median, rowWithTarget } from './row.ts';

const rounds = 40;
/** About as many new locations as a second of sampling brings once a program has run for a while. */
const batchLocations = 32;
const cachedPasses = 50;

export async function run(): Promise<BenchRow[]> {
  const directory = join(projectDir, '.build/bench');
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'inlined');
  execFileSync('g++', ['-g', '-O2', '-std=c++17', '-w', '-o', path, join(projectDir, 'native/test/symbols/programs/inlined.cc')]);
  const program = spawn(path, ['alpha12', 'beta'], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(program.stdout, 'data');
  try {
    return await measure(program.pid ?? 0, addressesOf(program.pid ?? 0, path));
  } finally {
    program.stdin.end();
    await once(program, 'exit');
  }
}

/** Addresses in the middle of each function of the program, as the process has them. */
function addressesOf(pid: number, path: string): bigint[] {
  const line = readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .find(text => text.endsWith(path));
  const bias = BigInt(`0x${line?.split('-')[0] ?? '0'}`);
  const listing = execFileSync('nm', ['-S', '--defined-only', path], { encoding: 'utf8' });
  return [...listing.matchAll(/^([0-9a-f]+) ([0-9a-f]+) [tTwW] /gm)].map(
    ([, address = '0', size = '0']) => bias + BigInt(`0x${address}`) + BigInt(`0x${size}`) / 2n,
  );
}

async function measure(pid: number, addresses: readonly bigint[]): Promise<BenchRow[]> {
  const firstMs: number[] = [];
  const laterMs: number[] = [];
  const cachedUs: number[] = [];
  const knownUs: number[] = [];
  let [inlined, bytes] = [0, 0];
  for (let round = 0; round < rounds; round += 1) {
    const symbolizer = loadAddon().createSymbolizer({ maxBytes: 48 << 20 });
    // The kernel's symbols are read first, which is another matter.
    await symbolizer.describe(new Uint32Array(0));
    const located = addresses.map(address => symbolizer.locate(pid, packed(address), false)[0] ?? 0);
    for (let at = 0; at < located.length; at += batchLocations) {
      const startMs = performance.now();
      await symbolizer.describe(Uint32Array.from(located.slice(at, at + batchLocations)));
      (at === 0 ? firstMs : laterMs).push(performance.now() - startMs);
    }
    const ids = Uint32Array.from(located);
    const startMs = performance.now();
    for (let pass = 0; pass < cachedPasses; pass += 1) {
      const frames = await symbolizer.describe(ids);
      inlined = Math.max(inlined, frames.filter(frame => frame.lines.length > 1).length);
    }
    cachedUs.push((1000 * (performance.now() - startMs)) / cachedPasses / ids.length);
    const stack = Buffer.concat(addresses.map(packed));
    const locateMs = performance.now();
    for (let pass = 0; pass < cachedPasses; pass += 1) symbolizer.locate(pid, stack, false);
    knownUs.push((1000 * (performance.now() - locateMs)) / cachedPasses / ids.length);
    bytes = Math.max(bytes, symbolizer.memory().bytes);
    symbolizer.close();
  }
  if (inlined === 0) throw new Error('no inlined function was named');
  return [
    rowWithTarget('names and lines, a symbolizer that has seen nothing, batch of 32, p95', quantile(firstMs), 'ms', {
      isAtLeast: false,
      bound: 50,
    }),
    rowWithTarget('names and lines, later batches of 32, p95', quantile(laterMs), 'ms', { isAtLeast: false, bound: 50 }),
    // What is named is asked for once and kept by id: this is the way of all further samples.
    rowWithTarget('a frame whose location is known, p50', median(knownUs), 'us', { isAtLeast: false, bound: 1 }),
    { name: 'a frame that was described before, described again', value: median(cachedUs), unit: 'us' },
    { name: 'memory of the symbolizer after it', value: bytes / 2 ** 20, unit: 'MiB' },
  ];
}

function packed(address: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(address);
  return bytes;
}

function quantile(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.95))] ?? 0;
}

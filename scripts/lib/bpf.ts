/** Compiles the kernel side: finds the sources by convention (bpf/<source>/<source>.bpf.c) and builds what changed. */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const projectDir = join(import.meta.dirname, '..', '..');
/** Where Node keeps what it compiled, of all that runs here: the place that the launcher takes. */
export const compileCacheDir = join(projectDir, '.build', 'compile-cache');
const bpfDir = join(projectDir, 'bpf');
const buildDir = join(projectDir, '.build', 'bpf');

/** Flags of every compilation for the BPF machine, here and in `npm run gen`. */
export const bpfFlags = [
  '-O2',
  '-g',
  '-target',
  'bpf',
  '-D__TARGET_ARCH_x86',
  '-D__bpf__',
  '-Wall',
  '-Wextra',
  '-Wpadded',
  '-Werror',
  '-I',
  join(bpfDir, 'lib'),
  // Where Debian keeps asm/types.h of the building machine; no architecture of its own exists for BPF.
  '-isystem',
  '/usr/include/x86_64-linux-gnu',
] as const;

/** Names of the sources: folders under bpf/ that hold a header of their own name. */
export function bpfSources(): string[] {
  return readdirSync(bpfDir)
    .filter(name => existsSync(join(bpfDir, name, `${name}.h`)))
    .sort();
}

export function sourceHeader(source: string): string {
  return join(bpfDir, source, `${source}.h`);
}

export interface CompiledBpf {
  readonly objectPath: string;
  /** False where the object on disk was already made from the same text and flags. */
  readonly isRebuilt: boolean;
}

/** Builds .build/bpf/<source>.bpf.o unless it is up to date. Throws an Error with the compiler's words. */
export async function compileBpf(source: string): Promise<CompiledBpf> {
  const objectPath = join(buildDir, `${source}.bpf.o`);
  const hashPath = join(buildDir, `${source}.hash`);
  const hash = contentHash(source);
  if (existsSync(objectPath) && existsSync(hashPath) && readFileSync(hashPath, 'utf8') === hash)
    return { objectPath, isRebuilt: false };
  mkdirSync(buildDir, { recursive: true });
  const partial = `${objectPath}.${process.pid}`;
  await clang([...bpfFlags, '-c', join(bpfDir, source, `${source}.bpf.c`), '-o', partial], `compile bpf/${source}`);
  renameSync(partial, objectPath);
  writeFileSync(hashPath, hash);
  return { objectPath, isRebuilt: true };
}

/** Runs clang; its diagnostics become the error. */
export async function clang(args: readonly string[], operation: string): Promise<void> {
  try {
    await run('clang', [...args]);
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: string };
    const words = code === 'ENOENT' ? 'clang is not installed; run scripts/setup.sh' : (stderr ?? String(error)).trim();
    throw new Error(`${operation}: ${words}`, { cause: error });
  }
}

/** Everything that the object depends on: flags, the shared headers and the source's own folder. */
function contentHash(source: string): string {
  const hash = createHash('sha256').update(bpfFlags.join('\0'));
  for (const folder of ['lib', source]) {
    for (const name of readdirSync(join(bpfDir, folder)).sort()) {
      if (!/\.[ch]$/.test(name)) continue;
      hash.update(`\0${folder}/${name}\0`).update(readFileSync(join(bpfDir, folder, name)));
    }
  }
  return hash.digest('hex');
}

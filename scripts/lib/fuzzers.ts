/** The fuzzers (libFuzzer, clang): what there is, how it is built, how it is run. Used by `npm run fuzz` and by the tests. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { projectDir } from './bpf.ts';

export interface Fuzzer {
  /** Of the program, and of its cmake target. */
  readonly name: string;
  /** The cmake project that builds it with -DHOTSPAN_FUZZ=ON, in the project. */
  readonly folder: string;
  /** Inputs to begin with, one file each. */
  readonly samples: string;
  readonly maxInputBytes: number;
}

export const FUZZERS: readonly Fuzzer[] = [
  { name: 'fuzz-tables', folder: 'native/test/unwind', samples: 'native/test/unwind/samples', maxInputBytes: 8192 },
  { name: 'fuzz-go', folder: 'native/test/symbols', samples: 'native/test/symbols/samples/go', maxInputBytes: 2048 },
  { name: 'fuzz-jit-dump', folder: 'native/test/symbols', samples: 'native/test/symbols/samples/jit-dump', maxInputBytes: 8192 },
  { name: 'fuzz-perf-map', folder: 'native/test/symbols', samples: 'native/test/symbols/samples/perf-map', maxInputBytes: 4096 },
];

/** Input that takes longer than this, or more memory, is a finding. */
const LIMITS = ['-timeout=10', '-rss_limit_mb=1024', '-malloc_limit_mb=256'];

/** Where a fuzzer's findings go. */
export function workDir(fuzzer: Fuzzer): string {
  return join(projectDir, '.build/fuzz', fuzzer.name);
}

/** Fuzzers of one folder are built in one place. */
function buildDir(fuzzer: Fuzzer): string {
  return join(projectDir, '.build/fuzz', fuzzer.folder.replaceAll('/', '-'));
}

export function buildFuzzer(fuzzer: Fuzzer): void {
  const out = buildDir(fuzzer);
  const configure = ['-S', join(projectDir, fuzzer.folder), '-B', out, '-DHOTSPAN_FUZZ=ON', '-DCMAKE_CXX_COMPILER=clang++'];
  execFileSync('cmake', configure, { stdio: 'ignore' });
  execFileSync('cmake', ['--build', out, '--target', fuzzer.name, '--parallel', '2'], { stdio: ['ignore', 'ignore', 'inherit'] });
}

export interface FuzzResult {
  readonly executions: number;
  /** Of edges in the code that was fuzzed. */
  readonly coverage: number;
  /** Nothing was found. */
  readonly ok: boolean;
  readonly log: string;
}

/**
 * Runs a built fuzzer from its samples on. `corpus`: where it keeps what it finds interesting, and goes on from the next time; a
 * finding is written beside the build.
 */
export function runFuzzer(fuzzer: Fuzzer, amount: readonly string[], corpus: string): FuzzResult {
  for (const folder of [corpus, workDir(fuzzer)]) mkdirSync(folder, { recursive: true });
  const args = [
    ...amount,
    ...LIMITS,
    `-max_len=${fuzzer.maxInputBytes}`,
    `-artifact_prefix=${workDir(fuzzer)}/`,
    '-print_final_stats=1',
    // The first folder is the one that is written to.
    corpus,
    join(projectDir, fuzzer.samples),
  ];
  const program = join(buildDir(fuzzer), fuzzer.name);
  const run = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  const log = run.stderr;
  return {
    executions: Number(/number_of_executed_units: (\d+)/.exec(log)?.[1] ?? 0),
    coverage: Number([...log.matchAll(/ cov: (\d+)/g)].at(-1)?.[1] ?? 0),
    ok: run.status === 0,
    log,
  };
}

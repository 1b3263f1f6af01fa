/**
 * What it costs to make the unwind tables of large files: processor time, bytes a row, memory while it is done. By table-tool of
 * native/test/unwind, the addon's own code without Node; the median of several builds in one process.
 */

import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectDir } from '../lib/bpf.ts';
import { type BenchRow, rowWithTarget } from './row.ts';

const rounds = 9;

interface Measured {
  readonly cpuMs: number;
  readonly rows: number;
  readonly bytes: number;
  readonly peakKib: number;
}

/** The files that are there, by what they are called in the report. */
function files(): [string, string][] {
  const libc = /\/\S+\/libc\.so\.6/.exec(readFileSync('/proc/self/maps', 'utf8'))?.[0] ?? '';
  const wanted: [string, string][] = [
    ['node', process.execPath],
    ['the older node', '/usr/bin/node'],
    ['libLLVM', '/usr/lib/llvm-*/lib/libLLVM-*.so*'],
    ['qemu-system-x86_64', '/usr/bin/qemu-system-x86_64'],
    ['libc', libc],
    ['go', '/usr/{local/go,lib/go*}/bin/go'],
  ];
  return wanted.flatMap(([name, pattern]) =>
    globSync(pattern)
      .slice(0, 1)
      .map((path): [string, string] => [name, path]),
  );
}

export async function run(): Promise<BenchRow[]> {
  const out = join(projectDir, '.build/unwind-test');
  execFileSync('cmake', ['-S', join(projectDir, 'native/test/unwind'), '-B', out], { stdio: 'ignore' });
  execFileSync('cmake', ['--build', out, '--target', 'table-tool'], { stdio: 'ignore' });
  const rows: BenchRow[] = [];
  for (const [name, path] of files()) {
    const args = ['measure', path, String(rounds)];
    const measured = JSON.parse(execFileSync(join(out, 'table-tool'), args, { encoding: 'utf8' })) as Measured;
    const time = `${name}: table of ${measured.rows.toLocaleString('en-US')} rows made in`;
    rows.push(
      name === 'node'
        ? rowWithTarget(time, measured.cpuMs, 'ms', { isAtLeast: false, bound: 60 })
        : { name: time, value: measured.cpuMs, unit: 'ms' },
      rowWithTarget(`${name}: a row`, measured.bytes / measured.rows, 'bytes', { isAtLeast: false, bound: 4 }),
      { name: `${name}: table`, value: measured.bytes, unit: 'bytes' },
      { name: `${name}: memory while it is made, table included`, value: measured.peakKib, unit: 'KiB' },
    );
  }
  return rows;
}

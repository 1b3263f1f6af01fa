/** Compiles the program that opens, reads and closes a file as often as it can (syscalls.c). */

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { projectDir } from '../lib/bpf.ts';

let built: string | undefined;

/** Path of the program; its argument is the seconds to run for, its output the rounds per second. */
export function syscallProgram(): string {
  if (built === undefined) {
    const folder = join(projectDir, '.build', 'bench');
    mkdirSync(folder, { recursive: true });
    built = join(folder, 'syscalls');
    execFileSync('gcc', ['-O2', '-o', built, join(import.meta.dirname, 'syscalls.c')]);
  }
  return built;
}

/** Compiles the bench's own loads, each one C file beside this one. */

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { projectDir } from '../lib/bpf.ts';

const built = new Map<string, string>();

/** Path of the program made from NAME.c; what it takes and prints stands at the top of that file. */
export function benchProgram(name: string): string {
  const known = built.get(name);
  if (known !== undefined) return known;
  const folder = join(projectDir, '.build', 'bench');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  execFileSync('gcc', ['-O2', '-o', path, join(import.meta.dirname, `${name}.c`)]);
  built.set(name, path);
  return path;
}

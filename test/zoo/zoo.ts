/** Builds and starts the programs that tests observe. Each is compiled when a test first asks for it, into .build/zoo. */

import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { projectDir } from '../../scripts/lib/bpf.ts';
import { runTool } from '../../scripts/lib/steps.ts';

const zooDir = import.meta.dirname;

/** Frame pointers and real calls for the unwinder; no folding of functions with equal bodies, which would give several names one address. */
const C_FLAGS = [
  '-O2',
  '-g',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-fno-omit-frame-pointer',
  '-fno-optimize-sibling-calls',
  '-fno-ipa-icf',
  '-pthread',
];

export interface BuildOptions {
  /** More flags for the compiler; a program built with others has a file of its own. */
  readonly flags?: readonly string[];
}

/**
 * Builds the animal (<name>.c, or the Go program in <name>/) and gives back its path. `name` may lead elsewhere under test/, as in
 * `../live/file/files`. Throws an Error with the compiler's words.
 */
export async function buildZoo(name: string, options: BuildOptions = {}): Promise<string> {
  const flags = options.flags ?? [];
  const cSource = join(zooDir, `${name}.c`);
  const isC = existsSync(cSource);
  const sources = isC ? [cSource] : readdirSync(join(zooDir, name)).map(file => join(zooDir, name, file));
  const hash = createHash('sha256').update([...C_FLAGS, ...flags].join('\0'));
  for (const source of sources) hash.update(readFileSync(source));
  // The file's own name stays that of the animal: it becomes the command that the kernel reports.
  const folder = join(projectDir, '.build', 'zoo', hash.digest('hex').slice(0, 16));
  const binary = join(folder, name.split('/').at(-1) ?? name);
  if (existsSync(binary)) return binary;
  mkdirSync(folder, { recursive: true });
  const partial = `${binary}.${process.pid}`;
  if (isC) await runTool('gcc', [...C_FLAGS, ...flags, '-o', partial, cSource]);
  else await runTool('go', ['build', '-C', join(zooDir, name), ...flags, '-o', partial, '.']);
  renameSync(partial, binary);
  return binary;
}

export interface Animal {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Resolves with everything it printed on stdout, once it has ended; rejects when it ended with another code than 0. */
  readonly output: Promise<string>;
}

/** Starts a program that prints "ready" once it does what it is watched for, and waits for that line. The caller awaits `output` or kills `child`. */
export async function startAnimal(binary: string, args: readonly string[]): Promise<Animal> {
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  const ready = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on('line', line => {
    if (line === 'ready') ready.resolve();
    else lines.push(line);
  });
  const output = new Promise<string>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) =>
      code === 0 ? resolve(lines.join('\n')) : reject(new Error(`${binary} ended with ${signal ?? code}`)),
    );
  });
  // A caller that kills its animal does not care how it ended.
  output.catch(() => {});
  await Promise.race([ready.promise, output.then(() => Promise.reject(new Error(`${binary} ended without being ready`)))]);
  return { child, pid: child.pid ?? 0, output };
}

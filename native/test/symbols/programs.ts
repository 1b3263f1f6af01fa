/** Programs to be named: compiled once for a test run from programs/, started, asked for the addresses of their own functions. */

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const sourceDir = fileURLToPath(new URL('programs/', import.meta.url));

/** A directory for what a test builds; removed when the process ends. */
export const buildDir = mkdtempSync(join(tmpdir(), 'hotspan-symbols-'));
process.on('exit', () => rmSync(buildDir, { recursive: true, force: true }));

/** Runs a compiler; `{src}` and `{out}` in arguments stand for the source directory and the result. Returns the result's path. */
export function build(name: string, command: string, args: readonly string[], environment: Record<string, string> = {}): string {
  const out = join(buildDir, name);
  const filled = args.map(arg => arg.replaceAll('{src}', sourceDir).replaceAll('{out}', out));
  execFileSync(command, filled, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...environment } });
  return out;
}

export interface RunningProgram {
  readonly pid: number;
  /** What it printed before "ready". */
  readonly lines: readonly string[];
  /** Lets it end, and waits until it is gone. */
  stop(): Promise<void>;
}

/** A test that fails leaves its program: it ends with this process, and does not keep it. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts a program and waits for its line "ready". */
export async function start(command: string, args: readonly string[] = [], cwd?: string): Promise<RunningProgram> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], cwd });
  running.add(child);
  child.once('exit', () => running.delete(child));
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'ready') {
      child.unref();
      for (const pipe of [child.stdin, child.stdout]) if (pipe instanceof Socket) pipe.unref();
      return { pid: pidOf(child), lines, stop: () => stop(child) };
    }
    lines.push(line);
  }
  throw new Error(`${command} ended before it was ready`);
}

function pidOf(child: ChildProcess): number {
  assert.ok(child.pid, 'the program has a pid');
  return child.pid;
}

async function stop(child: ChildProcess): Promise<void> {
  const isGone = new Promise(resolve => child.once('exit', resolve));
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.ref();
  child.stdin?.end();
  await isGone;
}

/** Addresses as the symbolizer takes them. */
export function packed(addresses: readonly bigint[]): Buffer {
  const bytes = Buffer.alloc(8 * addresses.length);
  for (const [i, address] of addresses.entries()) bytes.writeBigUInt64LE(address, 8 * i);
  return bytes;
}

/** Whether a program is installed. */
export function hasCommand(command: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** A Python that tells of its functions with `-X OPTION`, wherever it is installed: "perf" (3.12) by perf-map, "perf_jit" (3.13) by jitdump. */
export function findPython(option: 'perf' | 'perf_jit'): string | undefined {
  const versions = join(process.env.HOME ?? '/root', '.pyenv/versions');
  const own = existsSync(versions) ? readdirSync(versions).map(version => join(versions, version, 'bin/python3')) : [];
  const isNew = option === 'perf' ? '(3, 12)' : '(3, 13)';
  const check = `import sys; sys.exit(sys.version_info < ${isNew} or not sys.is_stack_trampoline_active())`;
  return ['python3', ...own].find(command => {
    try {
      execFileSync(command, ['-X', option, '-c', check], { stdio: 'ignore', cwd: buildDir });
      return true;
    } catch {
      return false;
    }
  });
}

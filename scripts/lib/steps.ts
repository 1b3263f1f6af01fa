/** Small tools of the build and check scripts: steps that say how long they took, and programs whose output matters only when they fail. */

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { projectDir } from './bpf.ts';

/** What is running now, and how far it says it is; shown in one line that each finished step writes over. */
const running = new Map<string, string>();
const ERASE_LINE = '\r\x1b[2K';

function drawRunning(): void {
  if (!process.stdout.isTTY) return;
  const names = [...running].map(([name, progress]) => (progress === '' ? name : `${name} ${progress}`));
  process.stdout.write(ERASE_LINE + (names.length > 0 ? `  ${names.join(', ')} ...` : ''));
}

/** Runs a step and prints one line: its name, what it answers, and its time. A failure is printed and given back as false. */
export async function step(name: string, work: (progress: (text: string) => void) => Promise<string>): Promise<boolean> {
  const startMs = performance.now();
  const progress = (text: string): void => {
    running.set(name, text);
    drawRunning();
  };
  const finish = (text: string): string => {
    running.delete(name);
    if (process.stdout.isTTY) process.stdout.write(ERASE_LINE);
    return `  ${name.padEnd(14)} ${text} (${((performance.now() - startMs) / 1000).toFixed(1)} s)`;
  };
  progress('');
  try {
    console.log(finish(await work(progress)));
    return true;
  } catch (error) {
    console.error(finish(`failed: ${error instanceof Error ? error.message : error}`));
    return false;
  } finally {
    drawRunning();
  }
}

/**
 * Runs a program of node_modules/.bin or of the machine in the project's folder, and resolves with both of its outputs, which become
 * the error when it fails. `onText` hears them as they come.
 */
export function runTool(program: string, args: readonly string[], onText?: (text: string) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const bin = join(projectDir, 'node_modules', '.bin');
    const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
    const child = spawn(program, args, { cwd: projectDir, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
        onText?.(text);
      });
    }
    child.on('error', cause => reject(new Error(`cannot start ${program}: ${cause.message}; run scripts/setup.sh`, { cause })));
    child.on('close', code =>
      code === 0 ? resolve(output) : reject(new Error(`${program} ended with ${code}\n${output.trim()}`)),
    );
  });
}

/** All files under a folder of the project, as paths relative to the project, sorted; dot-folders and node_modules are left out. */
export function filesUnder(folder: string): string[] {
  const root = join(projectDir, folder);
  if (!existsSync(root)) return [];
  const found: string[] = [];
  for (const entry of readdirSync(root, { withFileTypes: true })) {
    if (entry.name.startsWith('.') || entry.name === 'node_modules') continue;
    const path = relative(projectDir, join(root, entry.name));
    if (entry.isDirectory()) found.push(...filesUnder(path));
    else if (entry.isFile()) found.push(path);
  }
  return found.sort();
}

/**
 * Runs `build` unless `output` is already there from the same inputs. What it was built from is kept beside the outputs as a hash of
 * the inputs' names and contents, so a checkout that only touches times rebuilds nothing.
 */
export async function buildOnce(output: string, inputs: readonly string[], build: () => Promise<void>): Promise<string> {
  const outputPath = join(projectDir, output);
  const stampPath = join(projectDir, '.build', 'stamps', output.replaceAll('/', '-'));
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(`\0${input}\0`).update(readFileSync(join(projectDir, input)));
  const stamp = hash.digest('hex');
  if (existsSync(outputPath) && existsSync(stampPath) && readFileSync(stampPath, 'utf8') === stamp) return 'up to date';
  await build();
  if (!existsSync(outputPath)) throw new Error(`it ran, but left no ${output}`);
  mkdirSync(dirname(stampPath), { recursive: true });
  writeFileSync(stampPath, stamp);
  return 'built';
}

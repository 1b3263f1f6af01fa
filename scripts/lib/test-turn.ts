/**
 * Loaded before each test file of a whole run (test.ts), in its process: waits until it is the file's turn. Files run one at a time, but
 * the kernel matrix runs beside those that measure neither times nor rates. Whoever listens on an abstract socket has what it stands
 * for, and whatever way its process ends the kernel gives it back.
 */

import { createServer } from 'node:net';
import { setPriority } from 'node:os';
import { relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectDir } from './bpf.ts';

/** The kernel matrix, which is to start first: it takes the longest. */
export const matrixFile = 'test/vm/matrix.test.ts';

/** Measures times, rates or costs, or counts what all of the machine does, and wants it for itself. */
export function isMeasuring(file: string): boolean {
  return (
    /^test\/live\/(?!bad-|jvm\.)|^test\/vm\/vm\.|^test\/unwind\/live|^agent\/(cli|server|store)\//.test(file) ||
    /^native\/test\/(bpf-object|perf-reader|leaks|own-memory|walk\/.*|symbols\/(flood|user-code))\.test\.ts$/.test(file)
  );
}

/** In the order in which they run best. */
export function ordered(files: readonly string[]): string[] {
  const rank = (file: string): number => (file === matrixFile ? 0 : isMeasuring(file) ? 2 : 1);
  return [...files].sort((a, b) => rank(a) - rank(b));
}

function take(what: 'machine' | 'matrix'): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer().unref();
    server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(false) : reject(error)));
    server.listen(`\0hotspan-test-${what}-${projectDir}`, () => resolve(true));
  });
}

async function waitFor(what: 'machine' | 'matrix'): Promise<void> {
  while (!(await take(what))) await sleep(50);
}

async function waitForTurn(file: string): Promise<void> {
  if (file === matrixFile) return waitFor('matrix');
  await waitFor('machine');
  if (isMeasuring(file)) await waitFor('matrix');
  // Compiles for minutes, and what the emulated machines do meanwhile has its times, too.
  else if (file.startsWith('native/')) setPriority(10);
}

if (process.env.HOTSPAN_TEST_TURNS !== undefined) {
  // Not for what the test starts: programs, workers.
  delete process.env.HOTSPAN_TEST_TURNS;
  await waitForTurn(relative(projectDir, process.argv[1] ?? ''));
}

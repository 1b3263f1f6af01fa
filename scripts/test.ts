/**
 * npm test [-- PATTERN...]: the checks, then every test in one run of Node's runner, one file after the other. A pattern picks the test
 * files whose path contains it and leaves the checks out; arguments that start with a dash go to the runner.
 */

import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { compileCacheDir, projectDir } from './lib/bpf.ts';
import { filesUnder } from './lib/steps.ts';

/** No test file may hold up the others for longer; the VM matrix is the slowest. */
const TEST_TIMEOUT_MS = 25 * 60_000;

const args = process.argv.slice(2);
const flags = args.filter(arg => arg.startsWith('-'));
const patterns = args.filter(arg => !arg.startsWith('-'));

const files = ['agent', 'native', 'scripts', 'ui', 'test']
  .flatMap(filesUnder)
  .filter(path => path.endsWith('.test.ts') && (patterns.length === 0 || patterns.some(pattern => path.includes(pattern))));

if (files.length === 0) {
  console.error(`test: no test file has ${patterns.map(pattern => `"${pattern}"`).join(' or ')} in its path`);
  process.exit(2);
}

if (patterns.length === 0 && !runChecks()) process.exit(1);
process.exitCode = await runTests();

function runChecks(): boolean {
  console.log('checks');
  return (
    spawnSync(process.execPath, [join('scripts', 'check.ts')], { cwd: projectDir, stdio: ['ignore', 'inherit', 'inherit'] })
      .status === 0
  );
}

function runTests(): Promise<number> {
  const options = ['--test', '--test-concurrency=1', '--test-reporter=spec', `--test-timeout=${TEST_TIMEOUT_MS}`];
  const runner = spawn(process.execPath, [...options, ...flags, ...files], {
    cwd: projectDir,
    stdio: ['ignore', 'inherit', 'inherit'],
    // Each test file is a process: without it every one strips the types of all that it imports anew.
    env: { NODE_COMPILE_CACHE: compileCacheDir, ...process.env },
  });
  // The runner answers these signals by ending its tests; waiting for it keeps its last words.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => runner.kill(signal));
  return new Promise(resolve => runner.on('close', code => resolve(code ?? 1)));
}

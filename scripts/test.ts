/**
 * npm test [-- PATTERN...]: the checks, then every test in one run of Node's runner, one file after the other but for the kernel matrix
 * (lib/test-turn.ts). A pattern picks the test files whose path contains it and leaves the checks out; arguments that start with a dash
 * go to the runner, which then takes all one after the other.
 */

import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { compileCacheDir, projectDir } from './lib/bpf.ts';
import { filesUnder } from './lib/steps.ts';
import { ordered } from './lib/test-turn.ts';

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
// Each test file is a process: without it every one strips the types of all that it imports anew.
process.env.NODE_COMPILE_CACHE ??= compileCacheDir;
process.exitCode = args.length === 0 ? await runAll() : await runSome();

function runChecks(): boolean {
  console.log('checks');
  return (
    spawnSync(process.execPath, [join('scripts', 'check.ts')], { cwd: projectDir, stdio: ['ignore', 'inherit', 'inherit'] })
      .status === 0
  );
}

function runAll(): Promise<number> {
  process.chdir(projectDir);
  process.env.HOTSPAN_TEST_TURNS = '1';
  const execArgv = ['--import', join(projectDir, 'scripts', 'lib', 'test-turn.ts')];
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort());
  const events = run({ files: ordered(files), concurrency: 2, timeout: TEST_TIMEOUT_MS, execArgv, signal: stop.signal });
  let code = 1;
  // Each file has a summary of its own; the one of all of them names no file.
  events.on('test:summary', ({ file, success }) => {
    if (file === undefined) code = success ? 0 : 1;
  });
  return new Promise(resolve => {
    const report = events.compose(new spec());
    report.on('end', () => resolve(code));
    report.pipe(process.stdout);
  });
}

function runSome(): Promise<number> {
  const options = ['--test', '--test-concurrency=1', '--test-reporter=spec', `--test-timeout=${TEST_TIMEOUT_MS}`];
  const runner = spawn(process.execPath, [...options, ...flags, ...files], {
    cwd: projectDir,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  // The runner answers these signals by ending its tests; waiting for it keeps its last words.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => runner.kill(signal));
  return new Promise(resolve => runner.on('close', code => resolve(code ?? 1)));
}

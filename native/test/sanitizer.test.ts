/**
 * Runs the addon's other tests with a build of it under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer, and fails when
 * one of them reports a fault or a leak that has to do with the addon.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { root } from './probe.ts';

const outputDir = `${root}.build/native-asan`;
const reportDir = `${root}.build/test/sanitizer-reports`;
/** All of the addon's tests but those that measure time, start compilers, or build sanitized programs of their own. */
const testFiles = ['bpf-object', 'perf-reader', 'leaks', 'symbols/lifecycle'].map(name => `native/test/${name}.test.ts`);

function build(): void {
  const options = [`--CDHOTSPAN_OUTPUT_DIR=${outputDir}`, '--CDHOTSPAN_SANITIZE=ON', '-B', 'RelWithDebInfo', '-p', '2'];
  const environment = { ...process.env, PATH: `${root}node_modules/.bin:${process.env.PATH}` };
  const command = ['compile', '-d', `${root}native`, '-O', `${root}.build/native-asan-build`, '-l', 'error', ...options];
  execFileSync('cmake-js', command, { cwd: root, env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
}

interface SanitizedRun {
  readonly output: string;
  readonly isPassed: boolean;
  /** What the sanitizers said of the addon. */
  readonly reports: readonly string[];
}

/** Runs Node with the sanitizers' runtime. */
function runSanitized(args: readonly string[]): SanitizedRun {
  rmSync(reportDir, { recursive: true, force: true });
  mkdirSync(reportDir, { recursive: true });
  const runtime = execFileSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
  // Leaks of Node itself must not fail a process, so the exit code says nothing of faults: what is reported decides. The slow
  // unwinder sees through libbpf, which keeps no frame pointers.
  const asan = `log_path=${reportDir}/asan:exitcode=0:detect_leaks=1:fast_unwind_on_malloc=0:malloc_context_size=20`;
  const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
  const run = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    env: {
      ...environment,
      HOTSPAN_ADDON: `${outputDir}/hotspan.node`,
      HOTSPAN_TEST_ROUNDS: '20',
      LD_PRELOAD: runtime,
      ASAN_OPTIONS: asan,
      UBSAN_OPTIONS: 'print_stacktrace=1',
    },
  });
  const output = `${run.stdout}${run.stderr}`;
  return { output, isPassed: run.status === 0, reports: [...undefinedBehaviour(output), ...readReports()] };
}

/** Undefined behaviour is told on standard error, whatever log_path says. Only our code is built to tell it. */
function undefinedBehaviour(output: string): readonly string[] {
  return output.match(/^.*: runtime error: .*$/gm) ?? [];
}

/**
 * The faults in the report files. Every fault of memory counts. A leak counts when its stack goes through the addon or libbpf: Node and
 * V8 leave some of their own when they end. So do 8 bytes for each promise that is pending when its worker is terminated, because
 * Node-API frees a deferred only by resolving it, and JS is over then.
 */
function readReports(): string[] {
  const reports: string[] = [];
  for (const file of readdirSync(reportDir)) {
    const text = readFileSync(`${reportDir}/${file}`, 'utf8');
    // The leak checker's own tracer may fail while threads end; that says nothing of leaks, and the other files' checks still count.
    if (/LeakSanitizer has encountered a fatal error/.test(text) && !/ERROR: AddressSanitizer/.test(text)) continue;
    if (!text.includes('detected memory leaks')) reports.push(text);
    const leaks = text
      .split('\n\n')
      .filter(block => /(Direct|Indirect) leak of/.test(block) && !block.includes('napi_create_promise'));
    reports.push(...leaks.filter(leak => /hotspan\.node|canary\.node|\/native\/(src|test)\/|libbpf\.so|libelf\.so/.test(leak)));
  }
  return reports;
}

describe('the sanitizers', () => {
  before(build, { timeout: 600_000 });

  const faults = { leak: /leak of 984 byte/, useAfterFree: /heap-use-after-free/, undefined: /signed integer overflow/ };
  for (const [fault, words] of Object.entries(faults)) {
    it(`report a fault of an addon: ${fault}`, () => {
      const { reports, output } = runSanitized(['-e', `require('${outputDir}/canary.node').${fault}()`]);
      assert.match(reports.join('\n'), words, output);
    });
  }

  it('report nothing in the tests of the addon', { timeout: 600_000 }, () => {
    const run = () => runSanitized(['--test', '--test-concurrency=1', ...testFiles]);
    const first = run();
    // A failure without a report is the leak checker's own (see readReports): the second run must pass.
    const { output, isPassed, reports } = first.isPassed || first.reports.length > 0 ? first : run();
    assert.deepEqual(reports, [], reports.slice(0, 3).join('\n'));
    assert.ok(isPassed, output);
  });
});

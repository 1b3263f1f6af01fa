// The live tests inside each kernel of the matrix. What they load, attach and count there is real; only time is not, since the
// VMs are emulated instruction by instruction.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { before, describe, test } from 'node:test';
import { kits } from '../../agent/sources/index.ts';
import { buildProbe, buildTarget } from '../../native/test/probe.ts';
import { buildWalkLive } from '../../native/test/walk/walk-live.ts';
import { projectDir } from '../../scripts/lib/bpf.ts';
import { filesUnder } from '../../scripts/lib/steps.ts';
import { KERNEL_NAMES, type KernelName } from '../../scripts/vm/kernels.ts';
import { runInVm } from '../../scripts/vm/machine.ts';
import { buildMember, CORE_MEMBERS } from '../zoo/members.ts';
import { buildZoo } from '../zoo/zoo.ts';
import type { TestRecord } from './event-reporter.ts';

/** A VM takes some five times as long as the host; a hanging one must not use up the time of all. */
const VM_TIMEOUT_MS = 9 * 60_000;

/** The only reasons for which a test may be left out, and on which kernels. Each says what the kernel really lacks. */
const EXPECTED_SKIPS: readonly { readonly reason: RegExp; readonly kernels: readonly KernelName[] }[] = [];

/**
 * What runs in the VMs: the live test of every source, and the addon's tests of what it asks of the kernel. Tests of the whole agent
 * judge the agent, the addon's other ones its own memory; under emulation they would only take minutes.
 */
const liveTests = [...filesUnder('test/live'), ...filesUnder('native/test')].filter(path => {
  const source = /^test\/live\/(\w+)\.test\.ts$/.exec(path)?.[1] ?? '';
  return (
    source in kits ||
    source === 'zoo' ||
    /^native\/test\/(bpf-object|perf-reader|symbols\/kernel-.*|walk\/.*)\.test\.ts$/.test(path)
  );
});

interface VmReport {
  readonly exitCode: number;
  readonly records: readonly TestRecord[];
  /** Everything that the runner printed, for the message of a failure. */
  readonly output: string;
}

async function runLiveTests(kernel: KernelName): Promise<VmReport> {
  const resultsDir = mkdtempSync(join(tmpdir(), `hotspan-vm-${kernel}-`));
  const output = new PassThrough({ encoding: 'utf8' });
  let text = '';
  output.on('data', chunk => {
    text += chunk;
  });
  try {
    // The reporter's file lies in the guest at the place that stands in HOTSPAN_VM_RESULTS, so a shell has to name it.
    const runner = `exec node --test --test-concurrency=1 --test-reporter=spec --test-reporter-destination=stdout \
      --test-reporter=./test/vm/event-reporter.ts --test-reporter-destination="$HOTSPAN_VM_RESULTS/tests.ndjson" "$@"`;
    const exitCode = await runInVm({
      kernel,
      command: ['sh', '-c', runner, 'sh', ...liveTests],
      cwd: projectDir,
      timeoutMs: VM_TIMEOUT_MS,
      stdout: output,
      stderr: output,
      resultsDir,
    });
    const recordFile = join(resultsDir, 'tests.ndjson');
    const lines = existsSync(recordFile) ? readFileSync(recordFile, 'utf8').split('\n').filter(Boolean) : [];
    return { exitCode, records: lines.map(line => JSON.parse(line) as TestRecord), output: text };
  } finally {
    rmSync(resultsDir, { recursive: true, force: true });
  }
}

function printTable(kernel: KernelName, records: readonly TestRecord[]): void {
  const marks = { pass: '✔', fail: '✖', skip: '﹣' } as const;
  const count = (outcome: TestRecord['outcome']) => records.filter(record => record.outcome === outcome).length;
  const lines = records.map(record => {
    const reason = record.outcome === 'skip' ? `: ${record.reason}` : '';
    return `  ${marks[record.outcome]} ${'  '.repeat(record.nesting)}${record.name} (${Math.round(record.durationMs)} ms)${reason}`;
  });
  console.log(
    `kernel ${kernel}: ${count('pass')} passed, ${count('fail')} failed, ${count('skip')} skipped\n${lines.join('\n')}`,
  );
}

function isExpectedSkip(kernel: KernelName, record: TestRecord): boolean {
  return EXPECTED_SKIPS.some(({ reason, kernels }) => kernels.includes(kernel) && reason.test(record.reason));
}

/** Compiled here, since a compiler inside a VM takes minutes. */
async function buildAnimals(): Promise<void> {
  const animals = readdirSync(join(projectDir, 'test', 'zoo'), { withFileTypes: true });
  for (const entry of animals) {
    const path = join(entry.parentPath, entry.name);
    const isGo = existsSync(join(path, 'go.mod'));
    // One of them is a library, which its own test builds in its own way.
    const isProgram = isGo || (entry.name.endsWith('.c') && /\bmain\(/.test(readFileSync(path, 'utf8')));
    if (isProgram) await buildZoo(entry.name.replace(/\.c$/, ''));
  }
  buildProbe();
  buildTarget();
  await buildWalkLive();
  for (const member of CORE_MEMBERS) await buildMember(member);
}

// Two at a time, as many as there are cores on the smallest machine that runs this.
describe('the kernel matrix', { concurrency: 2 }, () => {
  before(buildAnimals);
  for (const kernel of KERNEL_NAMES) {
    test(`live tests on ${kernel}`, async () => {
      const first = await runLiveTests(kernel);
      // An emulated machine that stands still on a busy host is begun anew, once; what it told by then must have been right.
      const hasStopped = /: stopped after \d+ s;/.test(first.output) && first.records.every(({ outcome }) => outcome !== 'fail');
      if (hasStopped) console.log(`kernel ${kernel}: stood still after ${first.records.length} tests; begun anew`);
      const { exitCode, records, output } = hasStopped ? await runLiveTests(kernel) : first;
      printTable(kernel, records);
      const failures = records
        .filter(record => record.outcome === 'fail')
        .map(record => `${record.file}: ${record.name}: ${record.reason}`);
      assert.deepEqual(failures, [], output);
      assert.equal(exitCode, 0, `the runner ended with ${exitCode}:\n${output}`);
      const silent = liveTests.filter(file => !records.some(record => record.file === file && record.outcome !== 'fail'));
      assert.deepEqual(silent, [], `these files reported no test:\n${output}`);
      assert.ok(
        records.some(record => record.outcome === 'pass'),
        output,
      );
      const unexpected = records.filter(record => record.outcome === 'skip' && !isExpectedSkip(kernel, record));
      assert.deepEqual(
        unexpected.map(record => `${record.name}: ${record.reason}`),
        [],
        'a test is skipped that this kernel should bear',
      );
    });
  }
});

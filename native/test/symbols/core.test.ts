/** Builds the symbolizer's core with AddressSanitizer and UndefinedBehaviorSanitizer and runs core-test.cc, ELF mutations included. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildFuzzer, FUZZERS, runFuzzer } from '../../../scripts/lib/fuzzers.ts';
import { build, buildDir, hasCommand } from './programs.ts';

const projectDir = fileURLToPath(new URL('../../../', import.meta.url));

test('the core holds under the sanitizers against lying files, names, maps and perf-maps', { timeout: 600_000 }, () => {
  const out = join(projectDir, '.build/symbols-test');
  execFileSync('cmake', ['-S', join(projectDir, 'native/test/symbols'), '-B', out], { stdio: 'ignore' });
  execFileSync('cmake', ['--build', out, '--parallel', '2'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const files = [
    build('victim', 'gcc', ['-g', '-O2', '-o', '{out}', '{src}functions.c', '-ldl']),
    build('victim.so', 'gcc', ['-g', '-gdwarf-4', '-gz', '-O2', '-shared', '-fPIC', '-o', '{out}', '{src}library.c']),
    ...(hasCommand('go')
      ? [
          build('victim-go', 'go', ['build', '-o', '{out}', '{src}names.go'], { CGO_ENABLED: '0' }),
          build('victim-go-pie', 'go', ['build', '-buildmode=pie', '-o', '{out}', '{src}names.go'], {
            CGO_ENABLED: '0',
          }),
        ]
      : []),
  ];
  const run = spawnSync(join(out, 'core-test'), files, { encoding: 'utf8', maxBuffer: 1 << 26 });
  console.log(run.stdout);
  assert.equal(run.status, 0, run.stderr);
  assert.match(run.stdout, /all parts passed\n$/);
});

/** Edges that the samples and a short run reach. With fewer the samples are not what they were. */
const minEdges: Readonly<Record<string, number>> = { 'fuzz-go': 450, 'fuzz-jit-dump': 350, 'fuzz-perf-map': 350 };

for (const fuzzer of FUZZERS.filter(({ name }) => name in minEdges)) {
  test(`${fuzzer.name} finds nothing from the samples on`, { timeout: 600_000 }, () => {
    buildFuzzer(fuzzer);
    const { executions, coverage, ok, log } = runFuzzer(fuzzer, ['-runs=20000', '-seed=1'], join(buildDir, fuzzer.name));
    console.log(`${executions} executions, ${coverage} edges`);
    assert.ok(ok, log.split('\n').slice(-60).join('\n'));
    assert.ok(executions >= 20_000 && coverage > (minEdges[fuzzer.name] ?? 0));
  });
}

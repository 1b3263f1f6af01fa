/** The walk of user stacks as user space compiles it, with AddressSanitizer and UndefinedBehaviorSanitizer: builds walk-test.cc and runs it. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { walkSources } from '../../native/test/walk/walk-live.ts';
import { projectDir } from '../../scripts/lib/bpf.ts';

const sources = ['test/host/walk-test.cc', 'test/host/walk-search-test.cc', ...walkSources];
const flags = ['-std=c++20', '-O1', '-g', '-Wall', '-Wextra', '-Werror', '-fno-exceptions', '-D_GNU_SOURCE'];
const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

test('every rule leads to the caller, every end has its reason, and nonsense ends', { timeout: 300_000 }, () => {
  const out = join(projectDir, '.build/host-test');
  mkdirSync(out, { recursive: true });
  const program = join(out, 'walk-test');
  execFileSync('g++', [...flags, ...sanitizers, '-I', 'native/src', '-o', program, ...sources, '-lz'], {
    cwd: projectDir,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const run = spawnSync(program, { encoding: 'utf8' });
  console.log(run.stdout);
  assert.equal(run.status, 0, run.stderr);
  assert.match(run.stdout, /all parts passed\n$/);
});

/** Builds the unwinder's blocks, files and lists of mappings with the sanitizers and runs lists-test.cc. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../probe.ts';

test('blocks, lists of mappings and their events hold under the sanitizers', { timeout: 600_000 }, () => {
  const out = join(root, '.build/unwinder-test');
  execFileSync('cmake', ['-S', join(root, 'native/test/unwinder'), '-B', out], { stdio: 'ignore' });
  execFileSync('cmake', ['--build', out, '--parallel', '2'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const run = spawnSync(join(out, 'lists-test'), { encoding: 'utf8' });
  assert.equal(run.status, 0, run.stdout + run.stderr);
  assert.match(run.stdout, /all parts passed\n$/);
});

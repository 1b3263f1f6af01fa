// What `npm run vm` promises: the kernel, the tree, both outputs, the exit code, the end at the limit, and nothing left running.

import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectDir } from '../../scripts/lib/bpf.ts';

function vm(...args: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [join(projectDir, 'scripts', 'vm.ts'), ...args], { cwd: projectDir, encoding: 'utf8' });
}

/** QEMU processes that were started for this project's share of results. */
function virtualMachines(): string[] {
  const commandLineOf = (pid: string): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
    } catch (error) {
      // The process ended while the list was read.
      if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
      throw error;
    }
  };
  return readdirSync('/proc').filter(pid => /^\d+$/.test(pid) && /^qemu-system.*mount_tag=results/.test(commandLineOf(pid)));
}

test('a command sees the other kernel and this tree; its outputs and its exit code come back', () => {
  const marker = join(projectDir, '.build', 'written-in-a-vm');
  const script = `uname -r; pwd; node -p process.version; touch ${marker}; echo complaint >&2; echo $HOTSPAN_VM; exit 7`;
  const result = vm('6.1', script);
  const [release, folder, version, kernel] = result.stdout.split('\n');
  assert.match(release ?? '', /^6\.1\./, result.stderr);
  assert.deepEqual([folder, version, kernel], [projectDir, process.version, '6.1']);
  assert.equal(result.stderr, 'complaint\n');
  assert.equal(result.status, 7);
  assert.ok(!existsSync(marker), 'a write in the VM reached the machine');
});

test('a command that takes too long is ended with its VM, in one sentence', () => {
  const before = virtualMachines();
  const result = vm('--timeout', '3', '6.1', 'sleep', '100');
  assert.equal(result.stderr, 'kernel 6.1: stopped after 3 s; give it more with --timeout\n');
  assert.equal(result.status, 124);
  assert.deepEqual(virtualMachines(), before);
});

test('wrong use ends with 2 and says what is wrong', () => {
  for (const [args, complaint] of [
    [[], /a kernel and a command are asked for/],
    [['6.1'], /a kernel and a command are asked for/],
    [['4.19', 'true'], /no kernel 4\.19 in the matrix; there are 5\.10, 6\.1, 6\.12, 7\.2 and all/],
    [['--timeout', 'soon', '6.1', 'true'], /--timeout asks for a number of seconds, not "soon"/],
  ] as const) {
    const result = vm(...args);
    assert.equal(result.status, 2);
    assert.match(result.stderr, complaint);
  }
});

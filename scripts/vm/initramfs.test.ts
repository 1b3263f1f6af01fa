import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { packInitramfs } from './initramfs.ts';

const scratch = mkdtempSync(join(tmpdir(), 'hotspan-initramfs-'));
after(() => rmSync(scratch, { recursive: true }));

test('busybox unpacks what was packed', () => {
  const archive = packInitramfs([
    { path: 'bin/tool', bytes: Buffer.from('#!/bin/sh\n'), executable: true },
    { path: 'lib/deep/er/odd-length', bytes: Buffer.from('12345') },
    { path: 'empty', bytes: Buffer.alloc(0) },
  ]);
  const result = spawnSync('/bin/busybox', ['cpio', '-idm'], { cwd: scratch, input: archive, encoding: 'utf8' });
  assert.equal(result.status, 0, result.stderr);
  assert.equal(readFileSync(join(scratch, 'lib/deep/er/odd-length'), 'utf8'), '12345');
  assert.equal(readFileSync(join(scratch, 'bin/tool'), 'utf8'), '#!/bin/sh\n');
  assert.equal(statSync(join(scratch, 'bin/tool')).mode & 0o777, 0o755);
  assert.equal(statSync(join(scratch, 'lib/deep/er/odd-length')).mode & 0o777, 0o644);
  assert.equal(statSync(join(scratch, 'empty')).size, 0);
});

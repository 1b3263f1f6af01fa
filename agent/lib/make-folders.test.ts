/** Folders are made, or refused with a reason; no path keeps the caller waiting for ever. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeFolders } from './make-folders.ts';

const folder = mkdtempSync(join(tmpdir(), 'hotspan-folders-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('a folder is made with those above it, and one that exists is left', () => {
  const path = join(folder, 'a/b/c');
  makeFolders(path, 0o700);
  makeFolders(path, 0o700);
  assert.equal(statSync(path).mode & 0o777, 0o700);
  symlinkSync(path, join(folder, 'link'));
  makeFolders(join(folder, 'link'));
  assert.ok(statSync(join(folder, 'link')).isDirectory());
});

test('what cannot be made is refused', () => {
  const file = join(folder, 'file');
  writeFileSync(file, '');
  assert.throws(() => makeFolders(file), { code: 'EEXIST' });
  assert.throws(() => makeFolders(join(file, 'below')), { code: 'ENOTDIR' });
  // A file system that makes no folders, and says that it found none.
  assert.throws(() => makeFolders('/proc/hotspan-none'), { code: 'ENOENT' });
  assert.throws(() => makeFolders('/proc/hotspan-none/below'), { code: 'ENOENT' });
});

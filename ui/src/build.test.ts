/** What the build promises: small, working without internet, and nothing that the content security policy forbids. */

import { equal, ok } from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const folder = fileURLToPath(new URL('../../.build/ui', import.meta.url));
const skip = existsSync(join(folder, 'index.html')) ? false : 'the UI is not built: npm run build ui';
const files = skip === false ? readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile()) : [];
const paths = files.map(entry => join(entry.parentPath, entry.name));

test('the whole UI is under 100 KB gzipped', { skip }, () => {
  const bytes = paths.reduce((sum, path) => sum + gzipSync(readFileSync(path)).length, 0);
  ok(bytes > 10_000 && bytes < 100_000, `${bytes} bytes`);
});

test('pages hold no script of their own and ask for nothing from elsewhere', { skip }, () => {
  const pages = paths.filter(path => extname(path) === '.html');
  ok(pages.length >= 2);
  for (const page of pages) {
    const text = readFileSync(page, 'utf8');
    equal(/<script(?![^>]*\ssrc=)/.test(text), false, `${page} has an inline script`);
    for (const [, address = ''] of text.matchAll(/(?:src|href)="([^"]*)"/g))
      ok(address.startsWith('/'), `${page} asks for ${address}`);
  }
});

test('no code is made from text, and styles load nothing from elsewhere', { skip }, () => {
  for (const path of paths) {
    const text = readFileSync(path, 'utf8');
    if (path.endsWith('.js')) equal(/\beval\(|new Function\(/.test(text), false, path);
    if (path.endsWith('.css')) equal(/url\((?!["']?(\/|data:|#))/.test(text), false, path);
  }
});

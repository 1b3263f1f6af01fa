import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { debianMirror } from './mirror.ts';

const scratch = mkdtempSync(join(tmpdir(), 'hotspan-mirror-'));
after(() => rmSync(scratch, { recursive: true }));

let count = 0;
function etcApt(files: Record<string, string>): string {
  const folder = join(scratch, String(count++));
  mkdirSync(join(folder, 'sources.list.d'), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

test('reads the paragraphs of the newer format, whatever stands before them', () => {
  const text = [
    'Types: deb',
    '# a comment inside a paragraph',
    'URIs: http://mirror.example/debian',
    'Suites: bookworm bookworm-updates',
    'Components: main',
    'Signed-By: /keys/debian.gpg',
    '',
    'Types: deb',
    'URIs: http://mirror.example/debian-security',
    'Suites: bookworm-security',
    'Components: main',
  ];
  const folder = etcApt({
    'sources.list.d/a-vendor.sources': 'Types: deb\nURIs: http://vendor.example/apt\nSuites: stable\nComponents: main\n',
    'sources.list.d/debian.sources': text.join('\n'),
  });
  assert.deepEqual(debianMirror(folder), {
    uri: 'http://mirror.example/debian',
    securityUri: 'http://mirror.example/debian-security',
    keyring: '/keys/debian.gpg',
  });
});

test('reads the older format and guesses the security archive beside the main one', () => {
  const folder = etcApt({
    'sources.list':
      '# deb http://old.example/debian x main\ndeb [arch=amd64 signed-by=/k.gpg] http://m.example/debian/ bookworm main\n',
  });
  assert.deepEqual(debianMirror(folder), {
    uri: 'http://m.example/debian/',
    securityUri: 'http://m.example/debian-security',
    keyring: '/k.gpg',
  });
});

test('says so where the machine names no mirror', () => {
  assert.throws(() => debianMirror(etcApt({ 'sources.list': '' })), /no Debian mirror is named in/);
});

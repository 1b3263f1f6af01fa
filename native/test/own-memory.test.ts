/** Memory that is given back: code that lies idle leaves the process, and what is left of it works as before. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { loadAddon } from '../../agent/bpf/addon.ts';

const addon = loadAddon();

function mappedFileBytes(): number {
  return Number(/^RssFile:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]) * 1024;
}

/** Of mappings that hold pages of their own, which no file could give back: relocated tables, and data. */
function ownPages(): string[] {
  const mappings = readFileSync('/proc/self/smaps', 'latin1').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  return mappings
    .filter(text => /^\S+ r\S-p .* \//.test(text) && !/^Anonymous:\s+0 kB$/m.test(text))
    .map(text => text.split('\n', 1)[0] ?? '');
}

test('idle code is unmapped page by page, and nothing else is lost', () => {
  const before = { bytes: mappedFileBytes(), pages: ownPages() };
  assert.ok(before.pages.length > 0, 'there are relocated tables, which must stay');
  const released = addon.releaseMemory();
  const after = mappedFileBytes();
  assert.ok(released > 8 << 20, `${released} bytes given back`);
  assert.ok(before.bytes - after > released / 2, `${before.bytes} bytes of files before, ${after} after`);
  const kept = ownPages();
  assert.deepEqual(
    before.pages.filter(page => !kept.includes(page)),
    [],
  );
  // Code of all sorts runs on: the engine's, libraries' and the addon's own.
  assert.equal(createHash('sha256').update('hotspan').digest('hex').length, 64);
  assert.ok(addon.clockPair().unixNs > 0n);
  assert.ok(addon.releaseMemory() >= 0);
});

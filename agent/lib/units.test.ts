import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearestWord } from './suggest.ts';
import { formatDuration, formatSize, parseDurationNs, parseSizeBytes } from './units.ts';

test('durations are read with their unit and never without', () => {
  assert.equal(parseDurationNs('10s'), 10e9);
  assert.equal(parseDurationNs('500us'), 500e3);
  assert.equal(parseDurationNs('1.5 ms'), 1.5e6);
  assert.equal(parseDurationNs('7d'), 7 * 86_400e9);
  for (const text of ['', '10', 's', '-1s', '1e3s', '1h30m', '10 parsecs', 'NaNs'])
    assert.equal(parseDurationNs(text), undefined, text);
});

test('sizes are read in powers of two and of ten', () => {
  assert.equal(parseSizeBytes('2GiB'), 2 ** 31);
  assert.equal(parseSizeBytes('2gb'), 2e9);
  assert.equal(parseSizeBytes('512 B'), 512);
  for (const text of ['', '2', '2G', '-1MiB', 'GiB']) assert.equal(parseSizeBytes(text), undefined, text);
});

test('formats use the largest fitting unit', () => {
  assert.equal(formatDuration(1_234_000), '1.23 ms');
  assert.equal(formatDuration(0), '0 ns');
  assert.equal(formatDuration(604_800e9), '7 d');
  assert.equal(formatSize(2 ** 31), '2 GiB');
  assert.equal(formatSize(1536), '1.5 KiB');
});

test('the nearest word is found within two edits, a swap counting as one', () => {
  const words = ['listen', 'data-dir', 'token', 'pid'];
  assert.equal(nearestWord('lisen', words), 'listen');
  assert.equal(nearestWord('lsiten', words), 'listen');
  assert.equal(nearestWord('dta-di', words), 'data-dir');
  assert.equal(nearestWord('frobnicate', words), undefined);
  assert.equal(nearestWord('pdi', words), 'pid');
  assert.equal(nearestWord('xyz', words), undefined);
});

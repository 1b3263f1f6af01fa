import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { test } from 'node:test';
import { openFlagsText } from './open-flags.ts';

test('always says the access mode', () => {
  assert.equal(openFlagsText(0), 'O_RDONLY');
  assert.equal(openFlagsText(constants.O_RDWR), 'O_RDWR');
});

test('tells flags that contain each other apart', () => {
  assert.equal(openFlagsText(constants.O_SYNC), 'O_RDONLY|O_SYNC');
  assert.equal(openFlagsText(constants.O_DSYNC), 'O_RDONLY|O_DSYNC');
  assert.equal(openFlagsText(constants.O_DIRECTORY), 'O_RDONLY|O_DIRECTORY');
  assert.equal(openFlagsText(0o20000000 | constants.O_DIRECTORY | constants.O_RDWR), 'O_RDWR|O_TMPFILE');
});

test('leaves nothing out', () => {
  assert.equal(openFlagsText(constants.O_WRONLY | constants.O_CREAT | 0x40000000), 'O_WRONLY|O_CREAT|0x40000000');
});

test('does not mention what the kernel adds to every open', {
  skip: process.arch === 'x64' ? false : 'the bit is of x86-64',
}, () => {
  assert.equal(openFlagsText(0o100000 | 0o2000000), 'O_RDONLY|O_CLOEXEC');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errnoName } from './errno-name.ts';

test('names what a system call returns', () => {
  assert.equal(errnoName(2), 'ENOENT');
  assert.equal(errnoName(28), 'ENOSPC');
  assert.equal(errnoName(112), 'EHOSTDOWN');
});

test('prefers the common one of two names', () => {
  assert.equal(errnoName(11), 'EAGAIN');
  assert.equal(errnoName(35), 'EDEADLK');
  assert.equal(errnoName(95), 'EOPNOTSUPP');
});

test('names what only kernel functions return', () => {
  assert.equal(errnoName(512), 'ERESTARTSYS');
});

test('says the number where there is no name', () => {
  assert.equal(errnoName(4000), 'errno 4000');
});

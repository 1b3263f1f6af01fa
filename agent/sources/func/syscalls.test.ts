import assert from 'node:assert/strict';
import { test } from 'node:test';
import { syscallsOf } from './syscalls.ts';

test('an entry point is its system call', () => {
  assert.deepEqual(syscallsOf('__x64_sys_openat'), ['openat']);
  assert.deepEqual(syscallsOf('__x64_sys_newfstat'), ['newfstat']);
  assert.deepEqual(syscallsOf('__arm64_sys_read'), ['read']);
});

test('a function behind several system calls is all of them', () => {
  assert.deepEqual(syscallsOf('do_sys_openat2'), ['open', 'openat', 'openat2', 'creat']);
});

test('other functions are not seen by system calls', () => {
  assert.equal(syscallsOf('vfs_read'), undefined);
  assert.equal(syscallsOf('toString'), undefined);
});

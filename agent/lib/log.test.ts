/** Lines, levels, and the bound on repetition. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from './log.ts';

test('a text comes at most once a second and then says how many were left out', () => {
  const lines: string[] = [];
  let now = 0;
  const log = createLog({ level: 'info', format: 'text', write: line => lines.push(line), nowMs: () => now });
  for (let i = 0; i < 1000; i += 1) log.warning('the disk is full', { path: '/x' });
  log.info('another text');
  log.debug('below the level');
  now = 1000;
  log.warning('the disk is full', { path: '/x' });
  assert.deepEqual(lines, [
    'warning: the disk is full  path=/x\n',
    'another text\n',
    'warning: the disk is full  path=/x  repeated=999\n',
  ]);
});

test('elsewhere than on a terminal a line is one JSON object', () => {
  const lines: string[] = [];
  const log = createLog({ level: 'debug', format: 'auto', isTerminal: false, write: line => lines.push(line), nowMs: () => 0 });
  log.error('a "quoted" text\nof two lines', { count: 3 });
  assert.deepEqual(JSON.parse(lines[0] ?? ''), {
    time: '1970-01-01T00:00:00.000Z',
    level: 'error',
    text: 'a "quoted" text\nof two lines',
    count: 3,
  });
});

test('the level can be changed while it runs', () => {
  const lines: string[] = [];
  const log = createLog({ level: 'error', format: 'text', write: line => lines.push(line), nowMs: () => 0 });
  log.info('one');
  log.setLevel('info');
  log.info('two');
  log.setLevel('warning');
  log.info('three');
  assert.deepEqual(lines, ['two\n']);
});

/** The filter's text: read, changed, written back, completed. */

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { addTerm, completionSite, filterDuration, formatFilter, parseFilter, replaceTerms } from './filter.ts';

test('terms with every operator, quotes and bare words', () => {
  deepEqual(parseFilter('service="a b" pid!=7 thread=~"w.*" name!~x duration>5ms gate "two words"'), [
    { key: 'service', op: '=', value: 'a b' },
    { key: 'pid', op: '!=', value: '7' },
    { key: 'thread', op: '=~', value: 'w.*' },
    { key: 'name', op: '!~', value: 'x' },
    { key: 'duration', op: '>', value: '5ms' },
    { key: '', op: '', value: 'gate' },
    { key: '', op: '', value: 'two words' },
  ]);
});

test('what was written is read back as it was, whatever the value holds', () => {
  for (const value of ['plain', 'a b', 'say "hi"', 'back\\slash', '', 'a="b"']) {
    const terms = [
      { key: 'file.path', op: '=', value },
      { key: '', op: '', value: value || 'x' },
    ];
    deepEqual(parseFilter(formatFilter(terms)), terms, value);
  }
});

test('terms are replaced by key and added once', () => {
  equal(
    replaceTerms('service=a duration>1ms duration<2s', ['duration'], [{ key: 'duration', op: '>', value: '5us' }]),
    'service="a" duration>5us',
  );
  equal(addTerm('service="a"', { key: 'service', op: '=', value: 'a' }), 'service="a"');
  equal(addTerm('service="a"', { key: 'pid', op: '=', value: '7' }), 'service="a" pid="7"');
});

test('durations are exact to a nanosecond', () => {
  deepEqual([0, 999, 1500, 20e6, 3e9, 1234567, 1584.4].map(filterDuration), [
    '0ns',
    '999ns',
    '1500ns',
    '20ms',
    '3s',
    '1234567ns',
    '1584ns',
  ]);
});

test('completion knows whether a key or a value stands at the caret', () => {
  deepEqual(completionSite('ser', 3), { kind: 'key', key: '', prefix: 'ser', start: 0, end: 3 });
  deepEqual(completionSite('service="ga', 11), { kind: 'value', key: 'service', prefix: 'ga', start: 8, end: 11 });
  deepEqual(completionSite('service="a" pi', 14), { kind: 'key', key: '', prefix: 'pi', start: 12, end: 14 });
  deepEqual(completionSite('service="a" ', 12), { kind: 'key', key: '', prefix: '', start: 12, end: 12 });
});

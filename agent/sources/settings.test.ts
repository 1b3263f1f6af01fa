/** Settings are taken whole or refused with a sentence. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { durationNs, resolveSettings } from './settings.ts';
import type { SettingSpec } from './source.ts';

const specs: readonly SettingSpec[] = [
  { key: 'hz', kind: 'number', unit: 'Hz', help: '', default: 99, min: 1, max: 10_000 },
  { key: 'min', kind: 'duration', unit: 'ms', help: '', default: 1, min: 0 },
  { key: 'targets', kind: 'list', unit: '', help: '', default: [] },
  { key: 'prefix', kind: 'text', unit: '', help: '', default: '/' },
];

test('what is not given stays as it was, or is the default', () => {
  assert.deepEqual(resolveSettings(specs, {}), { hz: 99, min: 1, targets: [], prefix: '/' });
  assert.deepEqual(resolveSettings(specs, { hz: 10 }, { hz: 5, min: 2 }), { hz: 10, min: 2, targets: [], prefix: '/' });
});

test('bad values are refused with the key and what it takes', () => {
  const refused: readonly [Parameters<typeof resolveSettings>[1], RegExp][] = [
    [{ hertz: 1 }, /unknown setting "hertz"; known are hz, min, targets, prefix/],
    [{ hz: 0 }, /"hz" is 0; it takes 1 to 10000 Hz/],
    [{ hz: 10_001 }, /1 to 10000 Hz/],
    [{ hz: Number.NaN }, /takes a number of Hz/],
    [{ hz: '99' }, /takes a number of Hz/],
    [{ min: -1 }, /at least 0 ms/],
    [{ targets: 'a' }, /takes a list/],
    [{ prefix: 1 }, /takes a text/],
  ];
  for (const [given, words] of refused) assert.throws(() => resolveSettings(specs, given), words);
});

test('durations are in the unit of their spec', () => {
  assert.equal(durationNs(specs, { min: 1.5 }, 'min'), 1_500_000);
  assert.throws(() => durationNs(specs, { hz: 1 }, 'hz'), /not a duration/);
});

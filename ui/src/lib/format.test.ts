/** Numbers as people read them, at the edges where rounding changes the unit. */

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import * as format from './format.ts';

/** Plain spaces read better here. */
const plain = (text: string) => text.replaceAll('\u00a0', ' ');

test('durations keep three digits and change unit where rounding would give four', () => {
  const cases: [number, string][] = [
    [0, '0 ns'],
    [0.4, '0.4 ns'],
    [842, '842 ns'],
    [999.4, '999 ns'],
    [999.6, '1.00 µs'],
    [1234, '1.23 µs'],
    [99_960, '100 µs'],
    [999_400, '999 µs'],
    [999_600, '1.00 ms'],
    [12_345_678, '12.3 ms'],
    [1.5e9, '1.50 s'],
    [59.94e9, '59.9 s'],
    [59.96e9, '1 min 00 s'],
    [123e9, '2 min 03 s'],
    [3599.7e9, '1 h 00 min'],
    [3 * 3600e9 + 5 * 60e9, '3 h 05 min'],
    [86_399e9, '1 d 0 h'],
    [52 * 3600e9, '2 d 4 h'],
    [-5e6, '-5.00 ms'],
    [Number.NaN, '–'],
  ];
  for (const [ns, text] of cases) equal(plain(format.formatDuration(ns)), text, `${ns} ns`);
});

test('counts, rates, bytes and shares', () => {
  equal(format.formatCount(1_234_567), '1,234,567');
  deepEqual([999, 1000, 1234, 999_499, 999_500, 12_345_678, 4.25].map(format.formatCompact).map(plain), [
    '999',
    '1.00 k',
    '1.23 k',
    '999 k',
    '1.00 M',
    '12.3 M',
    '4.25',
  ]);
  deepEqual([0, 0.004, 0.2, 12.34, 1234, 7].map(format.formatRate).map(plain), [
    '0/s',
    '<0.01/s',
    '0.20/s',
    '12.3/s',
    '1.23 k/s',
    '7/s',
  ]);
  deepEqual([0, 842, 999.6, 64e6, 1.5e9, 2e12].map(format.formatBytes).map(plain), [
    '0 B',
    '842 B',
    '1.00 kB',
    '64.0 MB',
    '1.50 GB',
    '2.00 TB',
  ]);
  deepEqual([0, 0.00004, 0.0031, 0.124, 0.9996, 1].map(format.formatShare).map(plain), [
    '0 %',
    '<0.01 %',
    '0.31 %',
    '12.4 %',
    '100 %',
    '100 %',
  ]);
  deepEqual([0.001, 0.35, 12.04].map(format.formatCores).map(plain), ['<0.01 cores', '0.35 cores', '12.0 cores']);
  equal(plain(format.formatValue(2e9, 'nanoseconds')), '2.00 s');
  equal(plain(format.formatValue(3, 'pages')), '3 pages');
  deepEqual([1000, 1e4, 1e9, 1e11, 2.5e6].map(format.formatLatencyTick).map(plain), ['1 µs', '10 µs', '1 s', '100 s', '2.5 ms']);
  deepEqual(['', 'no such file', 'Done!', 'kernel:x: gone'].map(format.asSentence), [
    '',
    'No such file.',
    'Done!',
    'kernel:x: gone.',
  ]);
});

test('a fraction of a second is cut, never rounded up to the next second', () => {
  const atMs = new Date(2026, 10, 23, 14, 3, 59, 999).getTime() + 0.9;
  equal(format.formatTime(atMs, 3), '14:03:59.999');
  equal(format.formatTime(atMs, 1), '14:03:59.9');
  equal(format.formatDateTime(atMs, 0), '2026-11-23 14:03:59');
});

test('relative times go both ways', () => {
  equal(format.formatRelative(1000, 1200), 'now');
  equal(plain(format.formatRelative(0, 12_400)), '12 s ago');
  equal(plain(format.formatRelative(7_200_000, 0)), 'in 2 h 00 min');
});

test('points of a series in its unit', () => {
  const show = (unit: string, value: number) => plain(format.formatIn(unit, value));
  equal(show('cores', 0.353), '0.35');
  equal(show('threads', 53.2), '53.2');
  equal(show('bytes/s', 1_234_567), '1.23 MB/s');
  equal(show('faults/s', 12), '12 faults/s');
  equal(show('faults/s', 12_345.6), '12.3 k faults/s');
  equal(show('never heard of', 5), '5');
  equal(plain(format.formatRoundBytes(50e6)), '50 MB');
});

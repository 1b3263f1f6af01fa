/** Ranges in the address, as numbers and as words. */

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import {
  describeRange,
  fromLocalField,
  liveIntervalMs,
  moved,
  parseTimePoint,
  resolveRange,
  toLocalField,
  zoomed,
} from './time-range.ts';

const now = new Date(2026, 10, 23, 14, 0, 0).getTime();

test('points in time', () => {
  equal(parseTimePoint('now', now), now);
  equal(parseTimePoint('now-15m', now), now - 900_000);
  equal(parseTimePoint('now-2d', now), now - 172_800_000);
  equal(parseTimePoint('1700000000000', now), 1_700_000_000_000);
  for (const bad of ['', 'now-', 'now-5w', '-5', '1e9', '12345678901234567']) equal(parseTimePoint(bad, now), undefined, bad);
});

test('a broken or reversed range falls back to the last 15 minutes', () => {
  const fallback = { fromMs: now - 900_000, toMs: now };
  deepEqual(resolveRange('nonsense', 'now', now), fallback);
  deepEqual(resolveRange('now', 'now-5m', now), fallback);
  deepEqual(resolveRange('now-5m', 'now-1m', now), { fromMs: now - 300_000, toMs: now - 60_000 });
});

test('words', () => {
  const plain = (from: string, to: string) => describeRange(from, to, now).replaceAll('\u00a0', ' ');
  equal(plain('now-15m', 'now'), 'last 15 min');
  equal(plain('now-20m', 'now'), 'last 20 min 00 s');
  equal(plain(String(now - 132_000), String(now)), '13:57:48 – 14:00:00 (2 min 12 s)');
  equal(plain(String(now - 86_400_000), String(now - 86_395_000)), '2026-11-22 14:00:00.0 – 14:00:05.0 (5.00 s)');
});

test('a long range is refreshed less often, a short one at most once a second', () => {
  equal(liveIntervalMs({ fromMs: 0, toMs: 60_000 }), 1000);
  equal(liveIntervalMs({ fromMs: 0, toMs: 3_600_000 }), 12_000);
});

test('local fields lead back to the same second', () => {
  equal(fromLocalField(toLocalField(now)), now);
  equal(fromLocalField(''), undefined);
});

test('a range is zoomed around its middle and moved, in whole seconds and not into the future', () => {
  const range = { fromMs: 100_000, toMs: 160_000 };
  deepEqual(zoomed(range, 0.5, 1e9), { fromMs: 115_000, toMs: 145_000 });
  deepEqual(zoomed(range, 2, 170_000), { fromMs: 50_000, toMs: 170_000 });
  deepEqual(zoomed({ fromMs: 100_000, toMs: 104_000 }, 0.5, 1e9), { fromMs: 99_000, toMs: 105_000 });
  deepEqual(moved(range, -0.5, 1e9), { fromMs: 70_000, toMs: 130_000 });
  deepEqual(moved(range, 0.5, 165_000), { fromMs: 105_000, toMs: 165_000 });
});

/** Cells of the heatmap: where they are and what a brush over them means. */

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { areaBetween, cellAt, countsOfArea, intensity, latencyTicks, rangeOfArea, rowSums } from './heatmap.ts';

/** Four columns of a second, three rows: 1-10, 10-100, 100-1000 µs. */
const map = {
  fromMs: 1000,
  toMs: 5000,
  columns: 4,
  rows: 3,
  minNs: 1000,
  ratio: 10,
  counts: [1, 0, 0, 2, 0, 5, 0, 0, 0, 0, 0, 7],
  errors: [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7],
};
const box = { widthPx: 400, heightPx: 300 };

test('cells count from the bottom left, and the edges belong to the last ones', () => {
  deepEqual(cellAt(map, box, 0, 299), { column: 0, row: 0 });
  deepEqual(cellAt(map, box, 399, 0), { column: 3, row: 2 });
  deepEqual(cellAt(map, box, 400, -5), { column: 3, row: 2 });
  deepEqual(cellAt(map, box, -9, 400), { column: 0, row: 0 });
});

test('a brush means the same in any direction', () => {
  const area = { firstColumn: 1, lastColumn: 3, firstRow: 1, lastRow: 2 };
  deepEqual(areaBetween(map, box, { x: 350, y: 50 }, { x: 150, y: 150 }), area);
  deepEqual(areaBetween(map, box, { x: 150, y: 150 }, { x: 350, y: 50 }), area);
  deepEqual(countsOfArea(map, area), { count: 12, errors: 7 });
  const range = rangeOfArea(map, area);
  deepEqual([range.fromMs, range.toMs, Math.round(range.fromNs), Math.round(range.toNs)], [2000, 5000, 10_000, 1_000_000]);
});

test('one call among a million is still seen, and more is never fainter', () => {
  equal(intensity(0, 1e6), 0);
  ok(intensity(1, 1e6) >= 0.18);
  equal(intensity(1e6, 1e6), 1);
  ok(intensity(10, 1e6) < intensity(11, 1e6));
});

test('ticks stand at powers of ten', () => {
  deepEqual(
    latencyTicks(map).map(tick => [tick.ns, Number(tick.at.toFixed(3))]),
    [
      [1000, 0],
      [10_000, 0.333],
      [100_000, 0.667],
      [1_000_000, 1],
    ],
  );
});

test('the table has every span once', () => {
  const rows = rowSums(map);
  deepEqual(
    rows.map(row => row.count),
    [7, 5, 3],
  );
  equal(
    rows.reduce((sum, row) => sum + row.errors, 0),
    8,
  );
});

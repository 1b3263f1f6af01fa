/** Latency over time as cells: which cell is where, what it stands for, and how strongly it is painted. Rows count from the lowest latency. */

import type { HeatmapResult } from '../../../agent/server/api.ts';

export interface HeatmapBox {
  widthPx: number;
  heightPx: number;
}

export interface CellRange {
  fromMs: number;
  toMs: number;
  fromNs: number;
  toNs: number;
}

/** Columns and rows between two corners, each inclusive. */
export interface CellArea {
  firstColumn: number;
  lastColumn: number;
  firstRow: number;
  lastRow: number;
}

export function cellAt(map: HeatmapResult, box: HeatmapBox, x: number, y: number): { column: number; row: number } {
  const column = Math.floor((x / box.widthPx) * map.columns);
  const row = Math.floor((1 - y / box.heightPx) * map.rows);
  return { column: clamp(column, 0, map.columns - 1), row: clamp(row, 0, map.rows - 1) };
}

export function areaBetween(
  map: HeatmapResult,
  box: HeatmapBox,
  from: { x: number; y: number },
  to: { x: number; y: number },
): CellArea {
  const a = cellAt(map, box, from.x, from.y);
  const b = cellAt(map, box, to.x, to.y);
  return {
    firstColumn: Math.min(a.column, b.column),
    lastColumn: Math.max(a.column, b.column),
    firstRow: Math.min(a.row, b.row),
    lastRow: Math.max(a.row, b.row),
  };
}

export function rangeOfArea(map: HeatmapResult, area: CellArea): CellRange {
  const stepMs = (map.toMs - map.fromMs) / map.columns;
  return {
    fromMs: map.fromMs + area.firstColumn * stepMs,
    toMs: map.fromMs + (area.lastColumn + 1) * stepMs,
    fromNs: map.minNs * map.ratio ** area.firstRow,
    toNs: map.minNs * map.ratio ** (area.lastRow + 1),
  };
}

export function countsOfArea(map: HeatmapResult, area: CellArea): { count: number; errors: number } {
  let count = 0;
  let errors = 0;
  for (let row = area.firstRow; row <= area.lastRow; row += 1) {
    for (let column = area.firstColumn; column <= area.lastColumn; column += 1) {
      count += map.counts[row * map.columns + column] ?? 0;
      errors += map.errors[row * map.columns + column] ?? 0;
    }
  }
  return { count, errors };
}

/** 0 for an empty cell, else 0.18-1: by the logarithm of the count, so that one slow call among millions is still seen. */
export function intensity(count: number, maxCount: number): number {
  if (count <= 0 || maxCount <= 0) return 0;
  return 0.18 + (0.82 * Math.log1p(count)) / Math.log1p(maxCount);
}

/** Powers of ten inside the map, with their height as a share from the bottom. */
export function latencyTicks(map: HeatmapResult): { ns: number; at: number }[] {
  const ticks: { ns: number; at: number }[] = [];
  const top = map.minNs * map.ratio ** map.rows;
  for (let power = Math.ceil(Math.log10(map.minNs)); 10 ** power <= top; power += 1) {
    ticks.push({ ns: 10 ** power, at: Math.log(10 ** power / map.minNs) / Math.log(map.ratio) / map.rows });
  }
  return ticks;
}

/** Rows that hold something, for the table with the same content: highest latency first. */
export function rowSums(map: HeatmapResult): (CellRange & { count: number; errors: number })[] {
  const sums: (CellRange & { count: number; errors: number })[] = [];
  for (let row = map.rows - 1; row >= 0; row -= 1) {
    const area = { firstColumn: 0, lastColumn: map.columns - 1, firstRow: row, lastRow: row };
    const counts = countsOfArea(map, area);
    if (counts.count > 0) sums.push({ ...rangeOfArea(map, area), ...counts });
  }
  return sums;
}

/** What each row holds, lowest first. */
export function sumsByRow(map: HeatmapResult): number[] {
  return Array.from({ length: map.rows }, (_, row) =>
    map.counts.slice(row * map.columns, (row + 1) * map.columns).reduce((sum, count) => sum + count, 0),
  );
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

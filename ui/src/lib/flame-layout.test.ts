/** Layout of flame graphs against small trees with known sums, and against a slow, plain layout on random ones. */

import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { changeTree } from './call-tree.ts';
import {
  type CallTree,
  type FlameLayout,
  layoutFlame,
  newRects,
  nodeAt,
  nodeByKey,
  nodeKey,
  pathOf,
  rowOf,
  subtreeRows,
  sumOfFunctions,
  visibleRects,
} from './flame-layout.ts';

const names = ['main', 'read', 'parse', 'idle'];
/** main(1) calls read(4) and parse(2), parse calls read(3) and itself(5); idle(10) is a root of its own. */
const sample: CallTree = { parent: [-1, 0, 0, 2, 2, -1], fn: [0, 1, 2, 1, 2, 3], self: [1, 4, 2, 3, 5, 10] };

test('totals, places and rows', () => {
  const layout = layoutFlame(sample, names.length);
  equal(layout.count, 7);
  equal(layout.rows, 4);
  deepEqual([...layout.rowFrom], [0, 1, 3, 5, 7]);
  deepEqual([...layout.fn], [-1, 0, 3, 1, 2, 1, 2]);
  deepEqual([...layout.total], [25, 15, 10, 4, 10, 3, 5]);
  deepEqual([...layout.start], [0, 0, 15, 0, 4, 4, 7]);
  deepEqual([...layout.parent], [-1, 0, 0, 1, 1, 4, 4]);
});

test('a function below itself counts its time once', () => {
  const layout = layoutFlame(sample, names.length);
  deepEqual([...layout.fnSelf], [1, 7, 7, 10]);
  deepEqual([...layout.fnTotal], [15, 7, 10, 10]);
});

test('an empty profile is a root without value', () => {
  const layout = layoutFlame({ parent: [], fn: [], self: [] }, 0);
  equal(layout.count, 1);
  equal(layout.rows, 1);
  const rects = newRects();
  visibleRects(layout, { from: 0, to: 0, widthPx: 100, firstRow: 0, lastRow: 9 }, rects);
  equal(rects.length, 0);
});

test('a child before its parent is refused', () => {
  throws(() => layoutFlame({ parent: [1, -1], fn: [0, 0], self: [1, 1] }, 1), RangeError);
});

test('hit test', () => {
  const layout = layoutFlame(sample, names.length);
  equal(nodeAt(layout, 0, 24.9), 0);
  equal(nodeAt(layout, 1, 14.9), 1);
  equal(nodeAt(layout, 1, 15), 2);
  equal(nodeAt(layout, 2, 14), -1, 'own time of main has nothing above it');
  equal(nodeAt(layout, 3, 7), 6);
  equal(nodeAt(layout, 4, 1), -1);
  equal(nodeAt(layout, -1, 1), -1);
  deepEqual(
    [0, 1, 2, 4, 6].map(node => rowOf(layout, node)),
    [0, 1, 1, 2, 3],
  );
});

test('a key finds its frame again in a tree that has grown, and the root when it is gone', () => {
  const layout = layoutFlame(sample, names.length);
  const key = nodeKey(layout, names, 6);
  equal(nodeByKey(layout, names, key), 6);
  deepEqual(pathOf(layout, 6), [1, 4, 6]);
  const grown = layoutFlame({ parent: [-1, -1, 1, 2], fn: [3, 0, 2, 2], self: [1, 1, 1, 1] }, names.length);
  const found = nodeByKey(grown, names, key);
  deepEqual(
    pathOf(grown, found).map(node => names[grown.fn[node]!]),
    ['main', 'parse', 'parse'],
  );
  equal(nodeByKey(layoutFlame({ parent: [-1], fn: [3], self: [1] }, names.length), names, key), 0);
  for (const bad of ['', 'x', '1', '99.abc', '1.zzzzzzzz']) equal(nodeByKey(layout, names, bad), 0, bad);
});

test('rows of a subtree', () => {
  const layout = layoutFlame(sample, names.length);
  deepEqual(
    [0, 1, 2, 4, 3].map(node => subtreeRows(layout, node)),
    [4, 3, 1, 2, 1],
  );
});

test('a search counts nested finds once and only inside the view', () => {
  const layout = layoutFlame(sample, names.length);
  const isParse = (fn: number) => fn === 2;
  equal(sumOfFunctions(layout, isParse, { from: 0, to: 25 }), 10);
  equal(sumOfFunctions(layout, isParse, { from: 0, to: 6 }), 2);
  equal(
    sumOfFunctions(layout, fn => fn === 1 || fn === 2, { from: 0, to: 25 }),
    14,
  );
});

function randomTree(seed: number, nodes: number): CallTree {
  let state = seed;
  const next = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 4294967296) * below);
  };
  const tree = { parent: [] as number[], fn: [] as number[], self: [] as number[] };
  for (let i = 0; i < nodes; i += 1) {
    tree.parent.push(i === 0 ? -1 : next(i + 1) - 1);
    tree.fn.push(next(12));
    tree.self.push(next(5));
  }
  return tree;
}

/** Rectangles as one would draw them without any cleverness: everything at least half a pixel wide whose ancestors are too. */
function plainRects(layout: FlameLayout, view: { from: number; to: number; widthPx: number }): Set<string> {
  const scale = view.widthPx / (view.to - view.from);
  const shown = new Set<string>();
  const isWide = (node: number): boolean =>
    node < 0 || (layout.total[node]! * scale >= 0.5 && isInSight(node) && isWide(layout.parent[node]!));
  const isInSight = (node: number) => layout.start[node]! < view.to && layout.start[node]! + layout.total[node]! > view.from;
  for (let node = 0; node < layout.count; node += 1) if (isWide(node)) shown.add(`${rowOf(layout, node)}:${node}`);
  return shown;
}

test('what is painted is what a plain layout paints, for random trees and views', () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const layout = layoutFlame(randomTree(seed, 400), 12);
    const total = layout.total[0]!;
    const views = [
      [0, total],
      [total * 0.25, total * 0.5],
      [total * 0.9, total],
    ] as const;
    for (const [from, to] of views) {
      for (const widthPx of [40, 1000]) {
        const rects = newRects(4);
        visibleRects(layout, { from, to, widthPx, firstRow: 0, lastRow: 999 }, rects);
        const shown = new Set<string>();
        for (let i = 0; i < rects.length; i += 1) if (rects.node[i]! >= 0) shown.add(`${rects.row[i]}:${rects.node[i]}`);
        deepEqual(shown, plainRects(layout, { from, to, widthPx }), `seed ${seed}, ${from}-${to}, ${widthPx} px`);
      }
    }
  }
});

test('frames too small to see become one run of their parent', () => {
  const tree = {
    parent: [-1, ...Array.from({ length: 1000 }, () => 0)],
    fn: Array.from({ length: 1001 }, () => 0),
    self: [0, ...Array.from({ length: 1000 }, () => 1)],
  };
  const layout = layoutFlame(tree, 1);
  const rects = newRects();
  visibleRects(layout, { from: 0, to: 1000, widthPx: 100, firstRow: 2, lastRow: 2 }, rects);
  equal(rects.length, 1);
  equal(rects.node[0], -1 - 1, 'a run of children of node 1');
  ok(Math.abs(rects.width[0]! - 100) < 0.01);
});

test('rows outside the view are not given out', () => {
  const layout = layoutFlame(sample, names.length);
  const rects = newRects();
  visibleRects(layout, { from: 0, to: 25, widthPx: 500, firstRow: 1, lastRow: 2 }, rects);
  deepEqual([...new Set(rects.row.slice(0, rects.length))], [1, 2]);
});

test('waits are summed to the root, through changes of the tree too', () => {
  const tree = { parent: [-1, 0, 0, 2], fn: [0, 1, 2, 3], self: [0, 5, 1, 4], waits: [0, 3, 1, 2] };
  deepEqual([...(layoutFlame(tree, 4).waits ?? [])], [6, 6, 3, 3, 2]);
  const folded = changeTree(tree, { focus: -1, isHidden: fn => fn === 1, isFolded: fn => fn === 2 });
  deepEqual([...(layoutFlame(folded, 4).waits ?? [])], [3, 3, 2]);
  const { waits: _waits, ...uncounted } = tree;
  equal(layoutFlame(uncounted, 4).waits, undefined);
});

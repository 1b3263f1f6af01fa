/**
 * Layout of a flame graph as a struct of arrays: a million frames are forty numbers wide columns, not a million objects. Pure: it runs
 * in a worker, in tests and in benches. Nodes are numbered breadth first, so that a row, and the children of a node, are contiguous
 * and sorted from left to right; that is what makes drawing, hit testing and searching fast.
 */

import { hashText } from './frame-kind.ts';

/** A merged call tree as the server sends it: parents come before children, -1 for roots, siblings in their order of index. */
export interface CallTree {
  parent: ArrayLike<number>;
  fn: ArrayLike<number>;
  self: ArrayLike<number>;
  /** Own waits, where they are counted. */
  waits?: ArrayLike<number>;
}

export interface FlameLayout {
  /** Nodes; node 0 is the root that holds all, with fn -1. */
  count: number;
  rows: number;
  parent: Int32Array;
  fn: Int32Array;
  self: Float64Array;
  total: Float64Array;
  /** Waits of a node and all below it, where they are counted. */
  waits?: Float64Array;
  /** Left edge, in units of value; the width is total. */
  start: Float64Array;
  /** Children of node i: [childFrom[i], childFrom[i + 1]). */
  childFrom: Int32Array;
  /** Nodes of row d: [rowFrom[d], rowFrom[d + 1]). */
  rowFrom: Int32Array;
  /** By function: value spent in it, and in it and what it called (counted once under recursion). */
  fnSelf: Float64Array;
  fnTotal: Float64Array;
}

export function layoutFlame(tree: CallTree, functionCount: number): FlameLayout {
  const inputCount = tree.parent.length;
  const count = inputCount + 1;
  const totals = new Float64Array(count);
  // Node i of the input is i + 1 here. Walking backwards lists siblings in their order and adds children before their parents.
  const firstChild = new Int32Array(count).fill(-1);
  const nextSibling = new Int32Array(count).fill(-1);
  for (let i = inputCount; i >= 1; i -= 1) {
    const parent = (tree.parent[i - 1] as number) + 1;
    if (parent >= i) throw new RangeError(`Node ${i - 1} of the call tree comes before its parent ${parent - 1}.`);
    totals[i]! += tree.self[i - 1] as number;
    totals[parent]! += totals[i]!;
    nextSibling[i] = firstChild[parent]!;
    firstChild[parent] = i;
  }
  const layout: FlameLayout = {
    count,
    rows: 0,
    parent: new Int32Array(count),
    fn: new Int32Array(count),
    self: new Float64Array(count),
    total: new Float64Array(count),
    start: new Float64Array(count),
    childFrom: new Int32Array(count + 1),
    rowFrom: new Int32Array(0),
    fnSelf: new Float64Array(functionCount),
    fnTotal: new Float64Array(functionCount),
  };
  if (tree.waits !== undefined) layout.waits = new Float64Array(count);
  placeBreadthFirst(layout, tree, totals, firstChild, nextSibling);
  sumFunctions(layout);
  return layout;
}

function placeBreadthFirst(
  layout: FlameLayout,
  tree: CallTree,
  totals: Float64Array,
  firstChild: Int32Array,
  nextSibling: Int32Array,
): void {
  const { count, parent, fn, self, total, start, childFrom } = layout;
  const input = new Int32Array(count);
  const rowFrom = [0];
  parent[0] = -1;
  fn[0] = -1;
  total[0] = totals[0]!;
  let queued = 1;
  let rowEnd = 1;
  for (let i = 0; i < count; i += 1) {
    if (i === rowEnd) {
      rowFrom.push(i);
      rowEnd = queued;
    }
    childFrom[i] = queued;
    let left = start[i]!;
    for (let child = firstChild[input[i]!]!; child >= 0; child = nextSibling[child]!) {
      input[queued] = child;
      parent[queued] = i;
      fn[queued] = tree.fn[child - 1] as number;
      self[queued] = tree.self[child - 1] as number;
      if (layout.waits !== undefined) layout.waits[queued] = tree.waits?.[child - 1] ?? 0;
      total[queued] = totals[child]!;
      start[queued] = left;
      left += totals[child]!;
      queued += 1;
    }
  }
  if (layout.waits !== undefined) sumWaits(layout.waits, parent);
  childFrom[count] = queued;
  rowFrom.push(count);
  layout.rows = rowFrom.length - 1;
  layout.rowFrom = Int32Array.from(rowFrom);
}

/** Children come after their parents. */
function sumWaits(waits: Float64Array, parent: Int32Array): void {
  for (let i = waits.length - 1; i > 0; i -= 1) waits[parent[i]!]! += waits[i]!;
}

/** Depth first, so that a function below itself is seen and its time counted once. */
function sumFunctions(layout: FlameLayout): void {
  const { fn, self, total, childFrom, fnSelf, fnTotal, rows } = layout;
  const open = new Int32Array(fnTotal.length);
  const path = new Int32Array(rows);
  const cursor = new Int32Array(rows);
  let depth = 0;
  cursor[0] = childFrom[0]!;
  while (depth >= 0) {
    const child = cursor[depth]!;
    if (child < childFrom[path[depth]! + 1]!) {
      cursor[depth] = child + 1;
      const f = fn[child]!;
      fnSelf[f]! += self[child]!;
      if (open[f] === 0) fnTotal[f]! += total[child]!;
      if (childFrom[child] === childFrom[child + 1]) continue;
      open[f]! += 1;
      depth += 1;
      path[depth] = child;
      cursor[depth] = childFrom[child]!;
    } else {
      const f = fn[path[depth]!]!;
      if (f >= 0) open[f]! -= 1;
      depth -= 1;
    }
  }
}

export function rowOf(layout: FlameLayout, node: number): number {
  const { rowFrom } = layout;
  let low = 0;
  let high = layout.rows;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (rowFrom[middle]! <= node) low = middle;
    else high = middle;
  }
  return low;
}

/** The node of a row that holds a value position; -1 in a gap. Binary search. */
export function nodeAt(layout: FlameLayout, row: number, position: number): number {
  if (row < 0 || row >= layout.rows) return -1;
  const node = lastStartingBefore(layout.start, layout.rowFrom[row]!, layout.rowFrom[row + 1]!, position);
  return node >= 0 && position < layout.start[node]! + layout.total[node]! ? node : -1;
}

function lastStartingBefore(start: Float64Array, from: number, to: number, position: number): number {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (start[middle]! <= position) low = middle + 1;
    else high = middle;
  }
  return low - 1 >= from ? low - 1 : -1;
}

/** What is in sight: a span of value over a number of pixels. */
export interface FlameView {
  from: number;
  to: number;
  widthPx: number;
  /** Rows to give out; rows above are passed through only. */
  firstRow: number;
  lastRow: number;
}

/** Rectangles to paint, reused from picture to picture. A node of -1 - p is a run of frames too small to see, children of p. */
export interface FlameRects {
  length: number;
  node: Int32Array;
  row: Int32Array;
  x: Float32Array;
  width: Float32Array;
}

export function newRects(capacity = 4096): FlameRects {
  return {
    length: 0,
    node: new Int32Array(capacity),
    row: new Int32Array(capacity),
    x: new Float32Array(capacity),
    width: new Float32Array(capacity),
  };
}

/** Narrower frames are not painted one by one but as a shading of their parent, and their children not at all. */
export const smallestPx = 0.5;

/** Finds what is in sight, row by row from the root, descending only into frames that are painted. Cost goes with pixels, not nodes. */
export function visibleRects(layout: FlameLayout, view: FlameView, rects: FlameRects): void {
  rects.length = 0;
  const { rowFrom } = layout;
  if (layout.total[0] === 0 || view.to <= view.from) return;
  let current = [0];
  for (let row = 0; row < Math.min(layout.rows, view.lastRow + 1) && current.length > 0; row += 1) {
    const isShown = row >= view.firstRow;
    if (row === 0 && isShown) emitRange(layout, view, { from: 0, to: rowFrom[1]!, row, parent: -1 }, rects, []);
    const next: number[] = [];
    if (row + 1 > view.lastRow) break;
    const isNextShown = row + 1 >= view.firstRow;
    for (const node of current) {
      const range = { from: layout.childFrom[node]!, to: layout.childFrom[node + 1]!, row: row + 1, parent: node };
      if (range.from < range.to) emitRange(layout, view, range, isNextShown ? rects : undefined, next);
    }
    current = next;
  }
}

interface SiblingRange {
  from: number;
  to: number;
  row: number;
  parent: number;
}

function emitRange(
  layout: FlameLayout,
  view: FlameView,
  range: SiblingRange,
  rects: FlameRects | undefined,
  painted: number[],
): void {
  const { start, total } = layout;
  const scale = view.widthPx / (view.to - view.from);
  let runFrom = -1;
  let runTo = -1;
  const flush = () => {
    if (runFrom >= 0 && rects !== undefined)
      pushRect(rects, -1 - range.parent, range.row, runFrom, Math.max(runTo - runFrom, smallestPx));
    runFrom = -1;
  };
  // A long list of siblings is entered where the view begins.
  let node = range.from;
  if (range.to - range.from > 16) node = Math.max(range.from, lastStartingBefore(start, range.from, range.to, view.from));
  for (; node < range.to; node += 1) {
    const x = (start[node]! - view.from) * scale;
    if (x >= view.widthPx) break;
    const width = total[node]! * scale;
    if (x + width <= 0) continue;
    if (width >= smallestPx) {
      flush();
      painted.push(node);
      if (rects !== undefined) pushRect(rects, node, range.row, x, width);
    } else if (runFrom < 0) {
      runFrom = x;
      runTo = x + width;
    } else {
      runTo = x + width;
    }
  }
  flush();
}

function pushRect(rects: FlameRects, node: number, row: number, x: number, width: number): void {
  if (rects.length === rects.node.length) grow(rects);
  const i = rects.length;
  rects.node[i] = node;
  rects.row[i] = row;
  rects.x[i] = x;
  rects.width[i] = width;
  rects.length = i + 1;
}

function grow(rects: FlameRects): void {
  const larger = newRects(rects.node.length * 2);
  larger.node.set(rects.node);
  larger.row.set(rects.row);
  larger.x.set(rects.x);
  larger.width.set(rects.width);
  rects.node = larger.node;
  rects.row = larger.row;
  rects.x = larger.x;
  rects.width = larger.width;
}

/** Value below any of the wanted functions inside a value span, counted once where they nest. */
export function sumOfFunctions(
  layout: FlameLayout,
  isWanted: (fn: number) => boolean,
  within: { from: number; to: number },
): number {
  const { parent, fn, start, total, count } = layout;
  const isCovered = new Uint8Array(count);
  let sum = 0;
  for (let i = 1; i < count; i += 1) {
    if (isCovered[parent[i]!] === 1) isCovered[i] = 1;
    else if (isWanted(fn[i]!)) {
      isCovered[i] = 1;
      sum += Math.max(0, Math.min(within.to, start[i]! + total[i]!) - Math.max(within.from, start[i]!));
    }
  }
  return sum;
}

/** Functions from the root to the node, without the root that holds all. */
export function pathOf(layout: FlameLayout, node: number): number[] {
  const path: number[] = [];
  for (let i = node; i > 0; i = layout.parent[i]!) path.push(i);
  return path.reverse();
}

/**
 * A short name for a place in the tree that holds over refetches and restarts: depth and a hash over the functions' names on the way.
 * '' for the root.
 */
export function nodeKey(layout: FlameLayout, names: readonly string[], node: number): string {
  const path = pathOf(layout, node);
  if (path.length === 0) return '';
  return `${path.length}.${path.reduce((hash, i) => pathHash(hash, hashText(names[layout.fn[i]!] ?? '')), 0).toString(36)}`;
}

/** The node with this key, or 0 where the tree has none (any more). */
export function nodeByKey(layout: FlameLayout, names: readonly string[], key: string): number {
  const match = /^(\d{1,4})\.([0-9a-z]{1,7})$/.exec(key);
  if (match === null) return 0;
  const depth = Number(match[1]);
  const wanted = Number.parseInt(match[2] ?? '', 36);
  if (depth >= layout.rows) return 0;
  const nameHashes = Uint32Array.from(names, hashText);
  const hashes = new Uint32Array(layout.rowFrom[depth + 1]!);
  for (let i = 1; i < hashes.length; i += 1)
    hashes[i] = pathHash(hashes[layout.parent[i]!]!, nameHashes[layout.fn[i]!] ?? emptyHash);
  for (let i = layout.rowFrom[depth]!; i < hashes.length; i += 1) if (hashes[i] === wanted) return i;
  return 0;
}

const emptyHash = hashText('');

function pathHash(parentHash: number, nameHash: number): number {
  return (Math.imul(parentHash ^ nameHash, 0x9e3779b1) ^ (parentHash >>> 15)) >>> 0;
}

/** Rows that the node and what is below it take. */
export function subtreeRows(layout: FlameLayout, node: number): number {
  let from = node;
  let to = node + 1;
  let rows = 0;
  while (from < to) {
    rows += 1;
    const nextFrom = layout.childFrom[from]!;
    to = layout.childFrom[to]!;
    from = nextFrom;
  }
  return rows;
}

/** Other trees from a call tree: parts left out, callers of a function, callees of a function. Pure; runs in the worker. */

import type { CallTree } from './flame-layout.ts';

export interface TreeChange {
  /** Keep only stacks that go through this function; -1 keeps all. */
  focus: number;
  /** Functions whose samples are left out, with all they called. */
  isHidden: (fn: number) => boolean;
  /** Functions that are passed over: their own time goes to their caller, their callees move up to it. */
  isFolded: (fn: number) => boolean;
}

class TreeBuilder {
  readonly parent: number[] = [];
  readonly fn: number[] = [];
  readonly self: number[] = [];
  readonly waits: number[] = [];
  private readonly children = new Map<number, number>();

  /** The child of a node with this function, made where there is none. A node's children are few million at most: parent and function fit one number. */
  child(parent: number, fn: number): number {
    const key = (parent + 1) * 0x400_0000 + fn;
    const known = this.children.get(key);
    if (known !== undefined) return known;
    const node = this.parent.length;
    this.parent.push(parent);
    this.fn.push(fn);
    this.self.push(0);
    this.waits.push(0);
    this.children.set(key, node);
    return node;
  }
}

/** Marks a node that is left out. */
const gone = -2;

/** The tree with the change applied; the same arrays where the change is none. */
export function changeTree(tree: CallTree, change: TreeChange): CallTree {
  const builder = new TreeBuilder();
  const count = tree.parent.length;
  const place = new Int32Array(count);
  const isInFocus = change.focus < 0 ? undefined : focusMask(tree, change.focus);
  let rootSelf = 0;
  for (let i = 0; i < count; i += 1) {
    const parent = tree.parent[i] as number;
    const fn = tree.fn[i] as number;
    const parentPlace = parent < 0 ? -1 : place[parent]!;
    const isKept = isInFocus === undefined || isInFocus[i]! > 0;
    if (parentPlace === gone || !isKept || change.isHidden(fn)) {
      place[i] = gone;
      continue;
    }
    const target = change.isFolded(fn) ? parentPlace : builder.child(parentPlace, fn);
    place[i] = target;
    // 1: on the way to the focus, where a node's own samples do not go through it.
    if (isInFocus !== undefined && isInFocus[i] === 1) continue;
    if (target >= 0) {
      builder.self[target]! += tree.self[i] as number;
      builder.waits[target]! += tree.waits?.[i] ?? 0;
    } else rootSelf += tree.self[i] as number;
  }
  const { parent, fn, self, waits } = builder;
  // Waits whose every frame is folded are in no node: where there are some, numbers would not add up, and are not told.
  if (rootSelf > 0) return withRootSelf(builder, rootSelf);
  return tree.waits === undefined ? { parent, fn, self } : { parent, fn, self, waits };
}

/** Samples whose every frame is folded have no frame left; they are shown as one nameless root, or shares would shift silently. */
function withRootSelf(builder: TreeBuilder, self: number): CallTree {
  return { parent: [...builder.parent, -1], fn: [...builder.fn, -1], self: [...builder.self, self] };
}

/** 2: the function or below it; 1: above it; 0: neither. */
function focusMask(tree: CallTree, focus: number): Uint8Array {
  const count = tree.parent.length;
  const mask = new Uint8Array(count);
  for (let i = 0; i < count; i += 1) {
    const parent = tree.parent[i] as number;
    if (tree.fn[i] === focus || (parent >= 0 && mask[parent] === 2)) mask[i] = 2;
  }
  for (let i = count - 1; i >= 0; i -= 1) {
    const parent = tree.parent[i] as number;
    if (mask[i]! > 0 && parent >= 0 && mask[parent] === 0) mask[parent] = 1;
  }
  return mask;
}

/** Everything the function called, merged over all places where it was called. The function is the only root. */
export function calleesOf(tree: CallTree, fn: number): CallTree {
  const builder = new TreeBuilder();
  const count = tree.parent.length;
  const place = new Int32Array(count).fill(gone);
  for (let i = 0; i < count; i += 1) {
    const parent = tree.parent[i] as number;
    const parentPlace = parent < 0 ? gone : place[parent]!;
    if (parentPlace !== gone) place[i] = builder.child(parentPlace, tree.fn[i] as number);
    else if (tree.fn[i] === fn) place[i] = builder.child(-1, fn);
    if (place[i] !== gone) builder.self[place[i]!]! += tree.self[i] as number;
  }
  return { parent: builder.parent, fn: builder.fn, self: builder.self };
}

/** Who called the function, and who called those: a tree that grows from the function towards the roots. */
export function callersOf(tree: CallTree, fn: number): CallTree {
  const builder = new TreeBuilder();
  const count = tree.parent.length;
  const totals = new Float64Array(count);
  const isNested = new Uint8Array(count);
  for (let i = 0; i < count; i += 1) {
    const parent = tree.parent[i] as number;
    if (parent >= 0 && (isNested[parent] === 1 || tree.fn[parent] === fn)) isNested[i] = 1;
  }
  for (let i = count - 1; i >= 0; i -= 1) {
    totals[i]! += tree.self[i] as number;
    const parent = tree.parent[i] as number;
    if (parent >= 0) totals[parent]! += totals[i]!;
  }
  for (let i = 0; i < count; i += 1) {
    if (tree.fn[i] !== fn || isNested[i] === 1) continue;
    let place = builder.child(-1, fn);
    for (let up = tree.parent[i] as number; up >= 0; up = tree.parent[up] as number)
      place = builder.child(place, tree.fn[up] as number);
    builder.self[place]! += totals[i]!;
  }
  return { parent: builder.parent, fn: builder.fn, self: builder.self };
}

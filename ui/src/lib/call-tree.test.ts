/** Focus, hiding, folding, callers and callees, on a tree small enough to count by hand. */

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { calleesOf, callersOf, changeTree } from './call-tree.ts';
import type { CallTree } from './flame-layout.ts';

const names = ['main', 'read', 'parse', 'idle'];
const tree: CallTree = { parent: [-1, 0, 0, 2, 2, -1], fn: [0, 1, 2, 1, 2, 3], self: [1, 4, 2, 3, 5, 10] };
const nothing = { focus: -1, isHidden: () => false, isFolded: () => false };

/** Stacks with their own value, as folded text. */
function stacks(of: CallTree): string[] {
  const path = (i: number): string =>
    ((of.parent[i] as number) < 0 ? '' : `${path(of.parent[i] as number)};`) + (names[of.fn[i] as number] ?? '?');
  return Array.from({ length: of.parent.length }, (_, i) => i)
    .filter(i => (of.self[i] as number) > 0)
    .map(i => `${path(i)} ${of.self[i]}`)
    .sort();
}

test('no change keeps every stack', () => {
  deepEqual(stacks(changeTree(tree, nothing)), stacks(tree));
});

test('focus keeps stacks through the function, and the way to it without its own samples', () => {
  deepEqual(stacks(changeTree(tree, { ...nothing, focus: 2 })), ['main;parse 2', 'main;parse;parse 5', 'main;parse;read 3']);
});

test('hiding drops a function with all it called', () => {
  deepEqual(stacks(changeTree(tree, { ...nothing, isHidden: fn => fn === 2 })), ['idle 10', 'main 1', 'main;read 4']);
});

test('folding gives own time to the caller and merges what then meets', () => {
  deepEqual(stacks(changeTree(tree, { ...nothing, isFolded: fn => fn === 2 })), ['idle 10', 'main 8', 'main;read 7']);
});

test('folding a root keeps its samples in the sum', () => {
  const folded = changeTree(tree, { ...nothing, isFolded: fn => fn === 3 });
  equal(stacks(folded).includes('? 10'), true);
});

test('callees merge all places, recursion stays a child', () => {
  deepEqual(stacks(calleesOf(tree, 2)), ['parse 2', 'parse;parse 5', 'parse;read 3']);
  deepEqual(stacks(calleesOf(tree, 1)), ['read 7']);
});

test('callers grow from the function towards the roots, outermost calls only', () => {
  deepEqual(stacks(callersOf(tree, 1)), ['read;main 4', 'read;parse;main 3']);
  deepEqual(stacks(callersOf(tree, 2)), ['parse;main 10']);
});

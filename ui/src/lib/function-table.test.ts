/** The table of functions and its search. */

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { layoutFlame } from './flame-layout.ts';
import { matchFunctions, sortedFunctions } from './function-table.ts';

const names = ['main', 'Read', 'parse', 'idle', 'unused'];
const layout = layoutFlame({ parent: [-1, 0, 0, 2, 2, -1], fn: [0, 1, 2, 1, 2, 3], self: [1, 4, 2, 3, 6, 10] }, names.length);
const named = (indices: Uint32Array) => [...indices].map(i => names[i]);

test('sorted by self, total and name; functions without samples are left out', () => {
  deepEqual(named(sortedFunctions(layout, names, 'self', undefined)), ['idle', 'parse', 'Read', 'main']);
  deepEqual(named(sortedFunctions(layout, names, 'total', undefined)), ['main', 'parse', 'idle', 'Read']);
  deepEqual(named(sortedFunctions(layout, names, 'name', undefined)), ['idle', 'main', 'parse', 'Read']);
});

test('search takes expressions, either case, modules, and text that is no expression', () => {
  const modules = ['/bin/a', '/bin/a', '/bin/b', '', ''];
  equal(matchFunctions(names, modules, ''), undefined);
  deepEqual([...(matchFunctions(names, modules, '^read|idle$') ?? [])], [0, 1, 0, 1, 0]);
  deepEqual([...(matchFunctions(names, modules, 'bin/b') ?? [])], [0, 0, 1, 0, 0]);
  deepEqual([...(matchFunctions(['operator(', 'x'], ['', ''], 'OPERATOR(') ?? [])], [1, 0]);
});

/**
 * Turns summed nodes of the function trie into the columns of a ProfileResult: small nodes folded into a remainder of their
 * parent, the rest in depth-first order with siblings sorted by function name. Every step is linear in the nodes of the trie.
 */

import type { FunctionInfo } from './function-index.ts';
import type { StackTrie } from './stack-trie.ts';

export interface TreeColumns {
  /** Index of the parent, -1 for a root. */
  parent: Int32Array;
  fn: Uint32Array;
  self: Float64Array;
  /** Own waits, where they are counted. */
  waits?: Float64Array;
  functions: FunctionInfo[];
}

export interface NodeSums {
  /** Per node of the trie: own value, and own value with that of all below. totals is changed. */
  readonly self: Float64Array;
  readonly totals: Float64Array;
  /** Waits per node, own and with those of all below, where they are counted. */
  readonly waits?: { readonly self: Float64Array; readonly totals: Float64Array } | undefined;
  /** Nodes whose total is below this are folded; 0 keeps all. */
  readonly threshold: number;
}

export const smallFunction: FunctionInfo = { name: '(small)', module: '', kind: 'unresolved', file: '', line: 0, isGuess: false };

/** The nodes to show, in the order of the trie (parents first); entry 0 is the root. */
interface Entries {
  readonly count: number;
  readonly parents: Uint32Array;
  /** Function id of the trie, -1 for a remainder. */
  readonly functions: Int32Array;
  readonly self: Float64Array;
  readonly waits: Float64Array | undefined;
}

export function layOutTree(stacks: StackTrie, sums: NodeSums): TreeColumns {
  const entries = chooseEntries(stacks, sums);
  const functions = sortFunctions(stacks.functionIndex.functions, entries);
  return { ...putInOrder(entries, functions.ranks), functions: functions.infos };
}

function chooseEntries({ merged }: StackTrie, { self, totals, waits, threshold }: NodeSums): Entries {
  const { parents, functions, nodes } = merged;
  const entryOf = new Uint32Array(nodes);
  // At most one remainder per kept node.
  const small = threshold > 0 ? new Float64Array(nodes) : undefined;
  const smallWaits = waits === undefined ? undefined : new Float64Array(nodes);
  let kept = 0;
  let smalls = 0;
  for (let node = 1; node < nodes; node += 1) {
    const total = totals[node] as number;
    if (total === 0) continue;
    const parent = parents[node] as number;
    if (small !== undefined && total < threshold) {
      totals[node] = 0;
      // A folded parent has taken all below it with it.
      if (parent !== 0 && totals[parent] === 0) continue;
      if (small[parent] === 0) smalls += 1;
      small[parent] = (small[parent] as number) + total;
      if (smallWaits !== undefined) smallWaits[parent] = (smallWaits[parent] as number) + (waits?.totals[node] as number);
    } else {
      kept += 1;
      entryOf[node] = kept;
    }
  }
  const count = kept + smalls + 1;
  const entries = {
    count,
    parents: new Uint32Array(count),
    functions: new Int32Array(count),
    self: new Float64Array(count),
    waits: waits === undefined ? undefined : new Float64Array(count),
  };
  let next = kept;
  for (let node = 0; node < nodes; node += 1) {
    const entry = entryOf[node] as number;
    if (entry !== 0) {
      entries.parents[entry] = entryOf[parents[node] as number] as number;
      entries.functions[entry] = functions[node] as number;
      entries.self[entry] = self[node] as number;
      if (entries.waits !== undefined) entries.waits[entry] = waits?.self[node] as number;
    }
    if (small === undefined || small[node] === 0) continue;
    next += 1;
    entries.parents[next] = entry;
    entries.functions[next] = -1;
    entries.self[next] = small[node] as number;
    if (entries.waits !== undefined) entries.waits[next] = smallWaits?.[node] as number;
  }
  return entries;
}

/** The functions in use by name, and the rank of each in that order by its id in the trie (index 0 for the remainder's -1). */
function sortFunctions(
  all: readonly FunctionInfo[],
  { count, functions }: Entries,
): { infos: FunctionInfo[]; ranks: Uint32Array } {
  const ranks = new Uint32Array(all.length + 1);
  const used: number[] = [];
  for (let entry = 1; entry < count; entry += 1) {
    const slot = (functions[entry] as number) + 1;
    if (ranks[slot] !== 0) continue;
    ranks[slot] = 1;
    used.push(slot);
  }
  const info = (slot: number) => (slot === 0 ? smallFunction : (all[slot - 1] as FunctionInfo));
  used.sort((a, b) => compare(info(a).name, info(b).name) || compare(info(a).module, info(b).module));
  for (let rank = 0; rank < used.length; rank += 1) ranks[used[rank] as number] = rank;
  return { infos: used.map(info), ranks };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function putInOrder(entries: Entries, ranks: Uint32Array): Omit<TreeColumns, 'functions'> {
  const { count, parents, functions, self, waits } = entries;
  const { first, next } = linkChildren(entries, ranks);
  const columns: Omit<TreeColumns, 'functions'> = {
    parent: new Int32Array(count - 1),
    fn: new Uint32Array(count - 1),
    self: new Float64Array(count - 1),
    ...(waits === undefined ? {} : { waits: new Float64Array(count - 1) }),
  };
  const places = new Int32Array(count);
  places[0] = -1;
  let place = 0;
  let entry = first[0] as number;
  while (entry !== 0) {
    columns.parent[place] = places[parents[entry] as number] as number;
    columns.fn[place] = ranks[(functions[entry] as number) + 1] as number;
    columns.self[place] = self[entry] as number;
    if (columns.waits !== undefined) columns.waits[place] = waits?.[entry] as number;
    places[entry] = place;
    place += 1;
    let onward = first[entry] as number;
    while (onward === 0 && entry !== 0) {
      onward = next[entry] as number;
      entry = parents[entry] as number;
    }
    entry = onward;
  }
  return columns;
}

/** Lists of children in rising rank: entries are dealt out from the highest rank down, each to the head of its parent's list. */
function linkChildren({ count, parents, functions }: Entries, ranks: Uint32Array): { first: Uint32Array; next: Uint32Array } {
  const starts = new Uint32Array(ranks.length + 2);
  for (let entry = 1; entry < count; entry += 1) {
    const rank = ranks[(functions[entry] as number) + 1] as number;
    starts[rank + 1] = (starts[rank + 1] as number) + 1;
  }
  for (let rank = 1; rank < starts.length; rank += 1) starts[rank] = (starts[rank] as number) + (starts[rank - 1] as number);
  const byRank = new Uint32Array(count - 1);
  for (let entry = 1; entry < count; entry += 1) {
    const rank = ranks[(functions[entry] as number) + 1] as number;
    const slot = starts[rank] as number;
    byRank[slot] = entry;
    starts[rank] = slot + 1;
  }
  const first = new Uint32Array(count);
  const next = new Uint32Array(count);
  for (let i = count - 2; i >= 0; i -= 1) {
    const entry = byRank[i] as number;
    const parent = parents[entry] as number;
    next[entry] = first[parent] as number;
    first[parent] = entry;
  }
  return { first, next };
}

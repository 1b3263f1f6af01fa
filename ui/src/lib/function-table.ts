/** The flame graph's content as a table of functions: own time and time with callees, sorted and searched. */

import type { FlameLayout } from './flame-layout.ts';

export type FunctionOrder = 'self' | 'total' | 'name';

/** Function indices with time in them, in order. Search is as in the graph. */
export function sortedFunctions(
  layout: FlameLayout,
  names: readonly string[],
  order: FunctionOrder,
  matches: Uint8Array | undefined,
): Uint32Array {
  const { fnSelf, fnTotal } = layout;
  const kept: number[] = [];
  for (let f = 0; f < fnTotal.length; f += 1) if (fnTotal[f]! > 0 && (matches === undefined || matches[f] === 1)) kept.push(f);
  const indices = Uint32Array.from(kept);
  if (order === 'name') {
    const collator = new Intl.Collator('en');
    return indices.sort((a, b) => collator.compare(names[a] ?? '', names[b] ?? ''));
  }
  const [first, second] = order === 'self' ? [fnSelf, fnTotal] : [fnTotal, fnSelf];
  return indices.sort((a, b) => first[b]! - first[a]! || second[b]! - second[a]! || a - b);
}

/** Which functions a search finds: a regular expression where it is one, else plain text; letters of either case. undefined without a search. */
export function matchFunctions(names: readonly string[], modules: readonly string[], search: string): Uint8Array | undefined {
  if (search === '') return undefined;
  const isFound = finder(search);
  return Uint8Array.from(names, (name, i) => (isFound(name) || isFound(modules[i] ?? '') ? 1 : 0));
}

function finder(search: string): (text: string) => boolean {
  try {
    const pattern = new RegExp(search, 'i');
    return text => pattern.test(text);
  } catch {
    // Half-typed or meant literally, such as "operator(": then it is looked for as it stands.
    const lower = search.toLowerCase();
    return text => text.toLowerCase().includes(lower);
  }
}

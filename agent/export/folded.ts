/** Folded stacks, as flame-graph scripts read them: "root;caller;leaf value", one line a path, the value in the profile's unit. */

import type { FullProfile } from '../store/full-profile.ts';
import { functionPaths } from './function-paths.ts';

/** Sorted, so that two profiles can be compared as texts. */
export function foldedText(profile: FullProfile): string {
  const { functions, paths } = functionPaths(profile);
  // A semicolon or line break in a name would end it.
  const names = functions.map(({ name }) => name.replaceAll(';', ':').replaceAll(/[\r\n]+/g, ' '));
  const sums = new Map<string, number>();
  for (const path of paths) {
    const text = path.functions.map(fn => names[fn]).join(';');
    sums.set(text, (sums.get(text) ?? 0) + path.value);
  }
  const lines = [...sums].map(([text, value]) => `${text} ${value}\n`);
  return lines.sort().join('');
}

/** Profiles by path of functions: what formats without addresses are written from, so that they agree with the flame graph. */

import type { FullProfile } from '../store/full-profile.ts';

export interface PathFunction {
  readonly name: string;
  readonly module: string;
  readonly file: string;
  readonly line: number;
}

export interface FunctionPaths {
  readonly functions: readonly PathFunction[];
  /** Indexes into `functions`, root first, with the sum of the values of samples that ended there. No path is there twice. */
  readonly paths: readonly { readonly functions: readonly number[]; readonly value: number }[];
}

/** A function is a name in a module, as in ProfileResult; inlined calls stand for themselves. */
export function functionPaths(profile: FullProfile): FunctionPaths {
  const functions: PathFunction[] = [];
  const numbers = new Map<string, number>();
  const numberOf = (fn: PathFunction) => {
    const key = `${fn.name}\0${fn.module}`;
    let number = numbers.get(key);
    if (number === undefined) {
      number = functions.push(fn) - 1;
      numbers.set(key, number);
    }
    return number;
  };
  const frames = profile.frames.map(({ module, lines }) => lines.map(line => numberOf({ ...line, module })).reverse());
  const noStack = profile.stacks.findIndex(stack => stack.length === 0);
  const empty = noStack < 0 ? [] : [numberOf({ name: '[no stack]', module: '', file: '', line: 0 })];
  const values = new Float64Array(profile.stacks.length);
  for (const { stack, value } of profile.entries) values[stack] = (values[stack] as number) + value;
  const paths = new Map<string, { functions: readonly number[]; value: number }>();
  profile.stacks.forEach((stack, i) => {
    const path = stack.length === 0 ? empty : stack.toReversed().flatMap(frame => frames[frame] as number[]);
    const key = path.join(' ');
    const value = values[i] as number;
    const known = paths.get(key);
    if (known === undefined) paths.set(key, { functions: path, value });
    else known.value += value;
  });
  return { functions, paths: [...paths.values()].filter(path => path.value > 0) };
}

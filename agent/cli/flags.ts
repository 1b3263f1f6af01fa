/** Reads command lines. Every mistake is a UsageError that names the flag, what is wrong, and what would be right. */

import { parseArgs } from 'node:util';
import { nearestWord } from '../lib/suggest.ts';
import { formatDuration, parseDurationNs } from '../lib/units.ts';
import { UsageError } from './command.ts';

export type FlagSpec = { readonly help: string; readonly placeholder?: string; readonly short?: string } & (
  | { readonly kind: 'switch' }
  | { readonly kind: 'text'; readonly default?: string }
  /** May be given more than once. */
  | { readonly kind: 'texts' }
  | { readonly kind: 'choice'; readonly choices: readonly string[]; readonly default: string }
  | { readonly kind: 'number'; readonly min: number; readonly max: number; readonly default?: number }
  /** Nanoseconds. */
  | { readonly kind: 'duration'; readonly min: number; readonly max: number; readonly default?: number }
);

export type FlagSpecs = Readonly<Record<string, FlagSpec>>;

type ValueOf<S> = S extends { kind: 'switch' }
  ? boolean
  : S extends { kind: 'texts' }
    ? readonly string[]
    : S extends { kind: 'choice'; choices: readonly (infer C)[] }
      ? C
      : S extends { kind: 'text' }
        ? S extends { default: string }
          ? string
          : string | undefined
        : S extends { default: number }
          ? number
          : number | undefined;

export type FlagValues<F extends FlagSpecs> = { readonly [K in keyof F]: ValueOf<F[K]> };

export interface CommandLine<F extends FlagSpecs> {
  readonly flags: FlagValues<F>;
  readonly words: readonly string[];
}

/** Throws a UsageError. */
export function parseCommandLine<const F extends FlagSpecs>(specs: F, args: readonly string[]): CommandLine<F> {
  const options = Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [
      name,
      {
        type: spec.kind === 'switch' ? ('boolean' as const) : ('string' as const),
        ...(spec.short === undefined ? {} : { short: spec.short }),
      },
    ]),
  );
  const { tokens } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true });
  const given = new Map<string, string[]>();
  const words: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value);
    if (token.kind !== 'option') continue;
    if (!Object.hasOwn(specs, token.name)) throw unknownFlag(token.rawName, specs);
    const text = flagText(specs[token.name]!, token);
    given.set(token.name, [...(given.get(token.name) ?? []), text]);
  }
  const values = Object.entries(specs).map(([name, spec]) => [name, flagValue(name, spec, given.get(name))]);
  return { flags: Object.fromEntries(values) as FlagValues<F>, words };
}

function unknownFlag(rawName: string, specs: FlagSpecs): UsageError {
  const nearest = nearestWord(rawName.replace(/^-+/, ''), Object.keys(specs));
  return new UsageError(`unknown flag ${rawName}${nearest === undefined ? '' : `; did you mean --${nearest}?`}`);
}

interface OptionToken {
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

/** The flag's text; '' for a switch. */
function flagText(spec: FlagSpec, { rawName, value, inlineValue }: OptionToken): string {
  if (spec.kind === 'switch') {
    if (inlineValue) throw new UsageError(`${rawName} takes no value; write ${rawName} alone`);
    return '';
  }
  // "--pid --comm x": the next flag is not the value. A lone "-" is standard output.
  const isMissing = value === undefined || (!inlineValue && value.startsWith('-') && value !== '-' && !/^-\d/.test(value));
  if (isMissing) throw new UsageError(`${rawName} needs a value: ${rawName} ${spec.placeholder ?? 'VALUE'}`);
  return value;
}

function flagValue(name: string, spec: FlagSpec, given: readonly string[] | undefined): unknown {
  if (spec.kind === 'switch') return given !== undefined;
  if (spec.kind === 'texts') return given ?? [];
  if (given === undefined) return spec.default;
  if (given.length > 1) throw new UsageError(`--${name} is given ${given.length} times; give it once`);
  const text = given[0]!;
  if (spec.kind === 'text') return text;
  if (spec.kind === 'choice') {
    if (!spec.choices.includes(text)) throw new UsageError(`--${name} is one of ${spec.choices.join(', ')}, not "${text}"`);
    return text;
  }
  return spec.kind === 'number' ? numberValue(name, spec, text) : durationValue(name, spec, text);
}

function numberValue(name: string, spec: FlagSpec & { kind: 'number' }, text: string): number {
  const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= spec.min && value <= spec.max)) {
    throw new UsageError(`--${name} is a whole number from ${spec.min} to ${spec.max}, not "${text}"`);
  }
  return value;
}

function durationValue(name: string, spec: FlagSpec & { kind: 'duration' }, text: string): number {
  const value = parseDurationNs(text);
  if (value === undefined) throw new UsageError(`--${name} is a duration such as 500us, 1ms or 10s, not "${text}"`);
  if (value < spec.min || value > spec.max) {
    throw new UsageError(
      `--${name} is from ${formatDuration(spec.min)} to ${formatDuration(spec.max)}, not ${formatDuration(value)}`,
    );
  }
  return value;
}

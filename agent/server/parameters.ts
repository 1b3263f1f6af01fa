/** Parameters of requests: what each may be, in one form that both the checks and openapi.json are made from. */

import { didYouMean } from '../lib/suggest.ts';
import { parseDurationNs } from '../lib/units.ts';
import { HttpError } from './http-error.ts';

export type ParameterSpec = { readonly help: string } & (
  | { readonly kind: 'time'; readonly default: string }
  | { readonly kind: 'integer' | 'number'; readonly min: number; readonly max: number; readonly default: number }
  | { readonly kind: 'text'; readonly maxLength: number; readonly default?: string }
  | { readonly kind: 'choice'; readonly choices: readonly string[]; readonly default: string }
  | { readonly kind: 'switch'; readonly default: boolean }
);

export type ParameterSpecs = Readonly<Record<string, ParameterSpec>>;

type ValueOf<S> = S extends { kind: 'choice'; choices: readonly (infer C)[] }
  ? C
  : S extends { kind: 'text' }
    ? string
    : S extends { kind: 'switch' }
      ? boolean
      : number;

/** Checked values; times are Unix milliseconds. */
export type ParameterValues<P extends ParameterSpecs> = { readonly [K in keyof P]: ValueOf<P[K]> };

function badRequest(message: string, remedy: string): HttpError {
  return new HttpError(400, message, remedy);
}

/** Throws an HttpError 400 for an unknown, repeated, missing or bad parameter, and for a range that is empty or backwards. */
export function parseParameters<P extends ParameterSpecs>(specs: P, query: URLSearchParams, nowMs: number): ParameterValues<P> {
  const names = Object.keys(specs);
  const seen = new Set<string>();
  for (const name of query.keys()) {
    if (!Object.hasOwn(specs, name)) {
      const remedy = names.length === 0 ? 'leave it out' : `known are ${names.join(', ')}`;
      throw badRequest(`unknown parameter "${clip(name)}"${didYouMean(name, names)}`, remedy);
    }
    if (seen.has(name)) throw badRequest(`parameter "${name}" is given twice`, 'give it once');
    seen.add(name);
  }
  const values = Object.fromEntries(names.map(name => [name, parseParameter(name, specs[name]!, query.get(name), nowMs)]));
  if (typeof values.from === 'number' && typeof values.to === 'number' && values.from >= values.to) {
    throw badRequest('"from" is not before "to"', 'ask for a range such as from=now-15m&to=now');
  }
  return values as ParameterValues<P>;
}

function parseParameter(name: string, spec: ParameterSpec, text: string | null, nowMs: number): string | number | boolean {
  if (text === null || text === '') {
    if (spec.default === undefined) throw badRequest(`parameter "${name}" is missing`, `add ${name}=...: ${spec.help}`);
    return spec.kind === 'time' ? parseTime(name, spec.default, nowMs) : spec.default;
  }
  switch (spec.kind) {
    case 'time':
      return parseTime(name, text, nowMs);
    case 'integer':
    case 'number':
      return parseNumber(name, spec, text);
    case 'text':
      if (text.length > spec.maxLength)
        throw badRequest(`parameter "${name}" is longer than ${spec.maxLength} characters`, 'shorten it');
      return text;
    case 'choice':
      if (!spec.choices.includes(text))
        throw badRequest(`parameter "${name}" is "${clip(text)}"`, `use one of ${spec.choices.join(', ')}`);
      return text;
    case 'switch':
      if (text !== 'true' && text !== 'false') throw badRequest(`parameter "${name}" is "${clip(text)}"`, 'use true or false');
      return text === 'true';
  }
}

function parseNumber(name: string, spec: ParameterSpec & { kind: 'integer' | 'number' }, text: string): number {
  const value = /^-?\d+(\.\d+)?(e-?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  const isWhole = spec.kind === 'number' || Number.isInteger(value);
  if (!isWhole || !(value >= spec.min && value <= spec.max)) {
    const what = spec.kind === 'integer' ? 'a whole number' : 'a number';
    throw badRequest(`parameter "${name}" is "${clip(text)}"`, `use ${what} from ${spec.min} to ${spec.max}`);
  }
  return value;
}

/** Year 3000: larger numbers are nanoseconds or microseconds by mistake. */
const maxTimeMs = 32_503_680_000_000;

/** Unix milliseconds of "now", "now-15m", a number of milliseconds, or an RFC 3339 time. Throws an HttpError 400. */
export function parseTime(name: string, text: string, nowMs: number): number {
  if (text === 'now') return nowMs;
  if (text.startsWith('now-')) {
    const ns = parseDurationNs(text.slice(4));
    if (ns !== undefined) return Math.max(0, Math.floor(nowMs - ns / 1e6));
  } else if (/^\d{1,17}$/.test(text)) {
    const value = Number(text);
    if (value <= maxTimeMs) return value;
    throw badRequest(`parameter "${name}" lies after the year 3000`, 'give Unix time in milliseconds');
  } else if (/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text)) {
    const value = Date.parse(text);
    if (value >= 0) return value;
  }
  throw badRequest(`parameter "${name}" is "${clip(text)}"`, 'use now, now-15m, Unix milliseconds or 2026-01-31T12:00:00Z');
}

function clip(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

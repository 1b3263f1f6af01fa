/** Turns one raw value, text from a flag or variable or a scalar or list of the file, into the typed value of its key, or says what is wrong. */

import { formatDuration, formatSize, nanosecondsPer, parseDurationNs, parseSizeBytes } from '../lib/units.ts';
import type { SettingSpec } from '../sources/source.ts';
import type { Address, KeySpec } from './keys.ts';

/** What is wrong with one value, without the place where it stands: 'must be ...; write ...'. */
export class ValueError extends Error {
  override readonly name = 'ValueError';
}

export type ConfigValue = string | number | boolean | Address | readonly string[] | Readonly<Record<string, string>>;

/** Throws a ValueError with what is wrong and the remedy. */
export function parseConfigValue(spec: KeySpec, raw: unknown): ConfigValue {
  switch (spec.kind) {
    case 'text':
    case 'path':
      return parseText(raw, spec.minLength ?? 0, spec.isSecret === true);
    case 'url':
      return parseUrl(raw);
    case 'choice':
      return parseChoice(raw, spec.choices);
    case 'switch':
      return parseSwitch(raw);
    case 'number':
      return parseNumber(raw, spec);
    case 'duration':
      return parseDurationMs(raw, spec);
    case 'size':
      return parseSize(raw, spec);
    case 'address':
      return parseAddress(scalarText(raw));
    case 'list':
      return parseList(raw);
    case 'pairs':
      return parsePairs(raw);
  }
}

/** A source's setting; durations are numbers in the setting's own unit. Throws a ValueError. */
export function parseSetting(spec: SettingSpec, raw: unknown): number | string | readonly string[] {
  const min = spec.min ?? Number.NEGATIVE_INFINITY;
  const max = spec.max ?? Number.POSITIVE_INFINITY;
  if (spec.kind === 'text') return parseText(raw, 0, false);
  if (spec.kind === 'list') return parseList(raw);
  if (spec.kind === 'number')
    return bounded(plainNumber(raw), min, max, value => `${value}${spec.unit === '' ? '' : ` ${spec.unit}`}`);
  const perUnit = nanosecondsPer(spec.unit) ?? 1;
  // In the API and the UI a duration is a number of its unit already.
  const value = typeof raw === 'number' ? raw : durationNs(raw) / perUnit;
  return bounded(value, min, max, bound => formatDuration(bound * perUnit));
}

function scalarText(raw: unknown): string {
  if (typeof raw === 'string') return raw.trim();
  if (typeof raw === 'number' || typeof raw === 'boolean') return String(raw);
  if (raw === null || raw === undefined) throw new ValueError('has no value; write one or leave the line out');
  throw new ValueError('must be a single value, not a list or a group');
}

function parseText(raw: unknown, minLength: number, isSecret: boolean): string {
  const text = scalarText(raw);
  if (text.includes('\0') || text.includes('\n')) throw new ValueError('must be one line of text');
  // A secret is never repeated in a message: messages end in logs.
  if (text !== '' && text.length < minLength) {
    const shown = isSecret ? '' : ` "${text}"`;
    throw new ValueError(
      `is too short${shown}: it must have at least ${minLength} characters; make one with: openssl rand -hex 24`,
    );
  }
  return text;
}

function parseUrl(raw: unknown): string {
  const text = scalarText(raw);
  if (text === '') return '';
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new ValueError(`must be an http:// or https:// address, not "${text}"; write for example http://localhost:4318`);
  }
  return text;
}

function parseChoice(raw: unknown, choices: readonly string[]): string {
  const text = scalarText(raw);
  if (!choices.includes(text)) throw new ValueError(`must be one of ${choices.join(', ')}, not "${text}"`);
  return text;
}

/** true and false; in the environment and on the command line also 1, 0, yes, no, on, off. */
export function parseSwitch(raw: unknown): boolean {
  const text = scalarText(raw).toLowerCase();
  if (['true', '1', 'yes', 'on'].includes(text)) return true;
  if (['false', '0', 'no', 'off'].includes(text)) return false;
  throw new ValueError(`must be true or false, not "${text}"`);
}

function plainNumber(raw: unknown): number {
  const text = scalarText(raw);
  if (!/^-?\d+(\.\d+)?$/.test(text)) throw new ValueError(`must be a number, not "${text}"`);
  return Number(text);
}

function bounded(value: number, min: number, max: number, show: (bound: number) => string): number {
  if (value < min) throw new ValueError(`must be at least ${show(min)}, not ${show(value)}`);
  if (value > max) throw new ValueError(`must be at most ${show(max)}, not ${show(value)}`);
  return value;
}

function parseNumber(raw: unknown, spec: KeySpec & { kind: 'number' }): number {
  const value = bounded(plainNumber(raw), spec.min, spec.max, bound => `${bound} ${spec.unit}`);
  if (spec.hasFraction !== true && !Number.isInteger(value))
    throw new ValueError(`must be a whole number of ${spec.unit}, not ${value}`);
  if (spec.isPowerOfTwo && value !== 0 && 2 ** Math.round(Math.log2(value)) !== value) {
    const lower = 2 ** Math.floor(Math.log2(value));
    throw new ValueError(`must be a power of two, not ${value}; write ${lower} or ${lower * 2}`);
  }
  return value;
}

function durationNs(raw: unknown): number {
  const text = scalarText(raw);
  const ns = parseDurationNs(text);
  if (ns !== undefined) return ns;
  const unitMissing = /^\d+(\.\d+)?$/.test(text) ? `has no unit: "${text}"` : `must be a duration, not "${text}"`;
  throw new ValueError(`${unitMissing}; write for example 500us, 10s, 15m or 7d`);
}

function parseDurationMs(raw: unknown, spec: { readonly min: number; readonly max: number }): number {
  return bounded(durationNs(raw) / 1e6, spec.min, spec.max, bound => formatDuration(bound * 1e6));
}

function parseSize(raw: unknown, spec: { readonly min: number; readonly max: number }): number {
  const text = scalarText(raw);
  const bytes = parseSizeBytes(text);
  if (bytes === undefined) {
    const unitMissing = /^\d+$/.test(text) ? `has no unit: "${text}"` : `must be a size, not "${text}"`;
    throw new ValueError(`${unitMissing}; write for example 512MiB or 2GiB`);
  }
  return bounded(bytes, spec.min, spec.max, formatSize);
}

/** Throws a ValueError. Port 0 lets the system choose one. */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]*)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3] ?? Number.NaN);
  if (match === null || host === '')
    throw new ValueError(`must be HOST:PORT, not "${text}"; write for example 127.0.0.1:7575 or [::1]:7575`);
  if (port > 65_535) throw new ValueError(`has a port above 65535: ${port}`);
  return { host, port };
}

function parseList(raw: unknown): readonly string[] {
  if (Array.isArray(raw)) return raw.map(scalarText);
  return scalarText(raw)
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== '');
}

/** A group in the file; "key=value,key=value" elsewhere, values percent-decoded, as OTEL_EXPORTER_OTLP_HEADERS is defined. */
function parsePairs(raw: unknown): Readonly<Record<string, string>> {
  if (raw !== null && typeof raw === 'object' && !Array.isArray(raw)) {
    return Object.fromEntries(Object.entries(raw).map(([key, value]) => [key, scalarText(value)]));
  }
  return Object.fromEntries(parseList(raw).map(parsePair));
}

function parsePair(pair: string): [string, string] {
  const equals = pair.indexOf('=');
  // The value is not shown: it may be a credential.
  if (equals < 1) throw new ValueError('must be KEY=VALUE pairs joined by commas');
  try {
    return [pair.slice(0, equals).trim(), decodeURIComponent(pair.slice(equals + 1).trim())];
  } catch (cause) {
    throw new ValueError(`has a broken percent escape in the value of ${pair.slice(0, equals).trim()}`, { cause });
  }
}

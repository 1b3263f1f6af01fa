/** Settings of sources: defaults, checks against a source's specs, and the shapes that they are passed in. */

import type { SettingSpec, SourceSettings } from './source.ts';

/** Nanoseconds of the units that a duration's spec may name. */
const nanoseconds = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 } as const;

/** Of a source that tells of processes. */
export const pidSetting: SettingSpec = {
  key: 'pid',
  kind: 'number',
  unit: 'process id',
  help: 'Only this process; 0 for all.',
  default: 0,
  min: 0,
  max: 2 ** 22,
};

/** Of a source whose programs walk stacks when something happens. */
export function stacksSetting(help: string): SettingSpec {
  return { key: 'stacks', kind: 'number', unit: 'a second and CPU', help, default: 2000, min: 0, max: 1e6 };
}

/**
 * The whole set of settings: what is given, else what was set before, else the default. Throws a RangeError with one sentence for
 * an unknown key or a value of the wrong type or out of bounds.
 */
export function resolveSettings(
  specs: readonly SettingSpec[],
  given: SourceSettings,
  before: SourceSettings = {},
): Record<string, number | string | readonly string[]> {
  const keys = specs.map(spec => spec.key);
  const unknown = Object.keys(given).find(key => !keys.includes(key));
  if (unknown !== undefined) {
    throw new RangeError(
      `unknown setting "${unknown}"; ${keys.length === 0 ? 'this source has none' : `known are ${keys.join(', ')}`}`,
    );
  }
  return Object.fromEntries(specs.map(spec => [spec.key, checked(spec, given[spec.key] ?? before[spec.key] ?? spec.default)]));
}

function checked(spec: SettingSpec, value: number | string | readonly string[]): number | string | readonly string[] {
  const { key, kind } = spec;
  if (kind === 'text') {
    if (typeof value !== 'string') throw new RangeError(`setting "${key}" takes a text`);
    return value;
  }
  if (kind === 'list') {
    if (!Array.isArray(value) || value.some(item => typeof item !== 'string'))
      throw new RangeError(`setting "${key}" takes a list of texts`);
    return value;
  }
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw new RangeError(`setting "${key}" takes a number of ${spec.unit}`);
  const { min = -Infinity, max = Infinity } = spec;
  if (value < min || value > max) throw new RangeError(`setting "${key}" is ${value}; it takes ${bounds(spec)} ${spec.unit}`);
  return value;
}

function bounds({ min, max }: SettingSpec): string {
  if (min === undefined) return `at most ${max}`;
  return max === undefined ? `at least ${min}` : `${min} to ${max}`;
}

/** A number setting after resolveSettings. */
export function numberSetting(settings: SourceSettings, key: string): number {
  const value = settings[key];
  if (typeof value !== 'number') throw new RangeError(`setting "${key}" takes a number`);
  return value;
}

/** A list setting after resolveSettings. */
export function listSetting(settings: SourceSettings, key: string): readonly string[] {
  const value = settings[key];
  if (!Array.isArray(value)) throw new RangeError(`setting "${key}" takes a list of texts`);
  return value;
}

/** A duration setting in nanoseconds, whatever the unit of its spec. */
export function durationNs(specs: readonly SettingSpec[], settings: SourceSettings, key: string): number {
  const unit = specs.find(spec => spec.key === key)?.unit ?? '';
  if (!(unit in nanoseconds)) throw new RangeError(`setting "${key}" is not a duration`);
  return Math.round(numberSetting(settings, key) * nanoseconds[unit as keyof typeof nanoseconds]);
}

/** Settings of sources as text in a form, and back, with the checks that their specification asks for. */

import type { SettingSpec } from '../../../agent/server/api.ts';

export type SettingValue = number | string | readonly string[];

/** A list has one entry a line. */
export function settingText(value: SettingValue): string {
  return typeof value === 'object' ? value.join('\n') : String(value);
}

export type ParsedSetting = { value: SettingValue } | { problem: string };

export function parseSetting(spec: SettingSpec, text: string): ParsedSetting {
  const trimmed = text.trim();
  if (spec.kind === 'list') {
    const entries = trimmed.split('\n').map(line => line.trim());
    return { value: entries.filter(line => line !== '') };
  }
  if (spec.kind === 'text') return { value: trimmed };
  const value = Number(trimmed);
  if (trimmed === '' || !Number.isFinite(value)) {
    // A duration may also be written with its unit, as on the command line; the server reads that.
    if (spec.kind === 'duration' && /^\d+(\.\d+)?\s*(ns|us|µs|ms|s|m|h)$/.test(trimmed)) return { value: trimmed };
    return { problem: `A number is needed${spec.unit === '' ? '' : ` (${spec.unit})`}.` };
  }
  if (spec.min !== undefined && value < spec.min)
    return { problem: `At least ${spec.min}${spec.unit === '' ? '' : ` ${spec.unit}`}.` };
  if (spec.max !== undefined && value > spec.max)
    return { problem: `At most ${spec.max}${spec.unit === '' ? '' : ` ${spec.unit}`}.` };
  return { value };
}

/** Flags of commands that read the configuration: made from its table of keys. */

import { defaultText } from '../config/help.ts';
import { type Config, loadConfig, type SourceSpec } from '../config/index.ts';
import { type ConfigKey, configEntries, flagOf, type KeySpec } from '../config/keys.ts';
import { UsageError } from './command.ts';
import type { FlagSpec, FlagSpecs } from './flags.ts';

const fileFlags = {
  config: { kind: 'text', placeholder: 'FILE', help: 'configuration file (/etc/hotspan/hotspan.yaml)' },
} as const satisfies FlagSpecs;

const setFlags = {
  set: { kind: 'texts', placeholder: 'KEY=VALUE', help: 'any key of the configuration, such as sources.cpu.enabled=false' },
} as const satisfies FlagSpecs;

function flagSpec(spec: KeySpec): FlagSpec {
  if (spec.kind === 'switch') return { kind: 'switch', help: spec.help };
  const fallback = defaultText(spec);
  return { kind: 'text', placeholder: spec.placeholder, help: fallback === '' ? spec.help : `${spec.help} (${fallback})` };
}

/** A flag for each of the keys, all by default, besides --config and --set. */
export function configFlags(keys?: readonly ConfigKey[]): FlagSpecs {
  const entries = configEntries.filter(([key]) => keys === undefined || keys.includes(key));
  return {
    ...Object.fromEntries(entries.map(([, spec]) => [flagOf(spec.name), flagSpec(spec)])),
    ...fileFlags,
    ...(keys === undefined ? setFlags : {}),
  };
}

/** Loads the configuration under the parsed flags. Throws a UsageError or a ConfigError. */
export function configFromFlags(flags: Readonly<Record<string, unknown>>, sources: readonly SourceSpec[] | undefined): Config {
  const values: Record<string, string> = {};
  for (const [, spec] of configEntries) {
    const value = flags[flagOf(spec.name)];
    if (typeof value === 'string') values[spec.name] = value;
    if (value === true) values[spec.name] = 'true';
  }
  for (const pair of (flags.set as readonly string[] | undefined) ?? []) {
    const equals = pair.indexOf('=');
    if (equals < 1)
      throw new UsageError(`--set takes KEY=VALUE, not "${pair}"; write for example --set sources.cpu.enabled=false`);
    values[pair.slice(0, equals)] = pair.slice(equals + 1);
  }
  const file = flags.config as string | undefined;
  return loadConfig({
    flags: values,
    environment: process.env,
    sources,
    isClient: sources === undefined,
    ...(file === undefined ? {} : { file }),
  });
}

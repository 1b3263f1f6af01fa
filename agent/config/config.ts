/**
 * The agent's configuration: defaults < file < environment < flags. All problems are told at once, each with its place and
 * remedy.
 */

import { existsSync, readFileSync } from 'node:fs';
import { isLoopbackAddress } from '../lib/loopback.ts';
import { didYouMean } from '../lib/suggest.ts';
import type { SettingSpec } from '../sources/source.ts';
import { type ConfigChange, diffConfig } from './diff.ts';
import { type Address, type ConfigKey, type ConfigValues, configEntries, flagOf, type KeySpec, variableOf } from './keys.ts';
import { type ConfigValue, parseConfigValue, parseSetting, parseSwitch, ValueError } from './values.ts';
import { readConfigFile } from './yaml-file.ts';

/** What is known of a source here: its name and settings, passed in as data. A SourceKit is one. */
export interface SourceSpec {
  readonly name: string;
  readonly isDefault: boolean;
  readonly settings: readonly SettingSpec[];
}

export interface SourceConfig {
  readonly isEnabled: boolean;
  /** Every setting of the source, with its default where nothing else was said. */
  readonly settings: Readonly<Record<string, number | string | readonly string[]>>;
}

export interface Config extends ConfigValues {
  readonly sources: Readonly<Record<string, SourceConfig>>;
  /** The file that was read, '' for none. */
  readonly file: string;
  /** Where each value that is no default came from, by dotted name: "hotspan.yaml:7", "HOTSPAN_LISTEN", "--listen". */
  readonly origins: Readonly<Record<string, string>>;
  /** Things that were ignored, to be logged. */
  readonly warnings: readonly string[];
}

export interface ConfigInput {
  /** Values of flags by dotted key name ("retention.age", "sources.cpu.frequencyHz"). */
  readonly flags: Readonly<Record<string, string>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** From --config; without it HOTSPAN_CONFIG or, if it is there, /etc/hotspan/hotspan.yaml is read. */
  readonly file?: string;
  /** undefined: keys under `sources` are left unchecked and unread (commands that only talk to the agent). */
  readonly sources: readonly SourceSpec[] | undefined;
  /** An unreadable default file is passed over: a client without root cannot read a file that holds a token. */
  readonly isClient?: boolean;
}

export const defaultConfigFile = '/etc/hotspan/hotspan.yaml';

/** One line per problem, each with place, cause and remedy. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

type Setter = { readonly name: string; readonly set: (raw: unknown) => void };

/** Holds values while the layers are laid over each other. */
class ConfigBuilder {
  readonly values: Record<string, ConfigValue> = {};
  readonly sources: Record<string, { isEnabled: boolean; settings: Record<string, number | string | readonly string[]> }> = {};
  readonly origins: Record<string, string> = {};
  readonly problems: string[] = [];
  readonly warnings: string[] = [];
  readonly setters = new Map<string, Setter>();
  private readonly hasSources: boolean;

  constructor(sources: readonly SourceSpec[] | undefined) {
    this.hasSources = sources !== undefined;
    for (const [key, spec] of configEntries) this.addKey(key, spec);
    for (const source of sources ?? []) this.addSource(source);
  }

  private addKey(key: ConfigKey, spec: KeySpec): void {
    this.values[key] = spec.kind === 'address' ? parseConfigValue(spec, spec.default) : spec.default;
    this.add(spec.name, raw => {
      this.values[key] = parseConfigValue(spec, raw);
    });
  }

  private addSource(source: SourceSpec): void {
    const config = {
      isEnabled: source.isDefault,
      settings: Object.fromEntries(source.settings.map(spec => [spec.key, spec.default])),
    };
    this.sources[source.name] = config;
    this.add(`sources.${source.name}.enabled`, raw => {
      config.isEnabled = parseSwitch(raw);
    });
    for (const spec of source.settings) {
      this.add(`sources.${source.name}.${spec.key}`, raw => {
        config.settings[spec.key] = parseSetting(spec, raw);
      });
    }
  }

  private add(name: string, set: (raw: unknown) => void): void {
    this.setters.set(name, { name, set });
  }

  isGroup(name: string): boolean {
    if (this.setters.has(name)) return false;
    if (name === 'sources' || name.startsWith('sources.')) return true;
    return [...this.setters.keys()].some(key => key.startsWith(`${name}.`));
  }

  /** `place` opens the message, `origin` is kept for `origins`. */
  apply(name: string, raw: unknown, place: string, origin = place): void {
    const setter = this.setters.get(name);
    if (setter === undefined) {
      if (name.startsWith('sources.') && !this.hasSources) return;
      this.problems.push(`${place}: unknown key "${name}"${this.suggestion(name)}`);
      return;
    }
    try {
      setter.set(raw);
      this.origins[name] = origin;
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      // A flag or variable names its key itself; a line of a file does not.
      this.problems.push(`${place}${/:\d+$/.test(place) ? `: ${name}` : ''} ${error.message}`);
    }
  }

  private suggestion(name: string): string {
    const near = didYouMean(name, this.setters.keys());
    if (near !== '') return near;
    const group = name.slice(0, name.lastIndexOf('.') + 1);
    const siblings = [...this.setters.keys()].filter(key => key.startsWith(group) && group !== '');
    if (siblings.length > 0) return `; known there: ${siblings.map(key => key.slice(group.length)).join(', ')}`;
    return '; "hotspan run --help" lists all keys';
  }
}

/** Reads all layers. Throws a ConfigError that tells every problem. The value is frozen through and through. */
export function loadConfig(input: ConfigInput): Config {
  const builder = new ConfigBuilder(input.sources);
  const file = applyFile(builder, input);
  applyEnvironment(builder, input.environment);
  for (const [name, value] of Object.entries(input.flags)) {
    const flag = name.startsWith('sources.') ? `--set ${name}` : `--${flagOf(name)}`;
    builder.apply(name, value, flag);
  }
  applyTokenFile(builder);
  checkTogether(builder);
  warnAbout(builder);
  if (builder.problems.length > 0) throw new ConfigError(builder.problems);
  const config: Config = deepFreeze({
    ...(builder.values as unknown as ConfigValues),
    sources: builder.sources,
    file,
    origins: builder.origins,
    warnings: builder.warnings,
  });
  inputs.set(config, input);
  return config;
}

/** What each configuration was made from, kept beside it so that it can be read again. */
const inputs = new WeakMap<Config, ConfigInput>();

/** Reads the file again, under the same environment and flags. Throws a ConfigError; the configuration in use then stays as it is. */
export function reloadConfig(before: Config): { config: Config; changes: readonly ConfigChange[] } {
  const input = inputs.get(before);
  if (input === undefined) throw new TypeError('reloadConfig takes a configuration made by loadConfig');
  const config = loadConfig(input);
  return { config, changes: diffConfig(before, config) };
}

/** Returns the path that was read, '' for none. */
function applyFile(builder: ConfigBuilder, input: ConfigInput): string {
  const named = input.file ?? (input.environment.HOTSPAN_CONFIG || undefined);
  const path = named ?? defaultConfigFile;
  if (named === undefined && !existsSync(path)) return '';
  try {
    const { entries, problems } = readConfigFile(path, name => builder.isGroup(name));
    builder.problems.push(...problems);
    for (const entry of entries) builder.apply(entry.name, entry.value, `${path}:${entry.line}`);
    return path;
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    if (named === undefined && input.isClient === true && code === 'EACCES') return '';
    const remedies: Record<string, string> = {
      ENOENT: 'there is no such file; check --config and HOTSPAN_CONFIG',
      EACCES: 'it may not be read by this user; run with sudo or change its mode',
      EISDIR: 'it is a directory; name the file in it',
    };
    builder.problems.push(`${path}: cannot read the configuration (${code}): ${remedies[code] ?? 'check the file'}`);
    return '';
  }
}

function applyEnvironment(builder: ConfigBuilder, environment: ConfigInput['environment']): void {
  for (const [, spec] of configEntries) {
    const raw = spec.otelVariable === undefined ? undefined : environment[spec.otelVariable];
    // An empty variable counts as unset, by the OpenTelemetry specification; so does one that cannot be read, with a warning.
    if (raw !== undefined && raw !== '') applyOtelVariable(builder, spec, raw);
  }
  const names = new Map([...builder.setters.keys()].map(name => [variableOf(name), name]));
  for (const [variable, raw] of Object.entries(environment)) {
    if (!variable.startsWith('HOTSPAN_') || variable === 'HOTSPAN_CONFIG' || raw === undefined || raw === '') continue;
    const name = names.get(variable);
    if (name !== undefined) builder.apply(name, raw, variable);
    // A warning, no error: Kubernetes puts HOTSPAN_SERVICE_HOST and the like into every container beside a service of that name.
    else builder.warnings.push(`unknown environment variable ${variable} is ignored${didYouMean(variable, names.keys())}`);
  }
}

function applyOtelVariable(builder: ConfigBuilder, spec: KeySpec, raw: string): void {
  const variable = spec.otelVariable!;
  // OTEL_EXPORTER_OTLP_TIMEOUT is in milliseconds without a unit.
  const value = spec.kind === 'duration' ? `${raw}ms` : raw;
  const before = builder.problems.length;
  builder.apply(spec.name, value, variable);
  builder.warnings.push(...builder.problems.splice(before).map(problem => `${problem}; the variable is ignored`));
}

function applyTokenFile(builder: ConfigBuilder): void {
  const path = builder.values.tokenFile as string;
  if (path === '' || builder.values.token !== '') return;
  const place = builder.origins['token-file'] ?? 'token-file';
  try {
    builder.apply('token', readFileSync(path, 'utf8').trim(), place, place);
  } catch (error) {
    builder.problems.push(
      `${place}: cannot read the token file ${path} (${(error as NodeJS.ErrnoException).code ?? error}); check path and mode`,
    );
  }
}

/** Keys that only make sense with others. */
function checkTogether(builder: ConfigBuilder): void {
  const { tlsCert, tlsKey, tlsClientCa } = builder.values;
  if ((tlsCert === '') !== (tlsKey === '')) {
    const [given, missing] = tlsCert === '' ? ['tls.key', 'tls.cert'] : ['tls.cert', 'tls.key'];
    builder.problems.push(`${builder.origins[given]}: ${given} is set without ${missing}; set both or neither`);
  }
  if (tlsClientCa !== '' && tlsCert === '') {
    builder.problems.push(`${builder.origins['tls.client-ca']}: tls.client-ca needs tls.cert and tls.key, which are not set`);
  }
}

/** Things that work, but that somebody should know. */
function warnAbout(builder: ConfigBuilder): void {
  const { host } = builder.values.listen as Address;
  const isLocal = host === 'localhost' || isLoopbackAddress(host);
  if (!isLocal && builder.values.token !== '' && builder.values.tlsCert === '') {
    builder.warnings.push(
      `the token travels unencrypted to ${host}; set tls.cert and tls.key, or put a TLS proxy before a loopback address`,
    );
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    for (const part of Object.values(value)) deepFreeze(part);
    Object.freeze(value);
  }
  return value;
}

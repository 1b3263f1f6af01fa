/**
 * Profiles as OTLP (profiles signal, in development: opentelemetry/proto/profiles/v1development): one resource per service and
 * container, one dictionary for all. Addresses are those of the file, so a mapping begins at 0.
 */

import { randomBytes } from 'node:crypto';
import type { SeriesInfo } from '../store/entity-filter.ts';
import type { FullProfile, FullProfileEntry } from '../store/full-profile.ts';
import type { FrameKind, FrameRow } from '../store/rows.ts';
import { profilesData } from './otlp-profiles-schema.ts';
import { agentScope, type Resources, schemaUrl } from './otlp-resource.ts';

/** profile.frame.type of the semantic conventions (1.44). Kinds that stand for no code have none. */
const frameTypes: Partial<Record<FrameKind, string>> = {
  kernel: 'kernel',
  native: 'native',
  go: 'go',
  v8js: 'v8js',
  jvm: 'jvm',
  cpython: 'cpython',
};

/** Encoded ProfilesData, which is also the body of an export request. */
export function otlpProfiles(profiles: readonly FullProfile[], resources: Resources): Buffer {
  const dictionary = new Dictionary();
  const byResource = new Map<string, { thread: SeriesInfo; profiles: object[] }>();
  for (const profile of profiles) {
    const stacks = dictionary.stacksOf(profile);
    for (const [key, entries] of entriesByResource(profile)) {
      const first = profile.threads[entries[0]?.thread ?? 0];
      if (first === undefined) continue;
      const resource = byResource.get(key) ?? { thread: first, profiles: [] };
      byResource.set(key, resource);
      resource.profiles.push(...encodedProfiles({ profile, entries, stacks, dictionary }));
    }
  }
  const resourceProfiles = [...byResource.values()].map(({ thread, profiles: own }) => ({
    resource: { attributes: resourceAttributes(resources, thread) },
    scopeProfiles: [{ scope: { name: agentScope.name, version: agentScope.version }, profiles: own, schemaUrl }],
    schemaUrl,
  }));
  const bytes = profilesData.encode({ resourceProfiles, dictionary: dictionary.tables }).finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function entriesByResource({ entries, threads }: FullProfile): Map<string, FullProfileEntry[]> {
  const grouped = new Map<string, FullProfileEntry[]>();
  for (const entry of entries) {
    const { service, container } = threads[entry.thread] as SeriesInfo;
    const key = `${service}\0${container}`;
    const own = grouped.get(key);
    if (own === undefined) grouped.set(key, [entry]);
    else own.push(entry);
  }
  return grouped;
}

function resourceAttributes(resources: Resources, { service, container }: SeriesInfo): object[] {
  return Object.entries(resources.of(service, container).attributes).map(([key, value]) => ({
    key,
    value: { stringValue: String(value) },
  }));
}

interface ProfilePart {
  readonly profile: FullProfile;
  readonly entries: readonly FullProfileEntry[];
  readonly stacks: readonly number[];
  readonly dictionary: Dictionary;
}

/** A profile has one value a sample: where samples are no fixed amount each, how many there were is a profile of its own. */
function encodedProfiles({ profile, entries, stacks, dictionary }: ProfilePart): object[] {
  const attributes = profile.threads.map(() => undefined as number[] | undefined);
  const samplesOf = (amountOf: (entry: FullProfileEntry) => number) =>
    entries.map(entry => {
      attributes[entry.thread] ??= threadAttributes(profile.threads[entry.thread] as SeriesInfo, dictionary);
      const attributeIndices = attributes[entry.thread];
      return { stackIndex: stacks[entry.stack], attributeIndices, values: [Math.round(amountOf(entry))] };
    });
  const time = {
    timeUnixNano: longOf(BigInt(Math.round(profile.fromMs)) * 1_000_000n),
    durationNano: Math.round(profile.toMs - profile.fromMs) * 1e6,
  };
  const type = dictionary.valueType(profile.type, profile.unit);
  const period = profile.period > 0 ? { periodType: type, period: Math.round(profile.period) } : {};
  const main = { sampleType: type, samples: samplesOf(({ value }) => value), ...time, ...period, profileId: randomBytes(16) };
  if (profile.period > 0 || profile.unit === 'count') return [main];
  const counts = samplesOf(({ count }) => count);
  const countType = dictionary.valueType(`${profile.type}_samples`, 'count');
  return [main, { sampleType: countType, samples: counts, ...time, profileId: randomBytes(16) }];
}

function threadAttributes({ process: command, thread, pid, tid, executable }: SeriesInfo, dictionary: Dictionary): number[] {
  const texts = Object.entries({ 'process.command': command, 'thread.name': thread, 'process.executable.path': executable });
  return [
    ...texts.filter(([, value]) => value !== '').map(([key, value]) => dictionary.attribute(key, { stringValue: value })),
    dictionary.attribute('process.pid', { intValue: pid }),
    dictionary.attribute('thread.id', { intValue: tid }),
  ];
}

/** The tables that all profiles of one message refer to. Entry 0 of each stands for "none". */
class Dictionary {
  readonly tables = {
    mappingTable: [{}] as object[],
    locationTable: [{}] as object[],
    functionTable: [{}] as object[],
    linkTable: [{}],
    stringTable: [''],
    attributeTable: [{}] as object[],
    stackTable: [{}] as object[],
  };
  private readonly indexes = new Map<string, number>();
  private readonly limits = new Map<number, bigint>();

  /** Index into the stack table for each stack of the profile. */
  stacksOf({ frames, stacks }: FullProfile): number[] {
    const locations = frames.map(frame => this.location(frame));
    return stacks.map(stack => {
      const locationIndices = stack.map(frame => locations[frame] as number);
      return locationIndices.length === 0 ? 0 : this.entry('stackTable', locationIndices.join(), () => ({ locationIndices }));
    });
  }

  valueType(type: string, unit: string): object {
    return { typeStrindex: this.text(type), unitStrindex: this.text(unit) };
  }

  attribute(key: string, value: { stringValue: string } | { intValue: number }): number {
    const identity = `${key}\0${'stringValue' in value ? value.stringValue : value.intValue}`;
    return this.entry('attributeTable', identity, () => ({ keyStrindex: this.text(key), value }));
  }

  private location({ kind, module, buildId, address, lines, isGuess }: FrameRow): number {
    const named = lines.map(({ name, file, line }) => ({ functionIndex: this.functionOf(name, file), line }));
    const type = frameTypes[kind];
    const attributeIndices = [
      ...(type === undefined ? [] : [this.attribute('profile.frame.type', { stringValue: type })]),
      ...(isGuess ? [this.attribute('hotspan.frame.is_guess', { stringValue: 'true' })] : []),
    ];
    const key = `${module}\0${buildId}\0${address}\0${named.map(line => `${line.functionIndex}:${line.line}`).join()}\0${attributeIndices}`;
    return this.entry('locationTable', key, () => ({
      mappingIndex: this.mapping(module, buildId, address),
      address: longOf(address),
      lines: named,
      attributeIndices,
    }));
  }

  private mapping(module: string, buildId: string, address: bigint): number {
    if (module === '') return 0;
    const index = this.entry('mappingTable', `${module}\0${buildId}`, () => ({
      memoryStart: 0,
      filenameStrindex: this.text(module),
      attributeIndices: buildId === '' ? [] : [this.attribute('process.executable.build_id.gnu', { stringValue: buildId })],
    }));
    if (address >= (this.limits.get(index) ?? 0n)) {
      this.limits.set(index, address + 1n);
      Object.assign(this.tables.mappingTable[index] ?? {}, { memoryLimit: longOf(address + 1n) });
    }
    return index;
  }

  private functionOf(name: string, file: string): number {
    return this.entry('functionTable', `${name}\0${file}`, () => {
      const nameStrindex = this.text(name);
      return { nameStrindex, systemNameStrindex: nameStrindex, filenameStrindex: this.text(file) };
    });
  }

  private text(value: string): number {
    return value === '' ? 0 : this.entry('stringTable', value, () => value);
  }

  private entry<K extends keyof Dictionary['tables']>(
    table: K,
    key: string,
    make: () => Dictionary['tables'][K][number],
  ): number {
    const identity = `${table}\0${key}`;
    const known = this.indexes.get(identity);
    if (known !== undefined) return known;
    const made = make();
    const rows = this.tables[table] as unknown[];
    rows.push(made);
    this.indexes.set(identity, rows.length - 1);
    return rows.length - 1;
  }
}

/** A 64-bit unsigned number in the form that protobufjs takes: it knows no bigint, and a number holds only 53 bits. */
function longOf(value: bigint): { low: number; high: number; unsigned: boolean } {
  const bits = BigInt.asUintN(64, value);
  return { low: Number(BigInt.asIntN(32, bits)), high: Number(BigInt.asIntN(32, bits >> 32n)), unsigned: true };
}

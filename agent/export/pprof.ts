/**
 * pprof (github.com/google/pprof, proto/profile.proto), gzipped: every address with its lines, mappings with build ids, threads and
 * processes as labels. Two values a sample: how many, and how much in the profile's unit.
 */

import { gzipSync } from 'node:zlib';
import { Label, Line, Location, Mapping, Function as PprofFunction, Profile, Sample, StringTable, ValueType } from 'pprof-format';
import type { SeriesInfo } from '../store/entity-filter.ts';
import type { FullProfile } from '../store/full-profile.ts';
import type { FrameRow } from '../store/rows.ts';

export function pprofFile(profile: FullProfile): Buffer {
  const strings = new StringTable();
  const text = (value: string) => strings.dedup(value);
  const places = new Places(strings, profile.frames);
  const noStack = profile.stacks.some(stack => stack.length === 0) ? [places.noStack()] : [];
  const stacks = profile.stacks.map(stack =>
    stack.length === 0 ? noStack : stack.map(frame => places.locations[frame] as number),
  );
  const labels = profile.threads.map(thread => threadLabels(thread, text));
  const encoded = new Profile({
    sampleType: [valueType(text, 'samples', 'count'), valueType(text, profile.type, profile.unit)],
    sample: profile.entries.map(
      ({ thread, stack, count, value }) =>
        new Sample({ locationId: stacks[stack] as number[], value: [count, value], label: labels[thread] as Label[] }),
    ),
    mapping: places.mappings,
    location: places.encoded,
    function: places.functions,
    stringTable: strings,
    timeNanos: BigInt(Math.round(profile.fromMs)) * 1_000_000n,
    durationNanos: BigInt(Math.round(profile.toMs - profile.fromMs)) * 1_000_000n,
    periodType: valueType(text, profile.type, profile.unit),
    period: Math.round(profile.period),
    defaultSampleType: text(profile.type),
  });
  return gzipSync(encoded.encode(), { level: 3 });
}

function valueType(text: (value: string) => number, type: string, unit: string): ValueType {
  return new ValueType({ type: text(type), unit: text(unit) });
}

function threadLabels({ service, process, thread, pid, tid }: SeriesInfo, text: (value: string) => number): Label[] {
  const texts = Object.entries({ service, process, thread }).filter(([, value]) => value !== '');
  return [
    ...texts.map(([key, value]) => new Label({ key: text(key), str: text(value) })),
    ...Object.entries({ pid, tid }).map(([key, value]) => new Label({ key: text(key), num: value })),
  ];
}

/** Mappings, functions and locations of a profile's frames. Ids begin at 1. */
class Places {
  readonly mappings: Mapping[] = [];
  readonly functions: PprofFunction[] = [];
  readonly encoded: Location[] = [];
  /** Location id per frame. */
  readonly locations: readonly number[];
  private readonly strings: StringTable;
  private readonly mappingIds = new Map<string, number>();
  private readonly functionIds = new Map<string, number>();

  constructor(strings: StringTable, frames: readonly FrameRow[]) {
    this.strings = strings;
    this.locations = frames.map(frame => this.locationOf(frame));
  }

  /** The location of samples without a stack, so that they are listed under a name and not only counted in the total. */
  noStack(): number {
    return this.locationOf({
      kind: 'unresolved',
      module: '',
      buildId: '',
      address: 0n,
      lines: [{ name: '[no stack]', file: '', line: 0 }],
      isGuess: false,
    });
  }

  private locationOf({ module, buildId, address, lines }: FrameRow): number {
    const id = this.encoded.length + 1;
    const line = lines.map(entry => new Line({ functionId: this.functionOf(entry.name, entry.file, module), line: entry.line }));
    this.encoded.push(new Location({ id, mappingId: this.mappingOf(module, buildId, address), address, line }));
    return id;
  }

  /** Addresses are those of the file, not of one process's memory, so a mapping begins at 0 and ends behind its last address. */
  private mappingOf(module: string, buildId: string, address: bigint): number {
    const key = `${module}\0${buildId}`;
    let id = this.mappingIds.get(key);
    if (id === undefined) {
      id = this.mappings.length + 1;
      this.mappingIds.set(key, id);
      const filename = this.strings.dedup(module);
      // The "has" flags keep pprof from looking for symbols on the machine that reads the file.
      const has = { hasFunctions: true, hasFilenames: true, hasLineNumbers: true, hasInlineFrames: true };
      this.mappings.push(
        new Mapping({
          id,
          memoryStart: 0,
          memoryLimit: 0n,
          fileOffset: 0,
          filename,
          buildId: this.strings.dedup(buildId),
          ...has,
        }),
      );
    }
    const mapping = this.mappings[id - 1] as Mapping;
    const limit = address < 0xffff_ffff_ffff_ffffn ? address + 1n : address;
    if (limit > BigInt(mapping.memoryLimit)) mapping.memoryLimit = limit;
    return id;
  }

  private functionOf(name: string, file: string, module: string): number {
    const key = `${name}\0${file}\0${module}`;
    let id = this.functionIds.get(key);
    if (id === undefined) {
      id = this.functions.length + 1;
      this.functionIds.set(key, id);
      const systemName = this.strings.dedup(name);
      this.functions.push(
        new PprofFunction({ id, name: systemName, systemName, filename: this.strings.dedup(file), startLine: 0 }),
      );
    }
    return id;
  }
}

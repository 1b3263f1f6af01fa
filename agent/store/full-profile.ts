/** A profile at full resolution: every address, every thread. What files for other tools are made from. */

import type Database from 'better-sqlite3';
import { compileSeriesFilter, type SeriesInfo } from './entity-filter.ts';
import { FrameReader } from './frame-reader.ts';
import type { ProfileReader } from './profile-query.ts';
import { compileWithout, isMarkedOnCpu, onCpuFrame, partsOf, unitOf } from './profile-type.ts';
import type { FrameRow, ProfileQuery, TimeKind, TimeRange } from './rows.ts';
import { mergeSamples, type SampleEntry } from './sample-blob.ts';
import type { SeriesIndex } from './series-index.ts';
import { planTimes, readMarks } from './time-plan.ts';

export interface FullProfile extends TimeRange {
  readonly type: string;
  /** Of values: "nanoseconds". */
  readonly unit: string;
  readonly total: number;
  readonly samples: number;
  /** Lost in this range, from the ledger. */
  readonly lost: number;
  /** Value of one sample, where all have the same; else 0. */
  readonly period: number;
  /** Every line of a frame has a name. */
  readonly frames: readonly FrameRow[];
  readonly threads: readonly SeriesInfo[];
  /** Indexes into `frames`, leaf first; empty for samples without a stack. */
  readonly stacks: readonly (readonly number[])[];
  /** One entry per (thread, stack). */
  readonly entries: readonly FullProfileEntry[];
}

export interface FullProfileEntry {
  /** Index into `threads`. */
  readonly thread: number;
  /** Index into `stacks`. */
  readonly stack: number;
  readonly count: number;
  readonly value: number;
}

export class FullProfileReader {
  private readonly database: Database.Database;
  private readonly profiles: ProfileReader;
  private readonly series: SeriesIndex;
  private readonly frames: FrameReader;

  constructor(database: Database.Database, profiles: ProfileReader, series: SeriesIndex) {
    this.database = database;
    this.profiles = profiles;
    this.series = series;
    this.frames = new FrameReader(database);
  }

  profile(query: ProfileQuery): FullProfile {
    const test = compileSeriesFilter(query.filter);
    this.profiles.stacks.load();
    const plan = planTimes(query, readMarks(this.database));
    const sums = partsOf(query.type).map(part => {
      const bySeries = new Map<number, Map<number, SampleEntry>>();
      this.profiles.eachRow(part, plan, test, ({ series, samples, value, data }) => {
        let own = bySeries.get(series);
        if (own === undefined) {
          own = new Map();
          bySeries.set(series, own);
        }
        mergeSamples(data, samples, value, own);
      });
      return { bySeries, isOnCpu: isMarkedOnCpu(query.type, part) };
    });
    const { type } = query;
    const { fromMs, toMs } = plan;
    return {
      fromMs,
      toMs,
      type,
      unit: unitOf(type),
      lost: this.profiles.lost(type, plan),
      ...this.collect(sums, compileWithout(query.without)),
    };
  }

  private collect(
    parts: readonly PartSums[],
    isOut: (kind: TimeKind | undefined) => boolean,
  ): Pick<FullProfile, 'total' | 'samples' | 'period' | 'frames' | 'threads' | 'stacks' | 'entries'> {
    const threads = new Numbering();
    // Twice the stack's index, and one more where the mark of CPU time stands on it.
    const stacks = new Numbering();
    const frames = new Numbering();
    const entries: FullProfileEntry[] = [];
    let total = 0;
    let samples = 0;
    for (const { bySeries, isOnCpu } of parts) {
      for (const [series, sums] of bySeries) {
        const thread = threads.of(series);
        for (const [stackId, { count, value }] of sums) {
          const index = this.profiles.stacks.indexOf(stackId);
          if (isOut(isOnCpu ? 'on-cpu' : this.profiles.stacks.timeKind(index))) continue;
          const stack = stacks.of(index * 2 + (isOnCpu ? 1 : 0));
          entries.push({ thread, stack, count, value });
          total += value;
          samples += count;
        }
      }
    }
    const period = samples === 0 ? 0 : total / samples;
    const isEven = entries.every(entry => entry.value === entry.count * period);
    const framesOf = (stack: number) => {
      const own = this.profiles.stacks.framesOf(Math.floor(stack / 2));
      return (stack % 2 === 1 ? [onCpuMark, ...own] : own).map(frame => frames.of(frame));
    };
    return {
      total,
      samples,
      period: isEven ? period : 0,
      threads: threads.keys.map(id => this.series.get(id)),
      entries,
      stacks: stacks.keys.map(framesOf),
      frames: frames.keys.map(id => (id === onCpuMark ? onCpuFrame : this.frames.frame(id))),
    };
  }
}

/** Stands for the mark among ids of frames: it has no row of its own. */
const onCpuMark = -1;

interface PartSums {
  readonly bySeries: ReadonlyMap<number, ReadonlyMap<number, SampleEntry>>;
  readonly isOnCpu: boolean;
}

/** Numbers keys from 0 in the order in which they are first asked for. */
class Numbering {
  readonly keys: number[] = [];
  private readonly numbers = new Map<number, number>();

  of(key: number): number {
    let number = this.numbers.get(key);
    if (number === undefined) {
      number = this.keys.push(key) - 1;
      this.numbers.set(key, number);
    }
    return number;
  }
}

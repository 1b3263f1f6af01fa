/** Flame graphs: sums the samples of a range by stack, and merges them into one call tree, pruned and sorted. */

import type Database from 'better-sqlite3';
import { compileSeriesFilter, type SeriesTest } from './entity-filter.ts';
import { compileWithout, isCounted, isMarkedOnCpu, partsOf, sourcesOf, unitOf } from './profile-type.ts';
import type { ProfileQuery, ProfileResult } from './rows.ts';
import { addSamples, type SampleSums } from './sample-blob.ts';
import type { SeriesIndex } from './series-index.ts';
import type { FunctionTrie, StackTrie } from './stack-trie.ts';
import { planTimes, readMarks, type TimePiece, type TimePlan } from './time-plan.ts';
import { layOutTree, type TreeColumns } from './tree-layout.ts';

export interface SampleRowRead {
  series: number;
  samples: number;
  value: number;
  data: Buffer;
}

/** A ProfileResult whose columns are still typed arrays: what JSON is written from. */
export type ProfileColumns = Omit<ProfileResult, 'parent' | 'fn' | 'self' | 'waits' | 'functions'> & TreeColumns;

export class ProfileReader {
  private readonly database: Database.Database;
  private readonly series: SeriesIndex;
  readonly stacks: StackTrie;
  private readonly selectType: Database.Statement;
  private readonly selectSecond: Database.Statement;
  private readonly selectMinute: Database.Statement;
  private readonly selectLost: Database.Statement;

  constructor(database: Database.Database, series: SeriesIndex, stacks: StackTrie) {
    this.database = database;
    this.series = series;
    this.stacks = stacks;
    const columns = 'SELECT series, samples, value, data FROM';
    this.selectType = database.prepare('SELECT id FROM profile_type WHERE name = ?').pluck();
    this.selectSecond = database.prepare(`${columns} sample_second WHERE type = ? AND time >= ? AND time < ?`);
    this.selectMinute = database.prepare(`${columns} sample_minute WHERE type = ? AND time >= ? AND time < ?`);
    this.selectLost = database
      .prepare(
        `SELECT coalesce(sum(count), 0) FROM ledger WHERE time >= ? AND time < ? AND source = ? AND stage LIKE 'lost:%'
         AND stage NOT IN ('lost:filtered', 'lost:below_min', 'lost:no_entry')`,
      )
      .pluck();
  }

  profile(query: ProfileQuery): ProfileColumns {
    const test = compileSeriesFilter(query.filter);
    this.stacks.load();
    const plan = planTimes(query, readMarks(this.database));
    // Time on the CPU is summed apart in a composed profile: it gets a mark on top, which the other parts have of their own.
    const sums = this.newSums();
    let onCpu: SampleSums | undefined;
    let samples = 0;
    for (const part of partsOf(query.type)) {
      const isOnCpu = isMarkedOnCpu(query.type, part);
      if (isOnCpu) onCpu = this.newSums();
      const into = isOnCpu && onCpu !== undefined ? onCpu : sums;
      this.eachRow(part, plan, query.filter.trim() === '' ? undefined : test, row => {
        addSamples(row.data, row.samples, row.value, into);
        samples += row.samples;
      });
    }
    const isOut = compileWithout(query.without);
    // To ask every stack is a fifth of the whole query, and most queries leave nothing out.
    const isWhole = (query.without?.length ?? 0) === 0;
    const out = this.withhold(isWhole ? undefined : sums, index => isOut(this.stacks.timeKind(index)));
    const outOnCpu = this.withhold(isWhole ? undefined : onCpu, () => isOut('on-cpu'));
    samples -= out.count + outOnCpu.count;
    const withheld = out.value + outOnCpu.value;
    const { fromMs, toMs } = plan;
    const tree = this.mergeTree(sums, onCpu, query);
    const unit = unitOf(query.type);
    const incomplete = incompleteStacks(tree, samples);
    const lost = this.lost(query.type, plan);
    return { fromMs, toMs, type: query.type, unit, samples, withheld, incomplete, lost, ...tree };
  }

  /** Takes stacks out of sums, and says what they came to. */
  private withhold(sums: SampleSums | undefined, isOut: (index: number) => boolean): { count: number; value: number } {
    const out = { count: 0, value: 0 };
    sums?.counts.forEach((count, index) => {
      if (count === 0 || !isOut(index)) return;
      out.count += count;
      out.value += sums.values[index] as number;
      sums.counts[index] = 0;
      sums.values[index] = 0;
    });
    return out;
  }

  newSums(): SampleSums {
    const { base, size } = this.stacks;
    return { base, counts: new Float64Array(size), values: new Float64Array(size) };
  }

  lost(type: string, { fromMs, toMs }: TimePlan): number {
    const lost = (source: string) => this.selectLost.get(Math.floor(fromMs / 60_000), Math.ceil(toMs / 60_000), source) as number;
    return sourcesOf(type).reduce((sum, source) => sum + lost(source), 0);
  }

  /** Calls `use` for every stored row of a type in a range that passes the filter. */
  eachRow(type: string, plan: TimePlan, test: SeriesTest | undefined, use: (row: SampleRowRead, piece: TimePiece) => void): void {
    const typeId = this.selectType.get(type) as number | undefined;
    if (typeId === undefined) return;
    const isWanted = test === undefined ? () => true : this.series.tester(test);
    for (const piece of plan.pieces) {
      const select = piece.isMinute ? this.selectMinute : this.selectSecond;
      for (const row of select.iterate(typeId, piece.from, piece.to) as IterableIterator<SampleRowRead>) {
        if (isWanted(row.series)) use(row, piece);
      }
    }
  }

  private mergeTree(
    sums: SampleSums,
    onCpu: SampleSums | undefined,
    { type, minShare }: ProfileQuery,
  ): TreeColumns & { total: number } {
    const { merged, mergedNodes, size } = this.stacks;
    // The marks are nodes of the trie too, so they are made before anything is sized by it.
    onCpu?.values.forEach((value, index) => {
      if (value !== 0) this.stacks.onCpuNode(index);
    });
    const self = new Float64Array(merged.nodes);
    const waits = partsOf(type).some(isCounted) ? new Float64Array(merged.nodes) : undefined;
    for (let index = 0; index < size; index += 1) {
      const value = sums.values[index] as number;
      if (value === 0) continue;
      const node = mergedNodes[index] as number;
      self[node] = (self[node] as number) + value;
      if (waits !== undefined) waits[node] = (waits[node] as number) + (sums.counts[index] as number);
    }
    onCpu?.values.forEach((value, index) => {
      if (value === 0) return;
      const node = this.stacks.onCpuNode(index);
      self[node] = (self[node] as number) + value;
    });
    const totals = totalsOf(merged, self);
    const total = totals[0] as number;
    const allWaits = waits === undefined ? undefined : { self: waits, totals: totalsOf(merged, waits) };
    const tree = layOutTree(this.stacks, { self, totals, waits: allWaits, threshold: minShare * total });
    return { total, ...tree };
  }
}

/** Own values of a trie's nodes with those of all below. */
function totalsOf({ parents, nodes }: FunctionTrie, self: Float64Array): Float64Array {
  const totals = self.slice();
  for (let node = nodes - 1; node > 0; node -= 1) {
    const total = totals[node] as number;
    if (total === 0) continue;
    const parent = parents[node] as number;
    totals[parent] = (totals[parent] as number) + total;
  }
  return totals;
}

/** Stacks that were cut because they broke begin with a frame of this name and the reason. */
const incompletePrefix = 'incomplete: ';

/** Samples by the reason for which their stack has no true root: their share of the values, which for one period is exact. */
function incompleteStacks(
  { parent, fn, self, functions, total }: TreeColumns & { total: number },
  samples: number,
): Record<string, number> {
  const reasonOf = functions.map(info =>
    info.name.startsWith(incompletePrefix) ? info.name.slice(incompletePrefix.length) : '',
  );
  const roots = new Uint32Array(parent.length);
  const values: Record<string, number> = {};
  for (let node = 0; node < parent.length; node += 1) {
    const above = parent[node] as number;
    const root = above < 0 ? node : (roots[above] as number);
    roots[node] = root;
    const reason = reasonOf[fn[root] as number] ?? '';
    if (reason !== '') values[reason] = (values[reason] ?? 0) + (self[node] as number);
  }
  return Object.fromEntries(Object.entries(values).map(([reason, value]) => [reason, Math.round((value / total) * samples)]));
}

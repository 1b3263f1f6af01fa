/** Rows of samples split by kind of time: what each second or minute of a thread went to. Stacks without a mark are of CPU time. */

import type Database from 'better-sqlite3';
import type { TimeKind } from './rows.ts';
import { mergeSamples, type SampleEntry } from './sample-blob.ts';
import type { StackTrie } from './stack-trie.ts';
import type { TimePlan } from './time-plan.ts';

/** The second or minute that a row is of, and the series that it belongs to. */
export interface KindRow {
  readonly atMs: number;
  readonly lengthMs: number;
  readonly series: number;
}

interface StoredRow {
  time: number;
  series: number;
  samples: number;
  value: number;
  data: Buffer;
}

export class TimeKindReader {
  private readonly stacks: StackTrie;
  private readonly selectType: Database.Statement;
  private readonly selectSecond: Database.Statement;
  private readonly selectMinute: Database.Statement;

  constructor(database: Database.Database, stacks: StackTrie) {
    this.stacks = stacks;
    const columns = 'SELECT time, series, samples, value, data FROM';
    this.selectType = database.prepare('SELECT id FROM profile_type WHERE name = ?').pluck();
    this.selectSecond = database.prepare(`${columns} sample_second WHERE type = ? AND time >= ? AND time < ?`);
    this.selectMinute = database.prepare(`${columns} sample_minute WHERE type = ? AND time >= ? AND time < ?`);
  }

  /** Calls `use` with the values of each wanted row by kind. The map is used again for the next row. */
  each(
    type: string,
    plan: TimePlan,
    isWanted: (series: number) => boolean,
    use: (row: KindRow, kinds: ReadonlyMap<TimeKind, number>) => void,
  ): void {
    const typeId = this.selectType.get(type) as number | undefined;
    if (typeId === undefined) return;
    this.stacks.load();
    const entries = new Map<number, SampleEntry>();
    const kinds = new Map<TimeKind, number>();
    for (const { isMinute, from, to } of plan.pieces) {
      const lengthMs = isMinute ? 60_000 : 1000;
      const select = isMinute ? this.selectMinute : this.selectSecond;
      for (const row of select.iterate(typeId, from, to) as IterableIterator<StoredRow>) {
        if (!isWanted(row.series)) continue;
        entries.clear();
        kinds.clear();
        mergeSamples(row.data, row.samples, row.value, entries);
        for (const [stack, { value }] of entries) {
          const kind = this.stacks.timeKind(this.stacks.indexOf(stack)) ?? 'on-cpu';
          kinds.set(kind, (kinds.get(kind) ?? 0) + value);
        }
        use({ atMs: row.time * lengthMs, lengthMs, series: row.series }, kinds);
      }
    }
  }
}

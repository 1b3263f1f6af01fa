/** Tables that give a number to a text or a tuple: modules, functions, threads, profile types, metrics, operations. */

import type Database from 'better-sqlite3';
import { GenerationMap } from '../lib/generation-map.ts';

type Value = string | number;

export interface KeyTableOptions {
  readonly table: string;
  readonly columns: readonly string[];
  /** Ids remembered in memory; others are looked up in the table's unique index. */
  readonly cacheLimit: number;
  /** The table has a column `hash` of the values, indexed in their stead. */
  readonly isHashed?: boolean;
  /** New rows held until the next commit; beyond it id() gives 0. */
  readonly pendingLimit: number;
}

/** Insert-only; ids are given out in memory by the one writer, so nothing waits for the disk. */
export class KeyTable {
  private readonly cache: GenerationMap<Value, number>;
  private pending = new Map<Value, { id: number; values: readonly Value[] }>();
  private readonly select: Database.Statement;
  private readonly insert: Database.Statement;
  private readonly pendingLimit: number;
  private readonly isHashed: boolean;
  private nextId: number;

  constructor(database: Database.Database, options: KeyTableOptions) {
    const { table, columns, cacheLimit, pendingLimit } = options;
    this.isHashed = options.isHashed ?? false;
    this.cache = new GenerationMap(cacheLimit);
    this.pendingLimit = pendingLimit;
    const stored = this.isHashed ? ['hash', ...columns] : columns;
    const equal = stored.map(column => `${column} = ?`).join(' AND ');
    this.select = database.prepare(`SELECT id FROM ${table} WHERE ${equal}`).pluck();
    this.insert = database.prepare(
      `INSERT INTO ${table} (id, ${stored.join(', ')}) VALUES (?, ${stored.map(() => '?').join(', ')})`,
    );
    this.nextId = lastId(database, table) + 1;
  }

  /** The id of the row with these values, made if there is none; 0 when too many new rows wait for a commit. */
  id(...values: readonly Value[]): number {
    const key = values.length === 1 ? (values[0] as Value) : values.join('\0');
    const known =
      this.cache.get(key) ?? this.pending.get(key)?.id ?? (this.select.get(...this.stored(key, values)) as number | undefined);
    if (known !== undefined) {
      this.cache.set(key, known);
      return known;
    }
    if (this.pending.size >= this.pendingLimit) return 0;
    const id = this.nextId++;
    this.pending.set(key, { id, values });
    return id;
  }

  write(): void {
    for (const [key, { id, values }] of this.pending) this.insert.run(id, ...this.stored(key, values));
  }

  committed(): void {
    for (const [key, { id }] of this.pending) this.cache.set(key, id);
    this.pending.clear();
  }

  private stored(key: Value, values: readonly Value[]): readonly Value[] {
    return this.isHashed ? [hashOf(String(key)), ...values] : values;
  }

  /** Forgets what is in the table, after rows were deleted from it. */
  forget(): void {
    this.cache.clear();
  }
}

/** FNV-1a over UTF-16 units, 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash | 0;
}

/** The highest id that a table ever had, where it is declared AUTOINCREMENT; else the highest that it has. 0 for none. */
export function lastId(database: Database.Database, table: string): number {
  const highest = database.prepare(`SELECT max(id) FROM ${table}`).pluck().get() as number | null;
  const ever = database.prepare('SELECT seq FROM sqlite_sequence WHERE name = ?').pluck().get(table) as number | undefined;
  return Math.max(highest ?? 0, ever ?? 0);
}

/** The writer's side of frames: finds or makes the row of a code location, and replaces its lines when a better name comes. */

import type Database from 'better-sqlite3';
import { GenerationMap } from '../lib/generation-map.ts';
import { KeyTable, lastId } from './key-table.ts';
import { type FrameKind, type FrameRow, timeKinds } from './rows.ts';
import { ByteReader, ByteWriter } from './varint.ts';

/** The index in this list is what the file holds: add at the end only. */
export const frameKinds: readonly FrameKind[] = [
  ...(['unresolved', 'kernel', 'native', 'go', 'v8js', 'jvm', 'cpython', 'rust'] as const),
  ...timeKinds,
];

const cacheLimit = 100_000;
const pendingLimit = 100_000;

/** Names of templates and closures can be absurdly long. */
const maxNameLength = 4096;

interface PendingFrame {
  readonly id: number;
  readonly module: number;
  readonly address: bigint;
  readonly kind: number;
  readonly isGuess: number;
  readonly lines: Buffer;
}

interface KnownFrame {
  readonly id: number;
  /** Kind, guess and lines as one text, to see a change by. */
  readonly content: string;
}

export class FrameTable {
  private readonly modules: KeyTable;
  private readonly files: KeyTable;
  private readonly functions: KeyTable;
  private readonly known = new GenerationMap<string, KnownFrame>(cacheLimit);
  private readonly pending = new Map<number, PendingFrame>();
  private readonly pendingKeys = new Map<string, KnownFrame>();
  private readonly select: Database.Statement;
  private readonly upsert: Database.Statement;
  private readonly tellChange: Database.Statement;
  private readonly packer = new ByteWriter();
  private nextId: number;
  /** Frames from this id on are in no commit yet. */
  private firstUnwritten: number;
  dropped = 0;

  constructor(database: Database.Database) {
    this.modules = new KeyTable(database, { table: 'module', columns: ['path', 'build_id'], cacheLimit: 20_000, pendingLimit });
    this.files = new KeyTable(database, { table: 'file', columns: ['path'], cacheLimit: 20_000, pendingLimit });
    this.functions = new KeyTable(database, {
      table: 'function',
      columns: ['name', 'file'],
      isHashed: true,
      cacheLimit,
      pendingLimit,
    });
    this.select = database.prepare('SELECT id, kind, is_guess, lines FROM frame WHERE module = ? AND address = ?');
    this.upsert = database.prepare(
      `INSERT INTO frame (id, module, address, kind, is_guess, lines) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, is_guess = excluded.is_guess, lines = excluded.lines`,
    );
    this.tellChange = database.prepare('INSERT INTO frame_change (frame) VALUES (?)');
    this.nextId = lastId(database, 'frame') + 1;
    this.firstUnwritten = this.nextId;
  }

  /** 0 when too many new frames wait for a commit (counted in `dropped`). */
  intern(row: FrameRow): number {
    const key = `${row.module}\0${row.buildId}\0${row.address}`;
    const module = this.modules.id(row.module, row.buildId);
    const lines = module === 0 ? undefined : this.packLines(row);
    if (lines === undefined || this.pending.size >= pendingLimit) {
      this.dropped += 1;
      return 0;
    }
    const address = BigInt.asIntN(64, row.address);
    const kind = Math.max(0, frameKinds.indexOf(row.kind));
    const isGuess = row.isGuess ? 1 : 0;
    const content = `${kind} ${isGuess} ${lines.toString('latin1')}`;
    const known = this.pendingKeys.get(key) ?? this.known.get(key) ?? this.lookUp(module, address);
    if (known !== undefined && known.content === content) {
      this.known.set(key, known);
      return known.id;
    }
    const id = known?.id ?? this.nextId++;
    this.pending.set(id, { id, module, address, kind, isGuess, lines });
    this.pendingKeys.set(key, { id, content });
    return id;
  }

  write(): void {
    this.modules.write();
    this.files.write();
    this.functions.write();
    for (const { id, module, address, kind, isGuess, lines } of this.pending.values()) {
      this.upsert.run(id, module, address, kind, isGuess, lines);
      // Readers have taken in what was committed before, so they must be told.
      if (id < this.firstUnwritten) this.tellChange.run(id);
    }
  }

  committed(): void {
    this.modules.committed();
    this.files.committed();
    this.functions.committed();
    this.firstUnwritten = this.nextId;
    for (const [key, known] of this.pendingKeys) this.known.set(key, known);
    this.pending.clear();
    this.pendingKeys.clear();
  }

  private packLines(row: FrameRow): Buffer | undefined {
    const packer = this.packer;
    packer.clear();
    for (const { name, file, line } of row.lines) {
      const fileId = this.files.id(file);
      const id = fileId === 0 ? 0 : this.functions.id(name.slice(0, maxNameLength), fileId);
      if (id === 0) return undefined;
      packer.varint(id);
      packer.varint(Math.max(0, Math.trunc(line)));
    }
    return packer.take();
  }

  private lookUp(module: number, address: bigint): KnownFrame | undefined {
    const row = this.select.get(module, address) as { id: number; kind: number; is_guess: number; lines: Buffer } | undefined;
    return row === undefined ? undefined : { id: row.id, content: `${row.kind} ${row.is_guess} ${row.lines.toString('latin1')}` };
  }
}

/** Function ids and lines of a frame's blob, innermost first. */
export function decodeLines(data: Uint8Array): { fn: number; line: number }[] {
  const input = new ByteReader(data);
  const lines: { fn: number; line: number }[] = [];
  while (!input.isAtEnd) lines.push({ fn: input.varint(), line: input.varint() });
  return lines;
}

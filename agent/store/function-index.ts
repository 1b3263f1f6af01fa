/** The reader's side of frames: which functions each code location stands for, with inlined calls expanded. */

import type Database from 'better-sqlite3';
import { decodeLines, frameKinds } from './frame-table.ts';
import { onCpuFrame } from './profile-type.ts';
import type { FrameKind } from './rows.ts';

/** A function is a name in a module; frames of it at other addresses are the same function. */
export interface FunctionInfo {
  readonly name: string;
  readonly module: string;
  readonly kind: FrameKind;
  /** Where it was first seen, '' and 0 where not known. */
  readonly file: string;
  readonly line: number;
  readonly isGuess: boolean;
}

interface FrameRecord {
  id: bigint;
  path: string;
  address: bigint;
  kind: bigint;
  is_guess: bigint;
  lines: Buffer;
}

/** Stand for frames that are not in the store, for samples without a stack, and for time on the CPU. */
const ownFunctions: readonly FunctionInfo[] = [
  { name: '[unknown]', module: '', kind: 'unresolved', file: '', line: 0, isGuess: false },
  { name: '[no stack]', module: '', kind: 'unresolved', file: '', line: 0, isGuess: false },
  { name: onCpuFrame.lines[0]?.name ?? '', module: '', kind: onCpuFrame.kind, file: '', line: 0, isGuess: false },
];
export const unknownFunction = 0;
export const noStackFunction = 1;
export const onCpuFunction = 2;

export class FunctionIndex {
  readonly functions: FunctionInfo[] = [...ownFunctions];
  private readonly ids = new Map(ownFunctions.map((info, id) => [keyOf(info), id]));
  /** Per frame id, the functions outermost first. */
  private readonly byFrame: (readonly number[] | undefined)[] = [];
  private readonly texts = new Map<number, { name: string; file: string }>();
  private readonly selectNew: Database.Statement;
  private readonly selectOne: Database.Statement;
  private readonly selectChanges: Database.Statement;
  private readonly selectTexts: Database.Statement;
  private lastText = 0;
  private lastFrame = 0;
  private lastChange = 0;

  constructor(database: Database.Database) {
    const frames =
      'SELECT frame.id AS id, path, address, kind, is_guess, lines FROM frame JOIN module ON module.id = frame.module';
    this.selectNew = database.prepare(`${frames} WHERE frame.id > ? ORDER BY frame.id`).safeIntegers();
    this.selectOne = database.prepare(`${frames} WHERE frame.id = ?`).safeIntegers();
    this.selectChanges = database.prepare('SELECT revision, frame FROM frame_change WHERE revision > ? ORDER BY revision');
    this.selectTexts = database.prepare(
      'SELECT function.id AS id, name, path AS file FROM function JOIN file ON file.id = function.file WHERE function.id > ? ORDER BY function.id',
    );
  }

  /** Takes in what was written since. True when a frame that was known has got other functions, so that tries must be built anew. */
  load(): boolean {
    for (const { id, name, file } of this.selectTexts.iterate(this.lastText) as IterableIterator<{
      id: number;
      name: string;
      file: string;
    }>) {
      this.texts.set(id, { name, file });
      this.lastText = id;
    }
    const before = this.lastFrame;
    for (const row of this.selectNew.iterate(before) as IterableIterator<FrameRecord>) {
      this.lastFrame = Number(row.id);
      this.byFrame[this.lastFrame] = this.functionsOf(row);
    }
    let isChanged = false;
    for (const { revision, frame } of this.selectChanges.all(this.lastChange) as { revision: number; frame: number }[]) {
      this.lastChange = revision;
      const row = this.selectOne.get(frame) as FrameRecord | undefined;
      if (frame > before || row === undefined) continue;
      const functions = this.functionsOf(row);
      isChanged ||= functions.join() !== this.byFrame[frame]?.join();
      this.byFrame[frame] = functions;
    }
    return isChanged;
  }

  /** Outermost first, at least one. */
  of(frame: number): readonly number[] {
    return this.byFrame[frame] ?? [unknownFunction];
  }

  private functionsOf(row: FrameRecord): number[] {
    const kind = frameKinds[Number(row.kind)] ?? 'unresolved';
    const isGuess = row.is_guess !== 0n;
    const lines = decodeLines(row.lines).reverse();
    if (lines.length === 0) return [this.add({ name: placeName(row), module: row.path, kind, file: '', line: 0, isGuess })];
    return lines.map(({ fn, line }) => {
      const text = this.texts.get(fn);
      return this.add({ name: text?.name || placeName(row), module: row.path, kind, file: text?.file ?? '', line, isGuess });
    });
  }

  private add(info: FunctionInfo): number {
    const key = keyOf(info);
    let id = this.ids.get(key);
    if (id === undefined) {
      id = this.functions.length;
      this.ids.set(key, id);
      this.functions.push(info);
    }
    return id;
  }
}

function keyOf({ name, module }: FunctionInfo): string {
  return `${name}\0${module}`;
}

/** "libc.so.6+0x1234": a frame without a name still says where it is. */
function placeName({ path, address }: { path: string; address: bigint }): string {
  return `${path.slice(path.lastIndexOf('/') + 1)}+0x${BigInt.asUintN(64, address).toString(16)}`;
}

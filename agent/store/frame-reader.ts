/** Single frames as they are stored, for the stack of a span and for exports that keep addresses. */

import type Database from 'better-sqlite3';
import { decodeLines, frameKinds } from './frame-table.ts';
import type { FrameRow, SpanDetail } from './rows.ts';

interface FrameRecord {
  path: string;
  build_id: string;
  address: bigint;
  kind: bigint;
  is_guess: bigint;
  lines: Buffer;
}

const unknownFrame: FrameRow = {
  kind: 'unresolved',
  module: '',
  buildId: '',
  address: 0n,
  lines: [{ name: '[unknown]', file: '', line: 0 }],
  isGuess: false,
};

export class FrameReader {
  private readonly selectFrame: Database.Statement;
  private readonly selectFunction: Database.Statement;

  constructor(database: Database.Database) {
    this.selectFrame = database
      .prepare(
        `SELECT path, build_id, address, kind, is_guess, lines FROM frame JOIN module ON module.id = frame.module WHERE frame.id = ?`,
      )
      .safeIntegers();
    this.selectFunction = database.prepare(
      'SELECT name, path AS file FROM function JOIN file ON file.id = function.file WHERE function.id = ?',
    );
  }

  frame(id: number): FrameRow {
    const record = this.selectFrame.get(id) as FrameRecord | undefined;
    if (record === undefined) return unknownFrame;
    const address = BigInt.asUintN(64, record.address);
    const place = `${record.path.slice(record.path.lastIndexOf('/') + 1)}+0x${address.toString(16)}`;
    const lines = decodeLines(record.lines).map(({ fn, line }) => {
      const text = this.selectFunction.get(fn) as { name: string; file: string } | undefined;
      return { name: text?.name || place, file: text?.file ?? '', line };
    });
    if (lines.length === 0) lines.push({ name: place, file: '', line: 0 });
    const kind = frameKinds[Number(record.kind)] ?? 'unresolved';
    return { kind, module: record.path, buildId: record.build_id, address, lines, isGuess: record.is_guess !== 0n };
  }

  /** A stack leaf first, inlined calls as entries of their own. */
  stack(frames: readonly number[]): SpanDetail['stack'] {
    return frames.flatMap(id => {
      const { kind, module, lines, isGuess } = this.frame(id);
      return lines.map(({ name, file, line }) => ({ name, module, kind, file, line, isGuess }));
    });
  }
}

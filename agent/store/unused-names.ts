/**
 * Frames and names that no stack refers to any more. They are removed when the store is opened, if stacks were dropped since the
 * last time: callers may hold ids of frames for as long as a writer lives, so not before.
 */

import type Database from 'better-sqlite3';
import { decodeLines } from './frame-table.ts';
import { readMeta } from './rollup.ts';
import { decodeStackChunk } from './stack-chunk.ts';

const metaKey = 'are_names_unused';

/** Remembers that stacks were dropped. Within the transaction that drops them. */
export function noteUnusedNames(database: Database.Database): void {
  database.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, 1)').run(metaKey);
}

export function removeUnusedNames(database: Database.Database): void {
  if (readMeta(database, metaKey) !== 1) return;
  database.transaction(() => {
    const functions = removeFrames(database, usedFrames(database));
    const remove = database.prepare('DELETE FROM function WHERE id = ?');
    for (const id of database.prepare('SELECT id FROM function').pluck().all() as number[])
      if (!functions.has(id)) remove.run(id);
    database.exec('DELETE FROM file WHERE id NOT IN (SELECT file FROM function)');
    database.exec('DELETE FROM module WHERE id NOT IN (SELECT module FROM frame)');
    database.prepare('DELETE FROM meta WHERE key = ?').run(metaKey);
  })();
}

function usedFrames(database: Database.Database): Set<number> {
  const frames = new Set<number>();
  const chunks = database.prepare('SELECT first, nodes, data FROM stack_chunk').iterate() as IterableIterator<{
    first: number;
    nodes: number;
    data: Buffer;
  }>;
  for (const { first, nodes, data } of chunks) decodeStackChunk(first, nodes, data, (_id, _parent, frame) => frames.add(frame));
  return frames;
}

/** Removes frames but those that are used, and gives the functions of these. */
function removeFrames(database: Database.Database, used: ReadonlySet<number>): Set<number> {
  const functions = new Set<number>();
  const remove = database.prepare('DELETE FROM frame WHERE id = ?');
  for (const { id, lines } of database.prepare('SELECT id, lines FROM frame').all() as { id: number; lines: Buffer }[]) {
    if (!used.has(id)) remove.run(id);
    else for (const { fn } of decodeLines(lines)) functions.add(fn);
  }
  return functions;
}

/**
 * The writer's side of the stack trie: finds or makes the node of a stack, and keeps new nodes until the commit.
 *
 * What it remembers is bounded. A node that was forgotten and comes back gets a second id: that costs a few bytes and changes no
 * result, because readers merge stacks by their functions. An index on disk would cost more for every node than this for some.
 */

import type Database from 'better-sqlite3';
import { NodeHash } from './node-hash.ts';
import { decodeStackChunk, encodeStackChunk } from './stack-chunk.ts';

/** Nodes remembered per generation; two of them take up to 12 MB. */
const maxRemembered = 360_000;

/** New nodes held while commits fail; beyond it stacks are given up. */
const maxPending = 250_000;

/** A new trie is begun once a day, or after this many nodes, so that old stacks can be dropped with the samples that used them. */
const epochSeconds = 86_400;
const epochNodes = 4_000_000;

export class StackTable {
  private young = new NodeHash();
  private old = new NodeHash();
  private nextId: number;
  /** Id of the first node that no commit holds yet. */
  private pendingFirst: number;
  private pendingParents = new Uint32Array(4096);
  private pendingFrames = new Uint32Array(4096);
  private epochFirst: number;
  private epochBeganSecond: number;
  private readonly insert: Database.Statement;
  private readonly insertEpoch: Database.Statement;
  dropped = 0;

  constructor(database: Database.Database, nowSecond: number) {
    this.insert = database.prepare('INSERT INTO stack_chunk (first, nodes, data) VALUES (?, ?, ?)');
    this.insertEpoch = database.prepare('INSERT OR REPLACE INTO stack_epoch (first, began_second) VALUES (?, ?)');
    const last = database.prepare('SELECT first, nodes FROM stack_chunk ORDER BY first DESC LIMIT 1').get() as
      | { first: number; nodes: number }
      | undefined;
    const epoch = database.prepare('SELECT first, began_second FROM stack_epoch ORDER BY first DESC LIMIT 1').get() as
      | { first: number; began_second: number }
      | undefined;
    this.nextId = Math.max(last === undefined ? 1 : last.first + last.nodes, epoch?.first ?? 1);
    this.pendingFirst = this.nextId;
    this.epochFirst = epoch?.first ?? this.nextId;
    this.epochBeganSecond = epoch?.began_second ?? nowSecond;
    if (epoch === undefined) this.insertEpoch.run(this.epochFirst, nowSecond);
    this.remember(database);
  }

  get pending(): number {
    return this.nextId - this.pendingFirst;
  }

  /** The node of a stack given root first; 0 for an empty stack, and for one that does not fit in memory (counted in `dropped`). */
  intern(frames: ArrayLike<number>): number {
    let node = 0;
    for (let i = 0; i < frames.length; i += 1) {
      const frame = frames[i] as number;
      let child = this.young.find(node, frame);
      if (child === 0) {
        child = this.old.find(node, frame);
        if (child === 0) {
          if (this.pending >= maxPending) {
            this.dropped += 1;
            return 0;
          }
          child = this.append(node, frame);
        }
        this.add(node, frame, child);
      }
      node = child;
    }
    return node;
  }

  write(): void {
    if (this.pending === 0) return;
    this.insert.run(
      this.pendingFirst,
      this.pending,
      encodeStackChunk(this.pendingFirst, this.pendingParents, this.pendingFrames, this.pending),
    );
  }

  committed(): void {
    this.pendingFirst = this.nextId;
  }

  /** Begins a new trie when the present one is old or large. Only right after a commit; ids given out before stay good. */
  turnEpoch(nowSecond: number): void {
    const isDue = nowSecond - this.epochBeganSecond >= epochSeconds || this.nextId - this.epochFirst >= epochNodes;
    if (!isDue || this.pending > 0 || this.nextId === this.epochFirst) return;
    this.insertEpoch.run(this.nextId, nowSecond);
    this.epochFirst = this.nextId;
    this.epochBeganSecond = nowSecond;
    this.young = new NodeHash();
    this.old = new NodeHash();
  }

  private append(parent: number, frame: number): number {
    const at = this.pending;
    if (at >= this.pendingParents.length) {
      this.pendingParents = doubled(this.pendingParents);
      this.pendingFrames = doubled(this.pendingFrames);
    }
    this.pendingParents[at] = parent;
    this.pendingFrames[at] = frame;
    return this.nextId++;
  }

  private add(parent: number, frame: number, id: number): void {
    this.young.add(parent, frame, id);
    if (this.young.size < maxRemembered) return;
    this.old = this.young;
    this.young = new NodeHash();
    // What is not on disk yet stays known, or a stack could be held twice in one chunk.
    for (let i = 0; i < this.pending; i += 1) {
      this.young.add(this.pendingParents[i] as number, this.pendingFrames[i] as number, this.pendingFirst + i);
    }
  }

  /** Knows the newest nodes of the present epoch again after a restart. */
  private remember(database: Database.Database): void {
    const rows = database.prepare('SELECT first, nodes, data FROM stack_chunk WHERE first >= ? ORDER BY first DESC');
    const chunks: { first: number; nodes: number; data: Buffer }[] = [];
    let nodes = 0;
    for (const row of rows.iterate(this.epochFirst) as IterableIterator<{ first: number; nodes: number; data: Buffer }>) {
      if (nodes + row.nodes > maxRemembered) break;
      nodes += row.nodes;
      chunks.push(row);
    }
    for (const chunk of chunks.reverse()) {
      decodeStackChunk(chunk.first, chunk.nodes, chunk.data, (id, parent, frame) => this.young.add(parent, frame, id));
    }
  }
}

function doubled(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const grown = new Uint32Array(array.length * 2);
  grown.set(array);
  return grown;
}

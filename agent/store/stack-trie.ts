/**
 * The reader's side of stacks: all nodes in typed arrays, and beside them the trie of functions that flame graphs are drawn from,
 * where stacks that differ only by addresses share their nodes. Both grow with what was written since the last query.
 */

import type Database from 'better-sqlite3';
import { FunctionIndex, noStackFunction, onCpuFunction } from './function-index.ts';
import { NodeHash } from './node-hash.ts';
import { type TimeKind, timeKinds } from './rows.ts';
import { decodeStackChunk } from './stack-chunk.ts';

interface Chunk {
  first: number;
  nodes: number;
  data: Buffer;
}

/** A trie of functions. Node 0 is the root; parents come before their children. */
export class FunctionTrie {
  parents = new Uint32Array(1 << 14);
  functions = new Uint32Array(1 << 14);
  nodes = 1;
  private readonly children = new NodeHash();

  child(parent: number, fn: number): number {
    const known = this.children.find(parent, fn);
    if (known !== 0) return known;
    const id = this.nodes;
    this.nodes += 1;
    if (id >= this.parents.length) {
      this.parents = grown(this.parents);
      this.functions = grown(this.functions);
    }
    this.parents[id] = parent;
    this.functions[id] = fn;
    this.children.add(parent, fn, id);
    return id;
  }
}

export class StackTrie {
  readonly functionIndex: FunctionIndex;
  merged = new FunctionTrie();
  /** Index of a stack in the arrays is its id minus this; index 0 stands for no stack and for stacks that are not there. */
  base = 0;
  /** Entries in use, index 0 included. */
  size = 1;
  /** Per stack index: index of the parent, frame id, and node of `merged`. */
  parents = new Uint32Array(1 << 14);
  frames = new Uint32Array(1 << 14);
  mergedNodes = new Uint32Array(1 << 14);
  /** Per stack index, what its time went to: place in timeKinds plus 1, 0 for stacks of code alone. */
  private kinds = new Uint8Array(1 << 14);
  private readonly selectFirst: Database.Statement;
  private readonly selectChunks: Database.Statement;

  constructor(database: Database.Database) {
    this.functionIndex = new FunctionIndex(database);
    this.selectFirst = database.prepare('SELECT first FROM stack_chunk ORDER BY first LIMIT 1').pluck();
    this.selectChunks = database.prepare('SELECT first, nodes, data FROM stack_chunk WHERE first >= ? ORDER BY first');
  }

  /** Takes in what was written since the last call; inside the transaction of a query. */
  load(): void {
    const isRenamed = this.functionIndex.load();
    const first = (this.selectFirst.get() as number | undefined) ?? this.base + 1;
    if (first - 1 !== this.base) this.forget(first - 1);
    const before = this.size;
    for (const chunk of this.selectChunks.iterate(this.base + this.size) as IterableIterator<Chunk>) this.addChunk(chunk);
    if (isRenamed) {
      this.merged = new FunctionTrie();
      this.merge(1);
    } else this.merge(before);
    this.mergedNodes[0] = this.merged.child(0, noStackFunction);
  }

  /** Frame ids of a stack by its index, leaf first. */
  framesOf(index: number): number[] {
    const frames: number[] = [];
    for (let at = index; at !== 0; at = this.parents[at] as number) frames.push(this.frames[at] as number);
    return frames;
  }

  indexOf(stackId: number): number {
    const index = stackId - this.base;
    return index > 0 && index < this.size ? index : 0;
  }

  /** The node of `merged` for time on the CPU on top of a stack; made where there is none. */
  onCpuNode(index: number): number {
    return this.merged.child(this.mergedNodes[index] as number, onCpuFunction);
  }

  /** What a stack's time went to: the kind of the mark on it, and of two marks that of the blocked side. */
  timeKind(index: number): TimeKind | undefined {
    return timeKinds[(this.kinds[index] as number) - 1];
  }

  private addChunk({ first, nodes, data }: Chunk): void {
    const end = first + nodes - this.base;
    while (end > this.parents.length) {
      this.parents = grown(this.parents);
      this.frames = grown(this.frames);
      this.mergedNodes = grown(this.mergedNodes);
      const kinds = new Uint8Array(this.parents.length);
      kinds.set(this.kinds);
      this.kinds = kinds;
    }
    decodeStackChunk(first, nodes, data, (id, parent, frame) => {
      const index = id - this.base;
      // A parent of a dropped epoch cannot be: every epoch begins at the root again.
      this.parents[index] = Math.max(0, parent - this.base);
      this.frames[index] = frame;
    });
    this.size = end;
  }

  private merge(from: number): void {
    const { merged, functionIndex } = this;
    for (let index = from; index < this.size; index += 1) {
      let node = this.parents[index] === 0 ? 0 : (this.mergedNodes[this.parents[index] as number] as number);
      let kind = this.kinds[this.parents[index] as number] as number;
      for (const fn of functionIndex.of(this.frames[index] as number)) {
        node = merged.child(node, fn);
        if (kind === 0) kind = timeKinds.indexOf(functionIndex.functions[fn]?.kind as TimeKind) + 1;
      }
      this.mergedNodes[index] = node;
      this.kinds[index] = kind;
    }
  }

  private forget(base: number): void {
    this.base = base;
    this.size = 1;
    this.merged = new FunctionTrie();
  }
}

function grown(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(array.length * 2);
  larger.set(array);
  return larger;
}

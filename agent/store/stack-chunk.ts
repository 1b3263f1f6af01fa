/**
 * Stacks as a trie: node = (parent node, frame), ids dense and rising, parent < child, 0 = no stack. Nodes are stored in chunks, a
 * row for the nodes of one commit: about 4 bytes a node, a sixth of what a table row with an index takes.
 */

import { ByteReader, ByteWriter } from './varint.ts';

/** Packs nodes first, first + 1, ... of the given parents and frames. */
export function encodeStackChunk(first: number, parents: ArrayLike<number>, frames: ArrayLike<number>, nodes: number): Buffer {
  const out = new ByteWriter(nodes * 4 + 16);
  for (let i = 0; i < nodes; i += 1) {
    const parent = parents[i] as number;
    // A new stack's nodes follow each other, so the distance to the parent is mostly 1; 0 marks a root.
    out.varint(parent === 0 ? 0 : first + i - parent);
    out.varint(frames[i] as number);
  }
  return out.take();
}

/** Calls `node` for each node in rising order of ids. Throws a RangeError for a blob that does not hold `nodes` sound nodes. */
export function decodeStackChunk(
  first: number,
  nodes: number,
  data: Uint8Array,
  node: (id: number, parent: number, frame: number) => void,
): void {
  const input = new ByteReader(data);
  for (let id = first; id < first + nodes; id += 1) {
    const distance = input.varint();
    if (distance > id) throw new RangeError(`stack ${id} has a parent ${distance} before it`);
    node(id, distance === 0 ? 0 : id - distance, input.varint());
  }
}

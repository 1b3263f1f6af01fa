/** Children of a trie: (parent, key) -> id by open addressing in typed arrays. Id 0 marks a free slot. */

const maxLoad = 0.7;

export class NodeHash {
  private parents: Uint32Array;
  private keys: Uint32Array;
  private ids: Uint32Array;
  private mask: number;
  size = 0;

  /** `slots` is a power of two. */
  constructor(slots = 1 << 14) {
    this.parents = new Uint32Array(slots);
    this.keys = new Uint32Array(slots);
    this.ids = new Uint32Array(slots);
    this.mask = slots - 1;
  }

  /** 0 where there is none. */
  find(parent: number, key: number): number {
    return this.ids[this.slot(parent, key)] as number;
  }

  add(parent: number, key: number, id: number): void {
    if (this.size >= this.ids.length * maxLoad) this.grow();
    const slot = this.slot(parent, key);
    if (this.ids[slot] === 0) this.size += 1;
    this.parents[slot] = parent;
    this.keys[slot] = key;
    this.ids[slot] = id;
  }

  private slot(parent: number, key: number): number {
    let hash = Math.imul(parent, 0x9e3779b1) ^ Math.imul(key, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = Math.imul(hash, 0xc2b2ae35) & this.mask;
    while (this.ids[slot] !== 0 && (this.parents[slot] !== parent || this.keys[slot] !== key)) slot = (slot + 1) & this.mask;
    return slot;
  }

  private grow(): void {
    const { parents, keys, ids } = this;
    const slots = ids.length * 2;
    this.parents = new Uint32Array(slots);
    this.keys = new Uint32Array(slots);
    this.ids = new Uint32Array(slots);
    this.mask = slots - 1;
    this.size = 0;
    for (let i = 0; i < ids.length; i += 1) {
      if (ids[i] !== 0) this.add(parents[i] as number, keys[i] as number, ids[i] as number);
    }
  }
}

/** Which segments may hold spans of a trace: a Bloom filter per segment of 16 bits a span, wrong for fewer than one in 1,000. */

const hashes = 5;

export class TraceBloom {
  private readonly first: number;
  private readonly second: number;

  /** Of a trace id of 16 bytes at `at`. */
  constructor(ids: Uint8Array, at = 0) {
    // Ids of one run share their first half and count up in the second, so all bytes are mixed.
    let a = 0x9747b28c;
    let b = 0x5bd1e995;
    for (let i = at; i < at + 16; i += 1) {
      a = Math.imul(a ^ (ids[i] as number), 0x01000193);
      b = Math.imul(b + (ids[i] as number), 0x85ebca6b) ^ (b >>> 13);
    }
    this.first = (a ^ (a >>> 16)) >>> 0;
    this.second = (b | 1) >>> 0;
  }

  static build(ids: Uint8Array, count: number): Buffer {
    let bits = 256;
    while (bits < count * 16) bits *= 2;
    const bloom = Buffer.alloc(bits / 8);
    for (let i = 0; i < count; i += 1) new TraceBloom(ids, i * 16).addTo(bloom);
    return bloom;
  }

  isMaybeIn(bloom: Uint8Array): boolean {
    const mask = bloom.length * 8 - 1;
    for (let i = 0; i < hashes; i += 1) {
      const bit = (this.first + Math.imul(i, this.second)) & mask;
      if (((bloom[bit >>> 3] as number) & (1 << (bit & 7))) === 0) return false;
    }
    return true;
  }

  private addTo(bloom: Uint8Array): void {
    const mask = bloom.length * 8 - 1;
    for (let i = 0; i < hashes; i += 1) {
      const bit = (this.first + Math.imul(i, this.second)) & mask;
      bloom[bit >>> 3] = (bloom[bit >>> 3] as number) | (1 << (bit & 7));
    }
  }
}

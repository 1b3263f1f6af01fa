/**
 * Sums that a source's programs keep in two maps in turn (bpf/lib/turning-sums.h). Beside what people set, the source's settings say which
 * of the two is written to, so that the other one can be read in peace.
 */

import type { NativeObject } from '../bpf/native.ts';
import type { SourceName } from '../events/index.ts';
import type { SourceSettings } from './source.ts';

/** How the names of the two maps end. */
export type MapLetter = 'a' | 'b';

const letters: readonly MapLetter[] = ['a', 'b'];

export class TurningSums {
  private readonly name: SourceName;
  private readonly encode: (values: SourceSettings, epoch: 0 | 1) => Uint8Array;
  private current: SourceSettings;
  private epoch: 0 | 1 = 0;

  constructor(name: SourceName, given: SourceSettings, encode: (values: SourceSettings, epoch: 0 | 1) => Uint8Array) {
    this.name = name;
    this.current = given;
    this.encode = encode;
  }

  /** What was set last. */
  get values(): SourceSettings {
    return this.current;
  }

  /** The value of the map `<source>_settings` from now on. */
  settingsBytes(values: SourceSettings): Uint8Array {
    this.current = values;
    return this.encode(values, this.epoch);
  }

  /**
   * One round: `read` is called for the map that rested since the round before, so that no program that began then still adds to it, and
   * from now on the programs add to that one. `isLast`: the programs are detached, and both are read.
   */
  turn(object: NativeObject, isLast: boolean, read: (letter: MapLetter) => void): void {
    const resting = this.epoch === 0 ? 1 : 0;
    read(letters[resting]!);
    if (isLast) read(letters[this.epoch]!);
    this.epoch = resting;
    object.mapUpdate(`${this.name}_settings`, Buffer.alloc(4), this.encode(this.current, resting));
  }
}

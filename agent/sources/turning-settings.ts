/**
 * The settings of a source whose programs sum into two maps in turn: beside what people set they say which of the two is written to, so
 * that the other one can be read in peace.
 */

import type { NativeObject } from '../bpf/native.ts';
import type { SourceName } from '../events/index.ts';
import type { SourceSettings } from './source.ts';

export class TurningSettings {
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
  bytes(values: SourceSettings): Uint8Array {
    this.current = values;
    return this.encode(values, this.epoch);
  }

  /** From now on the programs add to the other map. */
  turn(object: NativeObject, epoch: 0 | 1): void {
    this.epoch = epoch;
    object.mapUpdate(`${this.name}_settings`, Buffer.alloc(4), this.encode(this.current, epoch));
  }
}

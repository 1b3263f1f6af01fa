/** Reads the kernel's sums of requests once a second and makes samples of profile type `block`: time in queues and at the device. */

import type { NativeObject } from '../../bpf/native.ts';
import {
  type BlockOperation,
  type BlockProfileKey,
  blockProfileBytes,
  blockProfileKeyBytes,
  readBlockProfile,
  readBlockProfileKey,
} from '../../events/index.ts';
import type { Mark, Sink } from '../source.ts';
import type { MapLetter, TurningSums } from '../turning-sums.ts';
import { type BlockSource, blockFlags } from './block.ts';

type Where = 'queue' | 'device';

/**
 * The names of all marks: what is told of requests, never what was observed in them. A request that asks for the device's cache to be
 * flushed stands in no queue meanwhile: the device works, for it and for all others who wait for the same flush.
 */
export function blockMark(operation: BlockOperation, flags: number, where: Where): Mark {
  const by = (flags & blockFlags.writeback) === 0 ? '' : ' (writeback)';
  const place = where === 'queue' && (flags & blockFlags.flushes) !== 0 ? 'flush' : where;
  return { name: `disk ${operation}${by}: ${place}`, kind: 'disk' };
}

/** What the collector needs of the running source. */
export interface CollectorHost {
  readonly source: BlockSource;
  readonly sums: TurningSums;
}

export class BlockCollector {
  private readonly host: CollectorHost;

  constructor(host: CollectorHost) {
    this.host = host;
  }

  /** One round. `isLast`: the programs are detached, and all that is left is told. */
  collect(object: NativeObject, sink: Sink, nowNs: number, isLast = false): void {
    this.host.sums.turn(object, isLast, letter => this.read(object, letter, sink, nowNs));
    this.host.source.stacks.trim(object);
  }

  private read(object: NativeObject, letter: MapLetter, sink: Sink, nowNs: number): void {
    const { keys, values, count } = object.mapEntries(`block_profile_${letter}`, true);
    for (let i = 0; i < count; i += 1) {
      const key = readBlockProfileKey(keys, i * blockProfileKeyBytes);
      const sum = readBlockProfile(values, i * blockProfileBytes);
      this.tell(sink, key, { value: sum.queueNs, count: 0, where: 'queue', nowNs });
      // A request is counted once, where it was answered.
      this.tell(sink, key, { value: sum.deviceNs, count: sum.count, where: 'device', nowNs });
    }
  }

  private tell(
    sink: Sink,
    { stack, pid, tid, comm, operation, flags }: BlockProfileKey,
    { value, count, where, nowNs }: { value: number; count: number; where: Where; nowNs: number },
  ): void {
    if (value === 0 && count === 0) return;
    const { stacks } = this.host.source;
    sink.sample({
      profileType: 'block',
      timeNs: nowNs,
      pid,
      tid,
      comm,
      cgroupId: 0n,
      value,
      count,
      stack: stacks.shown(stacks.get(stack, nowNs)),
      mark: blockMark(operation, flags, where),
    });
  }
}

/**
 * Reads the kernel's sums once a second and makes profile samples of them: `mapped` and `unmapped` (bytes of address space), `go-heap`
 * (bytes that Go programs allocated, estimated from what their runtimes sampled) and `malloc` (bytes asked for).
 */

import type { NativeObject } from '../../bpf/native.ts';
import { memSumBytes, memSumKeyBytes, memWhat, readMemSum, readMemSumKey } from '../../events/index.ts';
import type { KnownStacks } from '../known-stacks.ts';
import type { Mark, Sink } from '../source.ts';
import type { MapLetter, TurningSums } from '../turning-sums.ts';
import { defaultRateBytes, samplesFor } from './go-programs.ts';

interface Meaning {
  readonly profileType: string;
  readonly mark?: Mark;
}

function marked(profileType: string, name: string): Meaning {
  return { profileType, mark: { name, kind: 'waiting' } };
}

const meanings: Readonly<Record<number, Meaning>> = {
  [memWhat.mmap_anonymous]: marked('mapped', 'mmap: anonymous'),
  [memWhat.mmap_file]: marked('mapped', 'mmap: file'),
  [memWhat.mmap_shared]: marked('mapped', 'mmap: shared'),
  [memWhat.brk]: marked('mapped', 'brk: heap grows'),
  [memWhat.mremap]: marked('mapped', 'mremap: grows'),
  [memWhat.munmap]: marked('unmapped', 'munmap'),
  [memWhat.brk_less]: marked('unmapped', 'brk: heap shrinks'),
  [memWhat.mremap_less]: marked('unmapped', 'mremap: shrinks'),
  [memWhat.go]: { profileType: 'go-heap' },
  [memWhat.malloc]: { profileType: 'malloc' },
};

/** What the collector needs of the running source. */
export interface CollectorHost {
  readonly stacks: KnownStacks;
  readonly sums: TurningSums;
  /** Bytes for which one sample of a Go program's runtime stands. */
  rateOf(pid: number): number | undefined;
}

export class MemCollector {
  private readonly host: CollectorHost;
  /** Of processes whose rate was read, for what comes after their end. */
  private readonly rates = new Map<number, number>();

  constructor(host: CollectorHost) {
    this.host = host;
  }

  /** One round. `isLast`: the programs are detached, and all that is left is told. */
  collect(object: NativeObject, sink: Sink, nowNs: number, isLast = false): void {
    this.host.sums.turn(object, isLast, letter => this.readSums(object, letter, sink, nowNs));
    this.host.stacks.trim(object);
  }

  private readSums(object: NativeObject, letter: MapLetter, sink: Sink, nowNs: number): void {
    const { keys, values, count } = object.mapEntries(`mem_sums_${letter}`, true);
    const rates = new Map<number, number>();
    for (let i = 0; i < count; i += 1) {
      const { stack, pid, what, sizeBytes } = readMemSumKey(keys, i * memSumKeyBytes);
      const { bytes, calls, comm } = readMemSum(values, i * memSumBytes);
      const meaning = meanings[what];
      if (meaning === undefined) continue;
      const weight = what === memWhat.go ? samplesFor(sizeBytes, this.rateNow(pid, rates)) : 1;
      sink.sample({
        ...meaning,
        value: Math.round(bytes * weight),
        count: Math.round(calls * weight),
        timeNs: nowNs,
        pid,
        tid: pid,
        comm,
        cgroupId: 0n,
        stack: this.host.stacks.shown(this.host.stacks.get(stack, nowNs)),
      });
    }
  }

  /** Read once a round and process: a program may change it at any time, though most do so at their start. */
  private rateNow(pid: number, rates: Map<number, number>): number {
    let rate = rates.get(pid);
    if (rate !== undefined) return rate;
    const read = this.host.rateOf(pid);
    rate = read !== undefined && read > 0 ? read : (this.rates.get(pid) ?? defaultRateBytes);
    rates.set(pid, rate);
    if (this.rates.size >= 4096) this.rates.clear();
    this.rates.set(pid, rate);
    return rate;
  }
}

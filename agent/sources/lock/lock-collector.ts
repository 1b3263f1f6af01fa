/**
 * Reads the kernel's sums once a second and makes profile samples of them: `lock` (where threads waited, for which lock, and on top who
 * let go of it) and `lockhold` (for how long threads that had waited for a lock kept it from others, by where they let go).
 */

import type { NativeObject } from '../../bpf/native.ts';
import {
  type LockSumKey,
  lockEnding,
  lockHoldKeyBytes,
  lockObject,
  lockSumBytes,
  lockSumKeyBytes,
  lockWaitBytes,
  readLockHoldKey,
  readLockSum,
  readLockSumKey,
  readLockWait,
} from '../../events/index.ts';
import type { Mark, Sample, Sink } from '../source.ts';
import type { MapLetter, TurningSums } from '../turning-sums.ts';
import type { LockSource } from './lock.ts';
import type { LockNames } from './lock-names.ts';
import { OpenWaits } from './open-waits.ts';

/** LOCK_FLAG_* of bpf/lock/lock.h. */
const flagOwnerWoke = 1;
const flagOtherOwner = 2;
const flagWakerInterrupt = 4;

/** Who ended the wait, as far as the lock tells. */
const releases = {
  owner: { name: 'let go by its owner', kind: 'lock' },
  laterOwner: { name: 'let go by a later owner', kind: 'lock' },
  presumed: { name: 'let go by its presumed owner', kind: 'lock' },
  woken: { name: 'woken by', kind: 'waiting' },
} as const satisfies Record<string, Mark>;

/** Threads whose names are kept: those that waited. */
const maxThreads = 20_000;

/** What the collector needs of the running source. */
export interface CollectorHost {
  readonly source: LockSource;
  readonly names: LockNames;
  readonly sums: TurningSums;
}

interface Told {
  readonly ns: number;
  readonly count: number;
  readonly nowNs: number;
}

export class LockCollector {
  private readonly host: CollectorHost;
  private readonly open = new OpenWaits();
  private readonly comms = new Map<number, string>();

  constructor(host: CollectorHost) {
    this.host = host;
  }

  /** One round. `isLast`: the programs are detached, and all that is left is told. */
  collect(object: NativeObject, sink: Sink, nowNs: number, isLast = false): void {
    this.open.begin();
    this.readOpen(object, sink, nowNs);
    this.host.sums.turn(object, isLast, letter => this.readSums(object, letter, sink, nowNs));
    this.open.finish();
    this.host.source.stacks.trim(object);
  }

  private readOpen(object: NativeObject, sink: Sink, nowNs: number): void {
    const { keys, values, count } = object.mapEntries('lock_waits', false);
    for (let i = 0; i < count; i += 1) {
      const tid = keys.readUInt32LE(i * 4);
      const { address, stack, pid, object: kind, sinceNs } = readLockWait(values, i * lockWaitBytes);
      const ns = this.open.grow({ tid, address, stack }, sinceNs, nowNs);
      if (ns === 0) continue;
      const key = { address, stack, wakerStack: 0n, pid, tid, wakerPid: 0, wakerTid: 0, object: kind, ending: 0, flags: 0 };
      this.tellWait(sink, key, { ns, count: 0, nowNs });
    }
  }

  private readSums(object: NativeObject, letter: MapLetter, sink: Sink, nowNs: number): void {
    const entries = object.mapEntries(`lock_sums_${letter}`, true);
    const sums = Array.from({ length: entries.count }, (_, i) => ({
      key: readLockSumKey(entries.keys, i * lockSumKeyBytes),
      ...readLockSum(entries.values, i * lockSumBytes),
    }));
    // All names first: who let go may be among those that wait.
    for (const { key, comm } of sums) this.remember(key.tid, comm);
    for (const { key, totalNs, count } of sums) {
      this.tellWait(sink, key, { ns: this.open.close(key, totalNs), count, nowNs });
    }
    const holds = object.mapEntries(`lock_holds_${letter}`, true);
    for (let i = 0; i < holds.count; i += 1) {
      const { address, stack, pid, tid } = readLockHoldKey(holds.keys, i * lockHoldKeyBytes);
      const { totalNs, count, comm } = readLockSum(holds.values, i * lockSumBytes);
      this.remember(tid, comm);
      const mark = this.markOf(pid, address, lockObject.mutex);
      sink.sample(this.sampleOf('lockhold', { pid, tid, stack }, { ns: totalNs, count, nowNs }, mark));
    }
  }

  private remember(tid: number, comm: string): void {
    if (this.comms.size >= maxThreads) this.comms.clear();
    this.comms.set(tid, comm);
  }

  private tellWait(sink: Sink, key: LockSumKey, told: Told): void {
    const sample = this.sampleOf('lock', key, told, this.markOf(key.pid, key.address, key.object));
    const isWoken = key.ending === lockEnding.woken && key.wakerTid !== 0 && (key.flags & flagWakerInterrupt) === 0;
    if (!isWoken) {
      sink.sample(sample);
      return;
    }
    const { stacks } = this.host.source;
    const stack = stacks.shown(stacks.get(key.wakerStack, told.nowNs));
    const name = this.comms.get(key.wakerTid) ?? 'a thread that never waited';
    sink.sample({ ...sample, waker: { pid: key.wakerPid, name, stack, mark: releaseOf(key) } });
  }

  private markOf(pid: number, address: bigint, object: number): Mark {
    const isCondition = object === lockObject.condition;
    const name = `${isCondition ? 'condition' : 'lock'} ${this.host.names.of(pid, address)}`;
    return { name, kind: isCondition ? 'idle' : 'lock', isObserved: true };
  }

  private sampleOf(
    profileType: string,
    { pid, tid, stack }: Pick<LockSumKey, 'pid' | 'tid' | 'stack'>,
    { ns, count, nowNs }: Told,
    mark: Mark,
  ): Sample {
    const { stacks } = this.host.source;
    return {
      profileType,
      timeNs: nowNs,
      pid,
      tid,
      comm: this.comms.get(tid) ?? '',
      cgroupId: 0n,
      value: ns,
      count,
      stack: stacks.shown(stacks.get(stack, nowNs)),
      mark,
    };
  }
}

function releaseOf({ object, flags }: LockSumKey): Mark {
  if (object === lockObject.condition) return releases.woken;
  if ((flags & flagOwnerWoke) !== 0) return releases.owner;
  // What lies beside the word is an owner's number only in mutexes of glibc, so that it proves something only where it fits.
  return (flags & flagOtherOwner) !== 0 && object === lockObject.pi ? releases.laterOwner : releases.presumed;
}

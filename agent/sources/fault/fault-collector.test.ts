/** What sums of faults and pages become, and which of the two maps is read. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NativeObject } from '../../bpf/native.ts';
import { faultClass, faultMember, faultReason, faultWhat, writeFaultSumKey } from '../../events/index.ts';
import { KnownStacks } from '../known-stacks.ts';
import type { Sample, Sink } from '../source.ts';
import { TurningSums } from '../turning-sums.ts';
import { FaultCollector, markOf, measureOf } from './fault-collector.ts';

const key = { stack: 0n, pid: 7, what: faultWhat.minor, detail: faultClass.heap, reason: 0 };

test('a sum of pages is growth or release in bytes, a sum of faults is their number, and nothing is nothing', () => {
  assert.deepEqual(measureOf(faultWhat.resident, 3), { profileType: 'rss-growth', value: 12288 });
  assert.deepEqual(measureOf(faultWhat.resident, -2), { profileType: 'rss-released', value: 8192 });
  assert.equal(measureOf(faultWhat.resident, 0), undefined);
  assert.deepEqual(measureOf(faultWhat.major, 5), { profileType: 'faults', value: 5, count: 5 });
  assert.equal(measureOf(faultWhat.minor, 0), undefined);
});

test('every class, member and reason has a name of its own', () => {
  const faults = Object.values(faultClass).flatMap(detail =>
    [faultWhat.minor, faultWhat.major].map(what => markOf({ ...key, what, detail }).name),
  );
  const members = [faultMember.file, faultMember.anonymous, faultMember.shared];
  const pages = members.flatMap(detail =>
    Object.values(faultReason).map(reason => markOf({ what: faultWhat.resident, detail, reason }).name),
  );
  assert.equal(new Set(faults).size, faults.length);
  assert.equal(new Set(pages).size, pages.length);
  assert.ok(![...faults, ...pages].some(name => name.includes('other memory')));
});

/** The two maps of sums as the kernel has them, and which one it adds to. */
class Sums {
  readonly maps: Record<string, Buffer[]> = { fault_sums_a: [], fault_sums_b: [], fault_mms: [] };
  epoch: 0 | 1 = 0;

  add(value: bigint): void {
    const sum = Buffer.alloc(24);
    sum.writeBigInt64LE(value);
    sum.write('worker', 8);
    this.maps[this.epoch === 0 ? 'fault_sums_a' : 'fault_sums_b']!.push(sum);
  }

  readonly object = {
    mapEntries: (map: string) => {
      const values = this.maps[map]!;
      this.maps[map] = [];
      const keys = values.map(() => writeFaultSumKey({ ...key, what: faultWhat.resident, detail: faultMember.anonymous }));
      return { keys: Buffer.concat(keys), values: Buffer.concat(values), count: values.length };
    },
    mapUpdate: (_map: string, _key: Uint8Array, [epoch]: Uint8Array) => {
      this.epoch = epoch === 0 ? 0 : 1;
    },
    mapDelete: () => true,
  } as unknown as NativeObject;
}

test('each round reads the map that rested, and the last one both', () => {
  const sums = new Sums();
  const samples: Sample[] = [];
  const sink = { sample: (sample: Sample) => void samples.push(sample) } as unknown as Sink;
  const collector = new FaultCollector({
    stacks: new KnownStacks({ want: () => new Uint32Array(0), wantUser: () => new Uint32Array(0), of: () => [] }),
    sums: new TurningSums('fault', {}, (_values, epoch) => Uint8Array.of(epoch)),
    isAlive: () => true,
  });
  sums.add(1n);
  collector.collect(sums.object, sink, 1);
  assert.equal(samples.length, 0, 'programs may still be adding to it');
  sums.add(-2n);
  collector.collect(sums.object, sink, 2);
  assert.deepEqual(
    samples.map(({ profileType, value, comm, pid }) => [profileType, value, comm, pid]),
    [['rss-growth', 4096, 'worker', 7]],
  );
  sums.add(3n);
  collector.collect(sums.object, sink, 3, true);
  assert.deepEqual(
    samples.slice(1).map(({ profileType, value }) => [profileType, value]),
    [
      ['rss-released', 8192],
      ['rss-growth', 12288],
    ],
  );
});

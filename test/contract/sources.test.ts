/** What every source keeps to, whatever the bytes that reach it: refuse what is malformed, never throw, hold no more than it may. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { decoders, type EventOf, type SourceName, sourceNames } from '../../agent/events/index.ts';
import { BlockSource } from '../../agent/sources/block/block.ts';
import { CpuSource } from '../../agent/sources/cpu/cpu.ts';
import { ExecSource } from '../../agent/sources/exec/exec.ts';
import { FaultSource } from '../../agent/sources/fault/fault.ts';
import { FileSource } from '../../agent/sources/file/file.ts';
import { FuncSource } from '../../agent/sources/func/func.ts';
import { kits } from '../../agent/sources/index.ts';
import { LockSource } from '../../agent/sources/lock/lock.ts';
import { MemSource } from '../../agent/sources/mem/mem.ts';
import { SchedSource } from '../../agent/sources/sched/sched.ts';
import { resolveSettings } from '../../agent/sources/settings.ts';
import type { ProcessExit, ProcessStart, Sample, Sink, Source, Span } from '../../agent/sources/source.ts';
import { TcpSource } from '../../agent/sources/tcp/tcp.ts';
import { type EventShape, randomBytes, randomNumbers, randomRecord, shapesOf } from './random-records.ts';

/** A source of each kind as its kit makes it, without the kernel. */
const makers = {
  block: () => new BlockSource({ want: () => new Uint32Array(0), wantUser: () => new Uint32Array(0), of: () => [] }),
  cpu: () => new CpuSource(99),
  exec: () => new ExecSource({ ofProcess: () => '', ofImage: () => '' }),
  fault: () => new FaultSource({ want: () => new Uint32Array(0), wantUser: () => new Uint32Array(0), of: () => [] }),
  file: () => new FileSource([]),
  func: () => new FuncSource([]),
  mem: () =>
    new MemSource(
      { want: () => new Uint32Array(0), wantUser: () => new Uint32Array(0), of: () => [] },
      { endMalloc: () => {}, execed: () => {} },
    ),
  lock: () => new LockSource({ want: () => new Uint32Array(0), wantUser: () => new Uint32Array(0), of: () => [] }),
  sched: () => new SchedSource({ want: () => new Uint32Array(0), wantUser: () => new Uint32Array(0), of: () => [] }),
  tcp: () => new TcpSource({ want: () => new Uint32Array(0), wantUser: () => new Uint32Array(0), of: () => [] }),
} as const satisfies { readonly [N in SourceName]: () => Source<N> };

/** Their events say what the kernel's sums refer to: they are handed on with those, by the collector. */
const keptForSums: ReadonlySet<SourceName> = new Set(['block', 'fault', 'lock', 'mem', 'sched', 'tcp']);

type AnyEvent = EventOf[SourceName];

function decode(source: SourceName, data: Buffer, offset = 0, length = data.length - offset): AnyEvent | undefined {
  return decoders[source](data, offset, length);
}

function make(source: SourceName): Source {
  return makers[source]() as unknown as Source;
}

/** Every value of an event is of a type that the pipeline can take; 64-bit counters may be anything up to 2^64. */
function assertPlain(value: unknown, path: string): void {
  if (typeof value === 'number') assert.ok(Number.isFinite(value), path);
  else if (Array.isArray(value)) for (const [i, item] of value.entries()) assertPlain(item, `${path}[${i}]`);
  else if (value instanceof Uint8Array) assert.ok(!/(Stack|kernel|user|\])$/.test(path) || value.length % 8 === 0, path);
  else if (typeof value === 'object' && value !== null)
    for (const [key, inner] of Object.entries(value)) assertPlain(inner, `${path}.${key}`);
  else assert.ok(['string', 'bigint', 'boolean'].includes(typeof value), `${path} is ${typeof value}`);
}

/** Checks what a source hands over, and counts it. */
class CheckingSink implements Sink {
  things = 0;
  drops = 0;

  sample(sample: Sample): void {
    this.take(sample);
    assert.ok(sample.profileType !== '' && sample.value >= 0);
  }

  span(span: Span): void {
    const { stack, ...rest } = span;
    this.take(rest);
    if (stack !== undefined) assertPlain([stack.kernel, stack.user], 'stack');
    assert.ok(span.name !== '' && span.durationNs >= 0);
  }

  processStarted(process: ProcessStart): void {
    this.take(process);
  }

  processExited(exit: ProcessExit): void {
    this.take(exit);
  }

  drop(reason: string, count: number): void {
    assert.ok(reason !== '' && count > 0);
    this.drops += count;
  }

  private take(thing: object): void {
    assertPlain(thing, 'thing');
    this.things += 1;
  }
}

function collectGarbage(): void {
  setFlagsFromString('--expose_gc');
  runInNewContext('gc')();
}

for (const source of sourceNames) {
  const shapes = (): Promise<EventShape[]> => shapesOf(source);

  test(`${source}: records are taken whole or not at all`, async () => {
    const random = randomNumbers(1);
    for (const shape of await shapes()) {
      for (let round = 0; round < 50; round += 1) {
        const record = randomRecord(random, shape);
        const event = decode(source, record);
        assert.ok(event !== undefined, `a valid ${shape.layout.structName} of ${record.length} bytes`);
        assertPlain(event, shape.layout.structName);
        for (let length = 0; length < record.length; length += 1)
          assert.equal(decode(source, record, 0, length), undefined, `${length} bytes of it`);
        assert.deepEqual(decode(source, Buffer.concat([record, Buffer.alloc(7, 0xff)])), event, 'padding of the perf buffer');
        assert.equal(decode(source, Buffer.concat([record, Buffer.alloc(8)])), undefined, 'more than padding');
        const shifted = Buffer.concat([randomBytes(random, 3), record, randomBytes(random, 5)]);
        assert.deepEqual(decode(source, shifted, 3, record.length), event, 'at any offset');
        assert.equal(decode(source, record, 1, record.length), undefined, 'beyond the end of the data');
      }
    }
  });

  test(`${source}: counts and sizes that lie, and unknown kinds, are malformed`, async () => {
    const random = randomNumbers(2);
    for (const shape of await shapes()) {
      for (let round = 0; round < 200; round += 1) {
        const record = randomRecord(random, shape);
        for (const { count } of shape.layout.parts) {
          const lying = Buffer.from(record);
          const value = lying.readUInt16LE(count.offset);
          lying.writeUInt16LE((value + 1 + (random() % 0xfffe)) & 0xffff, count.offset);
          assert.equal(decode(source, lying), undefined);
        }
        const resized = Buffer.from(record);
        resized.writeUInt32LE((record.length + 1 + (random() % 0xfffffffe)) >>> 0, 12);
        if (resized.readUInt32LE(12) !== record.length) assert.equal(decode(source, resized), undefined);
        const unknown = Buffer.from(record);
        unknown.writeUInt16LE(1000 + (random() % 60_000), 8);
        assert.equal(decode(source, unknown), undefined);
      }
    }
  });

  test(`${source}: random bytes neither throw nor make events of wrong types`, async () => {
    const random = randomNumbers(3);
    const kinds = (await shapes()).map(shape => shape.kind);
    for (let round = 0; round < 20_000; round += 1) {
      const data = randomBytes(random, random() % 400);
      if (data.length >= 24 && round % 2 === 0) {
        // With the start of a header that holds, more of the decoder is reached.
        data.writeUInt16LE(kinds[random() % kinds.length]!, 8);
        data.writeUInt32LE(data.length, 12);
      }
      const event = decode(source, data);
      if (event !== undefined) assertPlain(event, 'event');
    }
  });

  test(`${source}: halves in any order, twice or never, are assembled without a throw`, async () => {
    const random = randomNumbers(4);
    const all = await shapes();
    const assembler = make(source);
    const sink = new CheckingSink();
    for (let round = 0; round < 5000; round += 1) {
      const record = randomRecord(random, all[random() % all.length]!);
      // Few processes and times, so that records do meet.
      record.writeBigUInt64LE(BigInt(1e12 + (random() % 1000) * 1e6), 0);
      record.writeUInt32LE(random() % 16, 16);
      const event = decode(source, record);
      assert.ok(event !== undefined);
      const before = sink.things + sink.drops;
      for (let times = random() % 2; times >= 0; times -= 1) assembler.assemble(event as never, sink);
      if (!keptForSums.has(source)) assert.ok(sink.things + sink.drops > before, 'each event is handed on or counted as dropped');
    }
    assembler.expire?.(1e12 + 3600e9, sink);
  });

  test(`${source}: what never ends does not pile up`, async () => {
    const random = randomNumbers(5);
    const shape = (await shapes())[0]!;
    const assembler = make(source);
    const sink = new CheckingSink();
    const record = randomRecord(random, shape);
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    for (let round = 0; round < 200_000; round += 1) {
      record.writeBigUInt64LE(BigInt(1e12 + round * 1e6), 0);
      record.writeUInt32LE(round, 16);
      record.writeUInt32LE(round, 20);
      assembler.assemble(decode(source, record) as never, sink);
    }
    collectGarbage();
    const grown = process.memoryUsage().heapUsed - before;
    assert.ok(grown < 64 * 2 ** 20, `200,000 processes left ${(grown / 2 ** 20).toFixed(0)} MiB behind`);
  });

  test(`${source}: its kit describes it, and its settings have defaults within their bounds`, () => {
    const kit = kits[source];
    assert.equal(kit.name, source);
    assert.ok(kit.title.length > 10 && !kit.title.endsWith('.'));
    assert.deepEqual(
      Object.keys(resolveSettings(kit.settings, {})),
      kit.settings.map(({ key }) => key),
    );
    for (const spec of kit.settings) assert.ok(spec.help.length > 10, `${spec.key} says what it does`);
    assert.throws(() => resolveSettings(kit.settings, { 'no such setting': 1 }), RangeError);
  });
}

/** Objects of the addon on this kernel: opening, loading, each way to attach with exact counts, maps, and errors with their fields. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadAddon } from '../../agent/bpf/addon.ts';
import { BpfError } from '../../agent/bpf/errors.ts';
import type { AttachSpec, NativeObject } from '../../agent/bpf/native.ts';
import {
  buildProbe,
  buildTarget,
  counters,
  loadProbe,
  makeEvents,
  probePath,
  root,
  sumOfCpus,
  toolEnvironment,
} from './probe.ts';

const addon = loadAddon();
const features = addon.probeFeatures();
const isEmulated = readFileSync('/proc/cpuinfo', 'utf8').includes('QEMU TCG');

before(buildProbe);

/** Runs `use` with a loaded probe that writes no records, and closes it whatever happens. */
async function withProbe(use: (object: NativeObject) => void | Promise<void>): Promise<void> {
  const object = loadProbe(addon, { recordBytes: 0 });
  try {
    await use(object);
  } finally {
    object.close();
  }
}

function u32(value: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(value);
  return key;
}

function u64(value: number): Buffer {
  const key = Buffer.alloc(8);
  key.writeBigUInt64LE(BigInt(value));
  return key;
}

function refusal(act: () => unknown): BpfError {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof BpfError, `a BpfError is thrown, not ${String(error)}`);
    return error;
  }
  throw new assert.AssertionError({ message: 'nothing was thrown' });
}

describe('opening and loading', () => {
  it('lists programs and maps of the object', () => {
    const object = addon.openObject(probePath);
    const raw = object.programs.find(program => program.name === 'probe_raw');
    assert.equal(raw?.section, 'raw_tracepoint/sys_enter');
    const hash = object.maps.find(map => map.name === 'probe_hash');
    assert.deepEqual(hash, { name: 'probe_hash', type: 1, keySizeBytes: 8, valueSizeBytes: 8, maxEntries: 10_000 });
    object.setMaxEntries('probe_hash', 17);
    assert.equal(object.maps.find(map => map.name === 'probe_hash')?.maxEntries, 17);
    object.close();
    assert.deepEqual(object.programs, []);
  });

  it('says what is wrong with a file that is missing, is no ELF, or lies about its sizes', () => {
    assert.deepEqual(
      [refusal(() => addon.openObject('/nonexistent.o'))].map(error => [error.operation, error.object, error.errno, error.code]),
      [['open', '/nonexistent.o', 2, 'ENOENT']],
    );
    assert.equal(refusal(() => addon.openObject('/etc/passwd')).code, 'ELIBBPF');
    const lying = readFileSync(probePath);
    // e_shoff: section headers far behind the end of the file.
    lying.writeBigUInt64LE(1n << 40n, 40);
    const path = `${root}.build/test/lying.bpf.o`;
    writeFileSync(path, lying);
    assert.match(refusal(() => addon.openObject(path)).message, /^open .*lying\.bpf\.o: /);
  });

  it('sets constants of every size, and refuses those that do not fit', () => {
    const object = addon.openObject(probePath);
    object.setConstant('is_emitting', 255);
    object.setConstant('target_pid', -1);
    object.setConstant('record_bytes', 0xffff_ffff_ffff_ffffn);
    assert.equal(refusal(() => object.setConstant('is_emitting', 256)).code, 'ERANGE');
    assert.equal(refusal(() => object.setConstant('is_emitting', -129)).code, 'ERANGE');
    assert.equal(refusal(() => object.setConstant('record_bytes', 1n << 64n)).code, 'EINVAL');
    assert.equal(refusal(() => object.setConstant('target_pid', 1.5)).code, 'EINVAL');
    assert.equal(refusal(() => object.setConstant('no_such_constant', 1)).code, 'ENOENT');
    object.close();
  });

  it("gives the verifier's words when a program is refused, and the program's name", () => {
    const error = refusal(() => loadProbe(addon, { programs: ['probe_refused'] }));
    assert.deepEqual([error.operation, error.object, error.code], ['load', 'probe_refused', 'EACCES']);
    assert.match(error.verifierLog ?? '', /invalid mem access/);
  });

  it('refuses what does not fit the state of the object', async () => {
    const object = addon.openObject(probePath);
    assert.match(refusal(() => object.attach('probe_raw', { type: 'auto' })).message, /not loaded yet/);
    assert.match(refusal(() => object.mapLookup('probe_hash', u64(1))).message, /not loaded yet/);
    object.close();
    object.close();
    assert.match(refusal(() => object.load()).message, /closed/);
    await withProbe(loaded => {
      assert.match(refusal(() => loaded.setConstant('target_pid', 1)).message, /loaded already/);
      assert.match(refusal(() => loaded.attach('probe_fentry', { type: 'auto' })).message, /left out/);
      assert.equal(refusal(() => loaded.attach('nothing', { type: 'auto' })).code, 'ENOENT');
      assert.equal(refusal(() => loaded.attach('probe_raw', { type: 'nonsense' } as unknown as AttachSpec)).code, 'EINVAL');
    });
  });

  it('knows the fields of tracepoints', () => {
    assert.deepEqual(addon.tracepointFields('sched', 'sched_process_exec'), ['filename', 'pid', 'old_pid']);
    const fields = addon.tracepointFields('syscalls', 'sys_enter_openat') ?? [];
    assert.deepEqual(
      fields.filter(name => !name.startsWith('__')),
      ['dfd', 'filename', 'flags', 'mode'],
    );
    assert.equal(fields[0], '__syscall_nr');
    assert.equal(addon.tracepointFields('syscalls', 'no_such_call'), undefined);
    assert.throws(() => addon.tracepointFields('../../etc', 'x'), /EINVAL/);
  });

  it('knows kernel functions by BTF', () => {
    const object = addon.openObject(probePath);
    object.setAttachTarget('probe_fentry', 'vfs_write');
    const error = refusal(() => object.setAttachTarget('probe_fentry', 'no_such_function'));
    assert.match(error.code, /^(ESRCH|ENOENT)$/);
    object.close();
    assert.deepEqual(addon.kernelFunctionPrototype('vfs_read'), {
      arguments: ['file', 'buf', 'count', 'pos'],
      argumentTypes: Array(4).fill({ bytes: 8, isSigned: false }),
      returnsValue: true,
      resultType: { bytes: 8, isSigned: true },
    });
    assert.deepEqual(addon.kernelFunctionPrototype('do_sys_openat2')?.argumentTypes[0], { bytes: 4, isSigned: true });
    assert.equal(addon.kernelFunctionPrototype('kfree')?.returnsValue, false);
    assert.equal(addon.kernelFunctionPrototype('no_such_function'), undefined);
  });
});

describe('attaching', () => {
  const ways: readonly { program: string; counter: number; spec: AttachSpec }[] = [
    { program: 'probe_raw', counter: counters.raw, spec: { type: 'auto' } },
    { program: 'probe_btf', counter: counters.btf, spec: { type: 'auto' } },
    { program: 'probe_tracepoint', counter: counters.tracepoint, spec: { type: 'auto' } },
    {
      program: 'probe_tracepoint',
      counter: counters.tracepoint,
      spec: { type: 'tracepoint', category: 'syscalls', name: 'sys_enter_getppid' },
    },
  ];
  for (const { program, counter, spec } of ways) {
    it(`counts every event of ${program} by ${spec.type}, and none after detach`, () =>
      withProbe(object => {
        makeEvents(10);
        const link = object.attach(program, spec);
        makeEvents(10_007);
        link.detach();
        link.detach();
        makeEvents(10);
        assert.equal(sumOfCpus(object, 'probe_counts', counter), 10_007);
      }));
  }

  it('counts every call and return of a function of another program', () =>
    withProbe(object => {
      const target = buildTarget();
      const at = { type: 'uprobe', path: target.path, offset: target.offset } as const;
      const links = [
        object.attach('probe_uprobe', { ...at, isReturn: false }),
        object.attach('probe_uretprobe', { ...at, isReturn: true }),
      ];
      assert.equal(execFileSync(target.path, ['1003'], { encoding: 'utf8', env: toolEnvironment() }), '1003\n');
      for (const link of links) link.detach();
      execFileSync(target.path, ['5'], { env: toolEnvironment() });
      assert.equal(sumOfCpus(object, 'probe_counts', counters.uprobe), 1003);
      assert.equal(sumOfCpus(object, 'probe_counts', counters.uretprobe), 1003);
    }));

  for (const pid of [undefined, process.pid]) {
    it(`samples CPU time at the rate asked for, ${pid ? 'of one process' : 'on every CPU'}`, () =>
      withProbe(object => {
        const how = pid === undefined ? {} : { pid };
        const link = object.attach('probe_perf', { type: 'perf', event: 'cpu-clock', frequencyHz: 999, ...how });
        const start = process.cpuUsage();
        while (process.cpuUsage(start).user + process.cpuUsage(start).system < 400_000);
        const used = process.cpuUsage(start);
        link.detach();
        const samples = sumOfCpus(object, 'probe_counts', counters.perf);
        const expected = ((used.user + used.system) / 1e6) * 999;
        // A CPU that is taken from a virtual machine takes samples with it; an emulated one has few timer interrupts.
        const least = isEmulated ? 0.05 : 0.6;
        assert.ok(samples > expected * least && samples < expected * 1.2, `${samples} samples, about ${expected} expected`);
      }));
  }

  it('says that there is no such tracepoint, function, file or rate', () =>
    withProbe(object => {
      const tracepoint = refusal(() =>
        object.attach('probe_tracepoint', { type: 'tracepoint', category: 'syscalls', name: 'nothing' }),
      );
      assert.deepEqual(
        [tracepoint.operation, tracepoint.object, tracepoint.errno, tracepoint.code],
        ['attach', 'probe_tracepoint', 2, 'ENOENT'],
      );
      assert.match(tracepoint.message, /^attach probe_tracepoint: ENOENT; this kernel has no tracepoint syscalls:nothing; /);
      const outside = { type: 'tracepoint', category: '..', name: '../events/sched/sched_process_fork' } as const;
      assert.equal(refusal(() => object.attach('probe_tracepoint', outside)).code, 'EINVAL');
      const file = { type: 'uprobe', path: '/nonexistent', offset: 0, isReturn: false } as const;
      assert.equal(refusal(() => object.attach('probe_uprobe', file)).code, 'ENOENT');
      const perf = { type: 'perf', event: 'cpu-clock', frequencyHz: 1_000_000 } as const;
      assert.match(refusal(() => object.attach('probe_perf', perf)).message, /EINVAL; perf refuses 1000000 Hz/);
    }));

  it('attaches kprobes and fentry, or says why this kernel cannot', () => {
    const object = addon.openObject(probePath);
    for (const { name } of object.programs) object.setAutoload(name, name === 'probe_kprobe');
    object.load();
    const kprobe = { type: 'kprobe', symbol: 'vfs_read', isReturn: false } as const;
    if (features.kprobe.isAvailable) {
      object.attach('probe_kprobe', kprobe).detach();
      assert.match(
        refusal(() => object.attach('probe_kprobe', { ...kprobe, symbol: 'no_such_function' })).code,
        /^(ENOENT|EADDRNOTAVAIL|EINVAL)$/,
      );
    } else {
      assert.match(
        refusal(() => object.attach('probe_kprobe', kprobe)).message,
        /EOPNOTSUPP; this kernel was built without CONFIG_KPROBES/,
      );
    }
    object.close();
    if (features.fentry.isAvailable) {
      const fentry = loadProbe(addon, { programs: ['probe_fentry'] });
      fentry.attach('probe_fentry', { type: 'auto' });
      fentry.close();
    } else {
      assert.notEqual(refusal(() => loadProbe(addon, { programs: ['probe_fentry'] })).code, '');
    }
  });

  it('counts runs and time of a program while statistics are on', () =>
    withProbe(object => {
      const statistics = addon.enableProgramStats();
      const link = object.attach('probe_tracepoint', { type: 'auto' });
      makeEvents(1000);
      link.detach();
      statistics.detach();
      const stats = object.stats().find(program => program.name === 'probe_tracepoint');
      assert.ok(stats && stats.runCount >= 1000 && stats.runTimeNs > 0 && stats.memoryBytes > 0, JSON.stringify(stats));
      assert.ok(object.mapBytes() > 10_000 * 16, `${object.mapBytes()} bytes`);
    }));
});

describe('maps', () => {
  it('looks up, updates and deletes one entry', () =>
    withProbe(object => {
      assert.equal(object.mapLookup('probe_hash', u64(5)), undefined);
      object.mapUpdate('probe_hash', u64(5), u64(25));
      assert.deepEqual(object.mapLookup('probe_hash', u64(5)), u64(25));
      assert.equal(object.mapDelete('probe_hash', u64(5)), true);
      assert.equal(object.mapDelete('probe_hash', u64(5)), false);
      assert.match(refusal(() => object.mapLookup('probe_hash', u32(5))).message, /the key has 4 bytes, and 8 are needed/);
      assert.equal(refusal(() => object.mapUpdate('probe_hash', u64(5), u32(5))).code, 'EINVAL');
      assert.equal(refusal(() => object.mapUpdate('probe_array', u32(100), u64(5))).code, 'E2BIG');
      assert.equal(refusal(() => object.mapLookup('no_map', u64(5))).code, 'ENOENT');
    }));

  it('reads and drains a full hash map', () =>
    withProbe(object => {
      for (let i = 0; i < 10_000; i++) object.mapUpdate('probe_hash', u64(i), u64(i * i));
      for (const isDrained of [false, true]) {
        const { keys, values, count } = object.mapEntries('probe_hash', isDrained);
        assert.equal(count, 10_000);
        const seen = new Set<bigint>();
        for (let i = 0; i < count; i++) {
          const key = keys.readBigUInt64LE(i * 8);
          seen.add(key);
          assert.equal(values.readBigUInt64LE(i * 8), key * key);
        }
        assert.equal(seen.size, 10_000);
      }
      assert.equal(object.mapEntries('probe_hash', true).count, 0);
    }));

  it('gives one value per possible CPU, each of 8 bytes, for a per-CPU map', () =>
    withProbe(object => {
      const size = object.mapLookup('probe_counts', u32(0))?.length ?? 0;
      assert.ok(size > 0 && size % 8 === 0);
      const value = Buffer.alloc(size);
      for (let cpu = 0; cpu < size / 8; cpu++) value.writeUInt32LE(cpu + 1, cpu * 8);
      for (let i = 0; i < 1000; i++) object.mapUpdate('probe_percpu', u32(i), value);
      const drained = object.mapEntries('probe_percpu', true);
      assert.equal(drained.count, 1000);
      assert.deepEqual(drained.values.subarray(999 * size), value);
      assert.equal(object.mapEntries('probe_percpu', false).count, 0);
    }));

  it('reads arrays, and says that they cannot be drained', () =>
    withProbe(object => {
      object.mapUpdate('probe_array', u32(99), u64(4711));
      const { values, count } = object.mapEntries('probe_array', false);
      assert.deepEqual([count, values.readBigUInt64LE(99 * 8)], [100, 4711n]);
      assert.equal(object.mapEntries('probe_counts', false).count, Object.keys(counters).length);
      assert.match(refusal(() => object.mapEntries('probe_array', true)).message, /EOPNOTSUPP; this type of map has no entries/);
    }));

  it('reads a map that the kernel has no batches for, one by one', () =>
    withProbe(async object => {
      const link = object.attach('probe_raw', { type: 'auto' });
      for (let i = 0; i < 20; i++) {
        makeEvents(5);
        await sleep(1);
      }
      link.detach();
      const { count, keys } = object.mapEntries('probe_stacks', false);
      assert.ok(count > 0 && keys.length === count * 4, `${count} stacks`);
      assert.equal(object.mapEntries('probe_stacks', true).count, count);
      assert.equal(object.mapEntries('probe_stacks', false).count, 0);
    }));

  it("uses another object's map in place of its own", () =>
    withProbe(async first => {
      const second = addon.openObject(probePath);
      for (const { name } of second.programs) second.setAutoload(name, name === 'probe_btf');
      second.setConstant('target_pid', process.pid);
      second.reuseMap('probe_counts', first, 'probe_counts');
      assert.equal(refusal(() => second.reuseMap('probe_hash', {} as NativeObject, 'x')).code, 'EINVAL');
      second.load();
      second.attach('probe_btf', { type: 'auto' });
      makeEvents(100);
      assert.ok(second.mapBytes() < first.mapBytes());
      second.close();
      assert.equal(sumOfCpus(first, 'probe_counts', counters.btf), 100);
    }));
});

describe('the kernel', () => {
  it('has each feature, or a sentence that says why not', () => {
    const { release, ...list } = features;
    assert.match(release, /^\d+\.\d+/);
    for (const [name, feature] of Object.entries(list)) {
      assert.equal(feature.reason === '', feature.isAvailable, `${name}: ${feature.reason}`);
      if (!feature.isAvailable) assert.match(feature.reason, /^[A-Z].*\.$/, name);
    }
    // What every kernel from 5.10 on gives to root.
    for (const name of [
      'btf',
      'tracepoint',
      'rawTracepoint',
      'btfTracepoint',
      'perfCpuClock',
      'bpfStats',
      'batchMaps',
    ] as const) {
      assert.equal(features[name].isAvailable, true, `${name}: ${features[name].reason}`);
    }
  });

  it('tells both clocks at the same moment', () => {
    const [first, second] = [addon.clockPair(), addon.clockPair()];
    assert.ok(second.monotonicNs > first.monotonicNs);
    const drift = Number(second.unixNs - first.unixNs - (second.monotonicNs - first.monotonicNs));
    assert.ok(Math.abs(drift) < 100_000, `${drift} ns apart`);
    assert.ok(Math.abs(Number(first.unixNs / 1_000_000n) - Date.now()) < 1000);
  });
});

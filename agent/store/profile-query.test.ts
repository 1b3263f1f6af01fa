import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FrameRow, ProfileResult } from './rows.ts';
import { frameRow, noonMs, openTestStore, processRow, randomSource, sampleRow, type TestStore } from './test-kit.ts';

const range = { fromMs: noonMs - 3_600_000, toMs: noonMs + 3_600_000 };
const all = { ...range, type: 'cpu', filter: '', minShare: 0 };

/** Own values by path of function names, root first. */
function selfByPath(profile: ProfileResult): Map<string, number> {
  const paths: string[] = [];
  const values = new Map<string, number>();
  for (let i = 0; i < profile.parent.length; i += 1) {
    const parent = profile.parent[i] as number;
    assert.ok(parent < i, 'parents come before their children');
    const name = profile.functions.name[profile.fn[i] as number] as string;
    paths[i] = parent < 0 ? name : `${paths[parent]};${name}`;
    assert.ok(!values.has(paths[i] as string), `${paths[i]} is there twice`);
    if (profile.self[i] !== 0) values.set(paths[i] as string, profile.self[i] as number);
  }
  return values;
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** Writes random stacks with inlined lines and several addresses per function, and merges them by hand. */
function writeRandomProfile(store: TestStore, seed: number): { expected: Map<string, number>; samples: number } {
  const random = randomSource(seed);
  const below = (end: number) => Math.floor(random() * end);
  const rows: FrameRow[] = [];
  for (let i = 0; i < 60; i += 1) {
    const lines = Array.from({ length: 1 + below(3) }, () => ({ name: `f${below(12)}`, file: 'a.c', line: below(100) }));
    rows.push(frameRow('', { address: BigInt(0x1000 + i * 16), lines }));
  }
  const frames = rows.map(row => store.writer.frame(row));
  const process = store.writer.process(processRow());
  const expected = new Map<string, number>();
  let samples = 0;
  for (let i = 0; i < 3000; i += 1) {
    const picked = Array.from({ length: 1 + below(8) }, () => below(frames.length));
    const path = picked.flatMap(at => rows[at]?.lines.map(line => line.name).reverse() ?? []).join(';');
    const count = 1 + below(3);
    const value = random() < 0.5 ? count * 10_101_010 : below(1e9);
    samples += count;
    expected.set(path, (expected.get(path) ?? 0) + value);
    const stackId = store.writer.stack(picked.map(at => frames[at] as number));
    store.writer.sample(
      sampleRow({ processId: process, stackId, count, value, tid: 101 + below(5), timeMs: noonMs - below(300_000) }),
    );
    if (i % 500 === 0) store.writer.flush();
  }
  store.writer.flush();
  for (const [path, value] of expected) if (value === 0) expected.delete(path);
  return { expected, samples };
}

for (const seed of [1, 77, 4242]) {
  test(`the merged tree is that of a naive merge, seed ${seed}`, context => {
    const store = openTestStore(context);
    const { expected, samples } = writeRandomProfile(store, seed);
    const profile = store.reader.profile(all);
    assert.deepEqual(new Map([...selfByPath(profile)].sort()), new Map([...expected].sort()));
    assert.equal(profile.total, sum(profile.self));
    assert.equal(profile.total, sum(expected.values()));
    assert.equal(profile.samples, samples);
  });
}

test('pruning keeps the total and leaves no node below the share but remainders', context => {
  const store = openTestStore(context);
  writeRandomProfile(store, 9);
  const whole = store.reader.profile(all);
  const profile = store.reader.profile({ ...all, minShare: 0.01 });
  assert.ok(profile.parent.length < whole.parent.length / 4, `${profile.parent.length} of ${whole.parent.length} nodes are left`);
  assert.equal(sum(profile.self), whole.total);
  const totals = [...profile.self];
  for (let i = totals.length - 1; i >= 0; i -= 1) {
    const parent = profile.parent[i] as number;
    if (parent >= 0) totals[parent] = (totals[parent] as number) + (totals[i] as number);
    const name = profile.functions.name[profile.fn[i] as number];
    if (name !== '(small)') assert.ok((totals[i] as number) >= 0.01 * whole.total, `${name} is kept with ${totals[i]}`);
  }
  assert.equal(profile.functions.name.filter(name => name === '(small)').length, 1);
});

test('siblings are sorted by name', context => {
  const store = openTestStore(context);
  writeRandomProfile(store, 5);
  for (const minShare of [0, 0.005]) {
    const profile = store.reader.profile({ ...all, minShare });
    const last = new Map<number, string>();
    for (let i = 0; i < profile.parent.length; i += 1) {
      const parent = profile.parent[i] as number;
      const name = profile.functions.name[profile.fn[i] as number] as string;
      assert.ok((last.get(parent) ?? '') < name, `${name} comes after ${last.get(parent)}`);
      last.set(parent, name);
    }
  }
});

test('the JSON is what JSON.stringify gives', context => {
  const store = openTestStore(context);
  writeRandomProfile(store, 3);
  for (const minShare of [0, 0.01]) {
    const query = { ...all, minShare };
    assert.deepEqual(JSON.parse(store.reader.profileJson(query).toString()), store.reader.profile(query));
  }
});

test('the same samples are found by the second, by the minute, and after the seconds are gone', context => {
  const store = openTestStore(context);
  const { expected } = writeRandomProfile(store, 11);
  const before = new Map([...expected].sort());
  for (const laterMs of [0, 70_000, 300_000, 3_000_000]) {
    store.nowMs = noonMs + laterMs;
    store.writer.flush();
    assert.deepEqual(new Map([...selfByPath(store.reader.profile(all))].sort()), before, `${laterMs} ms later`);
  }
  assert.equal(store.reader.extent().tables.sample_second, 0);
});

test('a range is cut at seconds while they are kept, and at minutes afterwards', context => {
  const store = openTestStore(context);
  const processId = store.writer.process(processRow());
  const stackId = store.writer.stack([store.writer.frame(frameRow('main'))]);
  for (let second = -120; second < 0; second += 1)
    store.writer.sample(sampleRow({ processId, stackId, timeMs: noonMs + second * 1000, value: 1000 }));
  store.nowMs = noonMs + 10_000;
  store.writer.flush();
  const query = { ...all, fromMs: noonMs - 90_500, toMs: noonMs - 29_500 };
  const fine = store.reader.profile(query);
  assert.deepEqual([fine.samples, fine.fromMs, fine.toMs], [62, noonMs - 91_000, noonMs - 29_000]);
  store.nowMs = noonMs + 1_200_000;
  store.writer.flush();
  const coarse = store.reader.profile(query);
  assert.deepEqual([coarse.samples, coarse.fromMs, coarse.toMs], [120, noonMs - 120_000, noonMs]);
});

test('samples that come late are added to what is there', context => {
  const store = openTestStore(context);
  const processId = store.writer.process(processRow());
  const stackId = store.writer.stack([store.writer.frame(frameRow('main'))]);
  const late = () => {
    store.writer.sample(sampleRow({ processId, stackId, timeMs: noonMs - 200_000, value: 5 }));
    store.writer.flush();
    return store.reader.profile(all).total;
  };
  assert.equal(late(), 5);
  for (let i = 0; i < 8; i += 1) store.writer.flush();
  assert.equal(late(), 10, 'after its row has left memory');
  store.reopen();
  assert.equal(late(), 15, 'after a restart');
  store.nowMs = noonMs + 120_000;
  store.writer.flush();
  assert.equal(late(), 20, 'after its minute was rolled up');
  store.nowMs = noonMs + 1_200_000;
  store.writer.flush();
  assert.equal(late(), 25, 'after its seconds were dropped');
});

test('a frame that gets its name late is shown under it', context => {
  const store = openTestStore(context);
  const processId = store.writer.process(processRow());
  const unnamed = { kind: 'unresolved' as const, module: '/usr/bin/gateway', buildId: 'abcd', address: 0x1234n };
  const frame = store.writer.frame({ ...unnamed, lines: [{ name: '', file: '', line: 0 }], isGuess: false });
  const stackId = store.writer.stack([store.writer.frame(frameRow('main')), frame]);
  store.writer.sample(sampleRow({ processId, stackId }));
  store.writer.flush();
  assert.deepEqual([...selfByPath(store.reader.profile(all)).keys()], ['main;gateway+0x1234']);
  const lines = [
    { name: 'inlined', file: 'b.c', line: 3 },
    { name: 'handle', file: 'a.c', line: 9 },
  ];
  assert.equal(store.writer.frame({ ...unnamed, kind: 'native', lines, isGuess: false }), frame);
  store.writer.flush();
  const profile = store.reader.profile(all);
  assert.deepEqual([...selfByPath(profile).keys()], ['main;handle;inlined']);
  assert.deepEqual(profile.functions.kind, ['native', 'native', 'native']);
});

test('filters choose processes and threads', context => {
  const store = openTestStore(context);
  const gateway = store.writer.process(processRow());
  const worker = store.writer.process(
    processRow({ pid: 200, comm: 'node', service: 'orders', containerId: 'c0ffee', executable: '/usr/bin/node' }),
  );
  const stackId = store.writer.stack([store.writer.frame(frameRow('main'))]);
  store.writer.sample(sampleRow({ processId: gateway, stackId, value: 1 }));
  store.writer.sample(sampleRow({ processId: gateway, stackId, value: 10, tid: 102, threadName: 'accept loop' }));
  store.writer.sample(sampleRow({ processId: worker, stackId, value: 100, tid: 201, threadName: 'node' }));
  store.writer.flush();
  const totals: Record<string, number> = {
    '': 111,
    'service=gateway': 11,
    'service!=gateway': 100,
    'thread="accept loop"': 10,
    'thread=~^acc': 10,
    'tid!=102': 101,
    'pid=200': 100,
    'pid>100': 100,
    'container=~c0f': 100,
    'executable!~node$': 11,
    'process=node': 100,
    NODE: 100,
    'gateway thread=worker': 1,
    'service=gateway service=orders': 0,
  };
  for (const [filter, total] of Object.entries(totals))
    assert.equal(store.reader.profile({ ...all, filter }).total, total, filter);
  assert.throws(() => store.reader.profile({ ...all, filter: 'name=read' }), /profiles have no name; use one of service, /);
});

test('stacks survive a restart and are not stored again', context => {
  const store = openTestStore(context);
  const frames = ['a', 'b', 'c'].map((name, i) => store.writer.frame(frameRow(name, { address: BigInt(i + 1) })));
  const stack = store.writer.stack(frames);
  store.reopen();
  assert.deepEqual(
    ['a', 'b', 'c'].map((name, i) => store.writer.frame(frameRow(name, { address: BigInt(i + 1) }))),
    frames,
  );
  assert.equal(store.writer.stack(frames), stack);
  assert.equal(store.writer.stack([]), 0);
  store.writer.flush();
  assert.equal(store.reader.extent().tables.stack, 3);
});

test('kernel addresses keep all their bits', context => {
  const store = openTestStore(context);
  const processId = store.writer.process(processRow());
  const frame = {
    kind: 'kernel' as const,
    module: 'vmlinux',
    buildId: '',
    address: 0xffffffff81234567n,
    lines: [{ name: '', file: '', line: 0 }],
    isGuess: false,
  };
  store.writer.sample(sampleRow({ processId, stackId: store.writer.stack([store.writer.frame(frame)]) }));
  store.writer.sample(sampleRow({ processId, stackId: 0 }));
  store.writer.flush();
  assert.deepEqual([...selfByPath(store.reader.profile(all)).keys()].sort(), ['[no stack]', 'vmlinux+0xffffffff81234567']);
});

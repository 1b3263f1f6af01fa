import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProfileResult, TimeKind } from './rows.ts';
import { frameRow, noonMs, openTestStore, processRow, sampleRow, type TestStore } from './test-kit.ts';

const range = { fromMs: noonMs - 60_000, toMs: noonMs + 60_000 };

function mark(name: string, kind: TimeKind) {
  return frameRow(name, {
    kind,
    module: '',
    buildId: '',
    address: BigInt(name.length + name.charCodeAt(name.length - 1)),
    lines: [{ name, file: '', line: 0 }],
  });
}

/** Ten seconds of two threads, the first of which blocks on a lock below `work`, and is preempted and runs in it. */
function writeThreads(store: TestStore): void {
  const { writer } = store;
  const process = writer.process(processRow());
  const main = writer.frame(frameRow('main', { address: 1n }));
  const work = writer.frame(frameRow('work', { address: 2n }));
  const lock = writer.frame(mark('blocked: lock', 'lock'));
  const idle = writer.frame(mark('blocked: idle', 'idle'));
  const preempted = writer.frame(mark('runnable: preempted', 'runnable'));
  const onCpu = writer.frame(mark('on CPU', 'on-cpu'));
  const sample = (profileType: string, tid: number, timeMs: number, frames: number[], value: number, count = 1) =>
    writer.sample(sampleRow({ processId: process, profileType, tid, timeMs, stackId: writer.stack(frames), value, count }));
  for (let second = 0; second < 10; second += 1) {
    const atMs = noonMs + second * 1000;
    sample('cpu', 101, atMs, [main, work], 400_000_000, 40);
    sample('offcpu', 101, atMs, [main, work, lock], 500_000_000 + second, 3);
    sample('runq', 101, atMs, [main, work, preempted], 100_000_000, 7);
    sample('threads', 101, atMs, [onCpu], 400_000_000);
    sample('threads', 101, atMs, [lock], 500_000_000 + second);
    sample('threads', 101, atMs, [preempted], 100_000_000 - second);
    sample('offcpu', 102, atMs, [main, idle], 1_000_000_000);
    sample('threads', 102, atMs, [idle], 1_000_000_000);
  }
  writer.flush();
}

/** Totals by "path of names/kind of the leaf". */
function leaves({ parent, fn, self, functions }: ProfileResult): Record<string, number> {
  const paths: string[] = [];
  const found: Record<string, number> = {};
  parent.forEach((above, node) => {
    const f = fn[node] ?? -1;
    paths[node] = `${above < 0 ? '' : `${paths[above]};`}${functions.name[f]}`;
    if (self[node] !== 0) found[`${paths[node]}/${functions.kind[f]}`] = self[node] ?? 0;
  });
  return found;
}

/** Moves the clock on until the seconds have become minutes. */
function rollUp(store: TestStore): void {
  store.nowMs = noonMs + 1_000_000;
  store.writer.retain();
  store.writer.flush();
  store.nowMs += 60_000;
  store.writer.retain();
  assert.equal(store.reader.extent().tables.sample_second, 0);
}

const wallLeaves = {
  'main;blocked: idle/idle': 10_000_000_000,
  'main;work;blocked: lock/lock': 5_000_000_045,
  'main;work;on CPU/on-cpu': 4_000_000_000,
  'main;work;runnable: preempted/runnable': 1_000_000_000,
};

for (const isRolledUp of [false, true]) {
  test(`a wall profile is CPU time, waits and run queue in one tree, from ${isRolledUp ? 'minutes' : 'seconds'}`, context => {
    const store = openTestStore(context);
    writeThreads(store);
    if (isRolledUp) rollUp(store);
    const wall = store.reader.profile({ ...range, type: 'wall', filter: '', minShare: 0 });
    assert.deepEqual(leaves(wall), wallLeaves);
    assert.equal(wall.total, 20_000_000_045);
    assert.equal(wall.samples, 10 * (40 + 3 + 7 + 1));
    assert.equal(wall.unit, 'nanoseconds');
    // One per wait and node, and none for samples of CPU time; the remainder of a pruned tree keeps those of what it stands for.
    assert.equal(
      (wall.waits ?? []).reduce((sum, own) => sum + own, 0),
      10 * (3 + 7 + 1),
    );
    const pruned = store.reader.profile({ ...range, type: 'wall', filter: '', minShare: 0.3 });
    assert.deepEqual(
      pruned.waits?.map((own, node) => [pruned.functions.name[pruned.fn[node] ?? -1], own]),
      [
        ['main', 0],
        ['blocked: idle', 10],
        ['work', 0],
        ['(small)', 100],
      ],
    );
    assert.equal(store.reader.profileJson({ ...range, type: 'wall', filter: '', minShare: 0 }).toString(), JSON.stringify(wall));
    // Asked again, the marks made for the first answer are found and not made twice.
    assert.deepEqual(store.reader.profile({ ...range, type: 'wall', filter: '', minShare: 0 }), wall);
    const cpu = store.reader.profile({ ...range, type: 'cpu', filter: '', minShare: 0 });
    assert.deepEqual(leaves(cpu), { 'main;work/native': 4_000_000_000 });
    const awake = store.reader.profile({ ...range, type: 'wall', filter: '', minShare: 0, without: ['idle', 'on-cpu'] });
    assert.deepEqual([awake.total, awake.samples, awake.withheld], [6_000_000_045, 10 * (3 + 7), 14_000_000_000]);
    assert.deepEqual(Object.keys(leaves(awake)), ['main;work;blocked: lock/lock', 'main;work;runnable: preempted/runnable']);
    const other = store.reader.profile({ ...range, type: 'wall', filter: 'tid=102', minShare: 0 });
    assert.equal(other.total, 10_000_000_000);
  });

  test(`each thread's time adds up step by step, from ${isRolledUp ? 'minutes' : 'seconds'}`, context => {
    const store = openTestStore(context);
    writeThreads(store);
    if (isRolledUp) rollUp(store);
    const { threads, stepMs, more, steps } = store.reader.threads({
      ...range,
      filter: '',
      points: isRolledUp ? 2 : 120,
      limit: 10,
    });
    assert.deepEqual([stepMs, steps, more], isRolledUp ? [60_000, 2, 0] : [1000, 120, 0]);
    assert.deepEqual(
      threads.map(({ tid, activeNs, kinds }) => [tid, activeNs, kinds.map(({ kind, totalNs }) => [kind, totalNs])]),
      [
        [
          101,
          4_999_999_955,
          [
            ['lock', 5_000_000_045],
            ['on-cpu', 4_000_000_000],
            ['runnable', 999_999_955],
          ],
        ],
        [102, 0, [['idle', 10_000_000_000]]],
      ],
    );
    const second = threads[0]?.kinds.reduce((sum, { values }) => sum + (values[isRolledUp ? 1 : 63] ?? 0), 0);
    assert.equal(second, isRolledUp ? 10_000_000_000 : 1_000_000_000);
    assert.deepEqual(store.reader.threads({ ...range, filter: '', points: 120, limit: 1 }).more, 1);
  });
}

test('seconds are told apart as long as they are kept, though their minute is there already', context => {
  const store = openTestStore(context);
  writeThreads(store);
  store.nowMs = noonMs + 120_000;
  store.writer.metric({ name: 'host.cpu', labels: '', timeMs: store.nowMs, value: 1 });
  store.writer.flush();
  assert.ok((store.reader.extent().tables.sample_minute ?? 0) > 0);
  const { threads } = store.reader.threads({ fromMs: noonMs, toMs: noonMs + 12_000, filter: 'tid=101', points: 12, limit: 10 });
  const lock = threads[0]?.kinds.find(({ kind }) => kind === 'lock')?.values;
  assert.deepEqual(lock, [...Array.from({ length: 10 }, (_, second) => 500_000_000 + second), 0, 0]);
});

test('threads over time: in threads, and by kind of time', context => {
  const store = openTestStore(context);
  writeThreads(store);
  const query = { fromMs: noonMs, toMs: noonMs + 10_000, filter: '', points: 10 };
  const wall = store.reader.series({ ...query, name: 'wall', groupBy: '' });
  assert.equal(wall.unit, 'threads');
  assert.deepEqual(wall.groups[0]?.values.slice(0, 2), [2, 2.000000001]);
  const kinds = store.reader.series({ ...query, name: 'threads', groupBy: 'kind' });
  assert.deepEqual(
    kinds.groups.map(({ label, values }) => [label, values[0]]),
    [
      ['idle', 1],
      ['lock', 0.5],
      ['on-cpu', 0.4],
      ['runnable', 0.1],
    ],
  );
  assert.equal(store.reader.series({ ...query, name: 'cpu', groupBy: '' }).unit, 'cores');
});

test('a wall profile as a file has the mark of CPU time on its stacks', context => {
  const store = openTestStore(context);
  writeThreads(store);
  const full = store.reader.fullProfile({ ...range, type: 'wall', filter: '', minShare: 0 });
  assert.equal(full.total, 20_000_000_045);
  assert.equal(full.threads.length, 2);
  const awake = store.reader.fullProfile({ ...range, type: 'wall', filter: '', minShare: 0, without: ['on-cpu', 'idle'] });
  assert.equal(awake.total, 6_000_000_045);
  const nonsense = { ...range, type: 'wall', filter: '', minShare: 0, without: ['tea'] };
  assert.throws(() => store.reader.fullProfile(nonsense), /"tea" is no kind of time/);
  const byLeaf: Record<string, number> = {};
  for (const { stack, value } of full.entries) {
    const leaf = full.frames[full.stacks[stack]?.[0] ?? -1]?.lines[0]?.name ?? '';
    byLeaf[leaf] = (byLeaf[leaf] ?? 0) + value;
  }
  assert.deepEqual(byLeaf, {
    'on CPU': 4_000_000_000,
    'blocked: lock': 5_000_000_045,
    'blocked: idle': 10_000_000_000,
    'runnable: preempted': 1_000_000_000,
  });
});

test('a wake-up is of the kind that the blocked side waited for', context => {
  const store = openTestStore(context);
  const { writer } = store;
  const process = writer.process(processRow());
  const frames = [
    frameRow('reader', { address: 1n }),
    mark('blocked: lock', 'lock'),
    mark('woken by', 'waiting'),
    frameRow('waker', { address: 2n }),
  ];
  const stackId = writer.stack(frames.map(frame => writer.frame(frame)));
  writer.sample(sampleRow({ processId: process, stackId, profileType: 'wakeup', value: 7, count: 2 }));
  writer.flush();
  const query = { ...range, type: 'wakeup', filter: '', minShare: 0 };
  assert.deepEqual(leaves(store.reader.profile(query)), { 'reader;blocked: lock;woken by;waker/native': 7 });
  assert.equal(store.reader.profile({ ...query, without: ['waiting'] }).total, 7);
  assert.equal(store.reader.profile({ ...query, without: ['lock'] }).withheld, 7);
});

test('a service has the time of its threads by kind, step by step', context => {
  const store = openTestStore(context);
  writeThreads(store);
  // A step is a second.
  const [row] = store.reader.services({ fromMs: noonMs, toMs: noonMs + 60_000, filter: '' });
  const first = row?.timeSeries.map(({ kind, values }) => [kind, values[0], values[9], values[10], values.length]);
  assert.deepEqual(first?.sort(), [
    ['idle', 1, 1, 0, 60],
    ['lock', 0.5, 0.500000009, 0, 60],
    ['on-cpu', 0.4, 0.4, 0, 60],
    ['runnable', 0.1, 0.099999991, 0, 60],
  ]);
  assert.deepEqual(store.reader.services({ fromMs: noonMs - 60_000, toMs: noonMs, filter: '' })[0]?.timeSeries, []);
});

test('time that was read late is of the steps before in which nothing was read', context => {
  const store = openTestStore(context);
  const { writer } = store;
  const process = writer.process(processRow());
  const stackId = writer.stack([writer.frame(mark('blocked: lock', 'lock'))]);
  const add = (second: number, value: number) =>
    writer.sample(sampleRow({ processId: process, stackId, profileType: 'threads', timeMs: noonMs + second * 1000, value }));
  add(1, 1e9);
  add(4, 3e9);
  add(5, 1.1e9);
  add(7, 0.9e9);
  writer.flush();
  const { threads } = store.reader.threads({ fromMs: noonMs, toMs: noonMs + 8000, filter: '', points: 8, limit: 10 });
  assert.deepEqual(threads[0]?.kinds[0]?.values, [0, 1e9, 1e9, 1e9, 1e9, 1.1e9, 0, 0.9e9]);
  assert.equal(threads[0]?.kinds[0]?.totalNs, 6e9);
});

test('threads come by what they did most of, or with the others of their process', context => {
  const store = openTestStore(context);
  const { writer } = store;
  const lock = writer.stack([writer.frame(mark('blocked: lock', 'lock'))]);
  const onCpu = writer.stack([writer.frame(mark('on CPU', 'on-cpu'))]);
  const [first, second] = [writer.process(processRow()), writer.process(processRow({ pid: 200, comm: 'other' }))];
  const thread = (processId: number, tid: number, ns: { lock: number; cpu: number }) => {
    writer.sample(sampleRow({ processId, profileType: 'threads', tid, stackId: lock, value: ns.lock }));
    writer.sample(sampleRow({ processId, profileType: 'threads', tid, stackId: onCpu, value: ns.cpu }));
  };
  thread(first, 1, { lock: 1000, cpu: 900 });
  thread(second, 2, { lock: 5000, cpu: 500 });
  thread(first, 3, { lock: 9000, cpu: 100 });
  writer.flush();
  const tids = (order: 'active' | 'process' | TimeKind, limit = 10) =>
    store.reader.threads({ ...range, filter: '', points: 100, limit, order }).threads.map(({ tid }) => tid);
  assert.deepEqual(tids('active'), [1, 2, 3]);
  assert.deepEqual(tids('lock'), [3, 2, 1]);
  assert.deepEqual(tids('lock', 1), [3], 'the first in this order are what is kept');
  assert.deepEqual(tids('process'), [1, 3, 2]);
});

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import type { ThreadsResult, ThreadTimeline } from '../../../agent/server/api.ts';
import { barsOf, choiceBetween, filterOfThreads, kindsOf, shareOf, stepAt, stepStartMs } from './thread-timeline.ts';

const second = 1e9;
const thread: ThreadTimeline = {
  service: 'db',
  process: 'db',
  pid: 7,
  tid: 8,
  thread: 'conn',
  activeNs: second,
  kinds: [
    { kind: 'idle', totalNs: 2.5 * second, values: [second, second, 0.5 * second, 0] },
    { kind: 'on-cpu', totalNs: second, values: [0, 0, 0.5 * second, 0.5 * second] },
    { kind: 'lock', totalNs: 0.6 * second, values: [0, 0, 0, 0.6 * second] },
  ],
};
const result: ThreadsResult = { fromMs: 10_000, toMs: 14_000, stepMs: 1000, steps: 4, threads: [thread], more: 0 };

test('bars stand on each other, work at the bottom, and equal neighbours are one', () => {
  deepEqual(barsOf(thread, result, []), [
    { kind: 'on-cpu', from: 2, to: 4, bottom: 0, top: 0.5 },
    { kind: 'lock', from: 3, to: 4, bottom: 0.5, top: 1 },
    { kind: 'idle', from: 0, to: 2, bottom: 0, top: 1 },
    { kind: 'idle', from: 2, to: 3, bottom: 0.5, top: 1 },
  ]);
});

test('kinds that are left out leave their place free', () => {
  deepEqual(
    barsOf(thread, result, ['idle', 'on-cpu']).map(({ kind, bottom, top }) => [kind, bottom, top]),
    [['lock', 0, 0.6]],
  );
});

test('a place is a step, also beyond the ends', () => {
  deepEqual(
    [-5, 0, 99, 100, 399, 400, 900].map(x => stepAt(result, x, 400)),
    [0, 0, 0, 1, 3, 3, 3],
  );
  equal(stepStartMs(result, 3), 13_000);
});

test('what a thread did in some steps, most first', () => {
  deepEqual(kindsOf(thread, 2, 4), [
    { kind: 'on-cpu', ns: second },
    { kind: 'lock', ns: 0.6 * second },
    { kind: 'idle', ns: 0.5 * second },
  ]);
  equal(shareOf(thread, 'on-cpu').toFixed(6), '0.243902');
  equal(shareOf(thread, 'disk'), 0);
});

test('a brush chooses whole steps and every row that it touches, in whichever direction it went', () => {
  const three = { ...result, threads: [thread, { ...thread, tid: 9 }, { ...thread, pid: 70, tid: 10 }] };
  const choose = (from: [number, number], to: [number, number]) => {
    const choice = choiceBetween(three, { x: from[0], row: from[1] }, { x: to[0], row: to[1] }, 400);
    return [choice?.fromMs, choice?.toMs, choice?.threads.map(own => own.tid).join()];
  };
  deepEqual(choose([110, 0], [190, 0]), [11_000, 12_000, '8']);
  deepEqual(choose([350, 2], [120, 1]), [11_000, 14_000, '9,10']);
  deepEqual(choose([-50, -1], [999, 7]), [10_000, 14_000, '8,9,10']);
  deepEqual(choose([0, 5], [100, 6]), [undefined, undefined, undefined]);
});

test('the filter of chosen threads keeps what else was asked for, and only them', () => {
  equal(filterOfThreads('service="db" pid="1"', [thread]), 'service="db" pid="7" tid="8"');
  equal(filterOfThreads('', [thread, { ...thread, tid: 9 }]), 'pid="7" tid=~"^(8|9)$"');
  equal(filterOfThreads('', [thread, { ...thread, pid: 70, tid: 9 }]), 'pid=~"^(7|70)$" tid=~"^(8|9)$"');
});

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { timeKinds } from '../../../agent/store/rows.ts';
import { formatWithout, kindOrder, parseWithout, profileType, profileTypes } from './profile-types.ts';
import { activitySums, kindGroups } from './series.ts';

test('every kind of time has its place, and each type a key', () => {
  deepEqual([...kindOrder].sort(), [...timeKinds].sort());
  ok(profileTypes.length <= 9);
  equal(new Set(profileTypes.map(type => type.id)).size, profileTypes.length);
});

test('idle is left out of waits at first, and the address says only what differs from that', () => {
  deepEqual(parseWithout('wall', ''), ['idle']);
  deepEqual(parseWithout('cpu', ''), []);
  equal(formatWithout('wall', ['idle']), undefined);
  equal(formatWithout('cpu', []), undefined);
  for (const type of ['cpu', 'wall', 'runq', 'never heard of']) {
    for (const without of [[], ['idle'], ['on-cpu', 'lock'], ['lock', 'idle']] as const)
      deepEqual(parseWithout(type, formatWithout(type, without) ?? ''), [...without], type);
  }
  deepEqual(parseWithout('wall', 'tea,lock'), ['lock']);
});

test('a type that is not known is shown as it comes', () => {
  deepEqual(profileType('faults').sources, ['faults']);
  equal(profileType('faults').chart.name, 'faults');
});

test('kinds of time keep their order and their gaps', () => {
  const result = { name: 'threads', unit: 'threads', fromMs: 0, toMs: 3000, stepMs: 1000 };
  const groups = [
    { label: 'idle', values: [1, null, 3] },
    { label: 'lock', values: [0.5, null, 0] },
  ];
  deepEqual(kindGroups({ ...result, groups }, ['on-cpu', 'lock']).groups, [
    { label: 'on-cpu', values: [0, null, 0] },
    { label: 'lock', values: [0.5, null, 0] },
  ]);
});

test('activity is stacked from the CPU up, without waits for others', () => {
  const times = [
    { kind: 'disk', values: [1, 0] },
    { kind: 'idle', values: [9, 9] },
    { kind: 'on-cpu', values: [0.5, 0.25] },
  ] as const;
  deepEqual(activitySums(times), [
    { kind: 'on-cpu', values: [0.5, 0.25] },
    { kind: 'disk', values: [1.5, 0.25] },
  ]);
  deepEqual(activitySums([]), []);
});

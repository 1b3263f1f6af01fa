import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { timeKinds } from '../../../agent/store/rows.ts';
import { formatValue } from './format.ts';
import {
  durationsOf,
  formatWithout,
  groupedTypes,
  kindOrder,
  parseWithout,
  profileType,
  profileTypes,
  shownUnit,
  typeOfOperation,
} from './profile-types.ts';
import { activitySums, kindGroups } from './series.ts';

test('every kind of time has its place, and every type one in the list, with its group', () => {
  deepEqual([...kindOrder].sort(), [...timeKinds].sort());
  equal(new Set(profileTypes.map(type => type.id)).size, profileTypes.length);
  // Keys go down the list: types of a group stand together, in the order of the groups.
  deepEqual(
    groupedTypes().flatMap(({ entries }) => entries.map(({ type }) => type.id)),
    profileTypes.map(type => type.id),
  );
});

test('ten types have a key, and a group without types no heading', () => {
  const types = Array.from({ length: 12 }, (_, i) => ({
    ...profileType(`t${i}`),
    group: i < 5 ? ('time' as const) : ('io' as const),
  }));
  const groups = groupedTypes(types);
  deepEqual(
    groups.map(({ group }) => group),
    ['time', 'io'],
  );
  deepEqual(
    groups.flatMap(({ entries }) => entries.map(({ key }) => key)),
    ['1', '2', '3', '4', '5', '6', '7', '8', '9', '0', '', ''],
  );
});

test('an operation leads to the type that has its stacks', () => {
  equal(typeOfOperation('sched', 'blocked: lock')?.id, 'offcpu');
  equal(typeOfOperation('sched', 'run queue: woken')?.id, 'runq');
  equal(typeOfOperation('file', 'read'), undefined);
  const block = { ...profileType('block'), group: 'io' } as const;
  equal(typeOfOperation('block', 'vda read', [block])?.id, 'block');
  equal(durationsOf(profileType('cpu')), undefined);
});

test('what is counted is called by its name', () => {
  equal(shownUnit('wall', 'nanoseconds'), 'nanoseconds');
  equal(shownUnit('cpu', 'count'), 'samples');
  equal(formatValue(12, shownUnit('never heard of', 'count')), '12\u00a0samples');
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
  deepEqual(profileType('humidity').sources, ['humidity']);
  equal(profileType('humidity').chart.name, 'humidity');
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

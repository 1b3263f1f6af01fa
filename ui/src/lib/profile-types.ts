/** The profile types that the UI shows: what they are called, which sources fill them, and what is left out of them at first. */

import type { TimeKind } from '../../../agent/server/api.ts';

export type ProfileGroup = 'time' | 'memory' | 'io';

export interface ProfileType {
  id: string;
  title: string;
  /** What it is about: where the list of types has it. */
  group: ProfileGroup;
  hint: string;
  /** What its time is: "12 s blocked". */
  noun: string;
  /** What its samples are called. */
  counted: 'samples' | 'samples and waits' | 'waits' | 'requests' | 'faults' | 'allocations' | 'calls';
  /** Sources that give it, all of which must run for it to be whole. */
  sources: readonly string[];
  /** Its time series: by kind of time, or in one line. */
  chart: { title: string; name: string; kinds?: readonly TimeKind[] };
  /** Where the sources count how long what they watch takes: what the names of the operations that belong to it begin with. */
  durations?: string;
  /** Kinds of time that would bury the rest. */
  withoutAtFirst: readonly TimeKind[];
}

/** Kinds in the order in which they are stacked and listed: what works, what waits for the machine, what waits for others. */
export const kindOrder: readonly TimeKind[] = [
  ...(['on-cpu', 'runnable', 'disk', 'page-fault', 'lock', 'network', 'waiting', 'idle'] as const),
];
const blockedKinds = kindOrder.filter(kind => kind !== 'on-cpu' && kind !== 'runnable');

export const groupTitles: Readonly<Record<ProfileGroup, string>> = {
  time: 'Time',
  memory: 'Memory',
  io: 'I/O and locks',
};

/** In the order of the keys 1-9 and 0; those of a group stand together. Types beyond the tenth are reached by the list alone. */
export const profileTypes: readonly ProfileType[] = [
  {
    id: 'cpu',
    title: 'CPU',
    group: 'time',
    hint: 'Where code ran',
    noun: 'on CPU',
    counted: 'samples',
    sources: ['cpu'],
    chart: { title: 'CPU, cores', name: 'cpu' },
    withoutAtFirst: [],
  },
  {
    id: 'wall',
    title: 'Wall',
    group: 'time',
    hint: 'Where all time went: on CPU, waiting for a CPU, and blocked',
    noun: 'of wall-clock',
    counted: 'samples and waits',
    sources: ['cpu', 'sched'],
    chart: { title: 'Threads by what they did', name: 'threads', kinds: kindOrder },
    durations: '',
    withoutAtFirst: ['idle'],
  },
  {
    id: 'offcpu',
    title: 'Off-CPU',
    group: 'time',
    hint: 'Where threads were blocked, and by what',
    noun: 'blocked',
    counted: 'waits',
    sources: ['sched'],
    chart: { title: 'Blocked threads by cause', name: 'threads', kinds: blockedKinds },
    durations: 'blocked',
    withoutAtFirst: ['idle'],
  },
  {
    id: 'runq',
    title: 'Run queue',
    group: 'time',
    hint: 'Where threads waited for a CPU',
    noun: 'waiting for a CPU',
    counted: 'waits',
    sources: ['sched'],
    chart: { title: 'Threads waiting for a CPU', name: 'runq' },
    durations: 'run queue',
    withoutAtFirst: [],
  },
  {
    id: 'wakeup',
    title: 'Wake-ups',
    group: 'time',
    hint: 'Who ended the waits: the blocked stack, and on it the stack that woke it',
    noun: 'until woken',
    counted: 'waits',
    sources: ['sched'],
    chart: { title: 'Blocked threads that were woken', name: 'wakeup' },
    durations: 'blocked',
    withoutAtFirst: ['idle'],
  },
  {
    id: 'faults',
    title: 'Page faults',
    group: 'memory',
    hint: 'Where memory was touched that the kernel had to bring first',
    noun: 'page faults',
    counted: 'faults',
    sources: ['fault'],
    chart: { title: 'Page faults', name: 'faults' },
    withoutAtFirst: [],
  },
  {
    id: 'rss-growth',
    title: 'RSS growth',
    group: 'memory',
    hint: 'Where resident memory grew; what was given back again is under RSS released',
    noun: 'of resident memory came',
    counted: 'samples',
    sources: ['fault'],
    chart: { title: 'Growth of resident memory', name: 'rss-growth' },
    withoutAtFirst: [],
  },
  {
    id: 'rss-released',
    title: 'RSS released',
    group: 'memory',
    hint: 'Where resident memory was given back or taken; growth less this is the change of VmRSS',
    noun: 'of resident memory went',
    counted: 'samples',
    sources: ['fault'],
    chart: { title: 'Release of resident memory', name: 'rss-released' },
    withoutAtFirst: [],
  },
  {
    id: 'go-heap',
    title: 'Go heap',
    group: 'memory',
    hint: 'Where Go programs allocated, as far as their own runtimes sample it',
    noun: 'allocated',
    counted: 'allocations',
    sources: ['mem'],
    chart: { title: 'Allocations of Go programs', name: 'go-heap' },
    withoutAtFirst: [],
  },
  {
    id: 'mapped',
    title: 'Mapped',
    group: 'memory',
    hint: 'Where address space was asked for: mmap, brk, mremap',
    noun: 'mapped',
    counted: 'calls',
    sources: ['mem'],
    chart: { title: 'Address space mapped', name: 'mapped' },
    withoutAtFirst: [],
  },
  {
    id: 'unmapped',
    title: 'Unmapped',
    group: 'memory',
    hint: 'Where address space was given back: munmap, brk, mremap',
    noun: 'unmapped',
    counted: 'calls',
    sources: ['mem'],
    chart: { title: 'Address space unmapped', name: 'unmapped' },
    withoutAtFirst: [],
  },
  {
    id: 'malloc',
    title: 'malloc',
    group: 'memory',
    hint: 'Where malloc was called, of the one process that was asked for',
    noun: 'asked for',
    counted: 'calls',
    sources: ['mem'],
    chart: { title: 'Bytes asked of malloc', name: 'malloc' },
    withoutAtFirst: [],
  },
  {
    id: 'block',
    title: 'Disk',
    group: 'io',
    hint: 'Who asked disks for what: time of requests in queues and at the device',
    noun: 'of disk requests',
    counted: 'requests',
    sources: ['block'],
    chart: { title: 'Disk requests under way', name: 'block' },
    withoutAtFirst: [],
  },
  {
    id: 'lock',
    title: 'Locks',
    group: 'io',
    hint: 'Where threads waited for locks of user space: the lock, and on it the stack that let go of it',
    noun: 'waiting for locks',
    counted: 'waits',
    sources: ['lock'],
    chart: { title: 'Threads waiting for locks', name: 'lock' },
    withoutAtFirst: ['idle'],
  },
  {
    id: 'lockhold',
    title: 'Lock holds',
    group: 'io',
    hint: 'For how long threads that had waited for a lock held it, by where they let go; about so',
    noun: 'held, about',
    counted: 'waits',
    sources: ['lock'],
    chart: { title: 'Locks held after a wait', name: 'lockhold' },
    withoutAtFirst: [],
  },
];

/** A type that is not known is one that a newer agent has: it is shown as it comes. */
export function profileType(id: string): ProfileType {
  const known = profileTypes.find(type => type.id === id);
  if (known !== undefined) return known;
  return {
    id,
    title: id,
    group: 'time',
    hint: '',
    noun: '',
    counted: 'samples',
    sources: [id],
    chart: { title: id, name: id },
    withoutAtFirst: [],
  };
}

/** The key that chooses a type; '' for those beyond the tenth. */
export function keyOfType(index: number): string {
  return index < 9 ? String(index + 1) : index === 9 ? '0' : '';
}

/** The types by what they are about, in their order, each with its key. */
export function groupedTypes(
  types: readonly ProfileType[] = profileTypes,
): { group: ProfileGroup; entries: { type: ProfileType; key: string }[] }[] {
  const entries = types.map((type, index) => ({ type, key: keyOfType(index) }));
  return (Object.keys(groupTitles) as ProfileGroup[])
    .map(group => ({ group, entries: entries.filter(({ type }) => type.group === group) }))
    .filter(({ entries: own }) => own.length > 0);
}

/** What the names of a type's operations begin with; undefined where what it tells of takes no time. What does I/O or locks always does. */
export function durationsOf(type: ProfileType): string | undefined {
  return type.durations ?? (type.group === 'io' ? '' : undefined);
}

/** The type that tells where an operation's time went, by stacks. */
export function typeOfOperation(source: string, operation: string, types = profileTypes): ProfileType | undefined {
  return types.find(type => {
    const prefix = durationsOf(type);
    return prefix !== undefined && type.sources.length === 1 && type.sources[0] === source && operation.startsWith(prefix);
  });
}

/** The unit as it is shown: what is counted one by one is called by its name, "12 faults". */
export function shownUnit(type: string, unit: string): string {
  return unit === 'count' ? profileType(type).counted : unit;
}

/** The kinds left out as the address says them; undefined where it need not, because the type leaves out these at first. */
export function formatWithout(type: string, without: readonly TimeKind[]): string | undefined {
  const usual = profileType(type).withoutAtFirst;
  if (without.length === usual.length && without.every(kind => usual.includes(kind))) return undefined;
  return without.length === 0 ? 'none' : without.join(',');
}

export function parseWithout(type: string, text: string): TimeKind[] {
  if (text === '') return [...profileType(type).withoutAtFirst];
  return kindOrder.filter(kind => text.split(',').includes(kind));
}

export function isTimeKind(kind: string): kind is TimeKind {
  return (kindOrder as readonly string[]).includes(kind);
}

/** The profile types that the UI shows: what they are called, which sources fill them, and what is left out of them at first. */

import type { TimeKind } from '../../../agent/server/api.ts';

export interface ProfileType {
  id: string;
  title: string;
  hint: string;
  /** What its time is: "12 s blocked". */
  noun: string;
  /** What its samples are called. */
  counted: 'samples' | 'samples and waits' | 'waits' | 'requests' | 'faults' | 'allocations' | 'calls';
  /** Sources that give it, all of which must run for it to be whole. */
  sources: readonly string[];
  /** Its time series: by kind of time, or in one line. */
  chart: { title: string; name: string; kinds?: readonly TimeKind[] };
  /** Kinds of time that would bury the rest. */
  withoutAtFirst: readonly TimeKind[];
}

/** Kinds in the order in which they are stacked and listed: what works, what waits for the machine, what waits for others. */
export const kindOrder: readonly TimeKind[] = [
  ...(['on-cpu', 'runnable', 'disk', 'page-fault', 'lock', 'network', 'waiting', 'idle'] as const),
];
const blockedKinds = kindOrder.filter(kind => kind !== 'on-cpu' && kind !== 'runnable');

/** In the order of the keys 1-9. */
export const profileTypes: readonly ProfileType[] = [
  {
    id: 'cpu',
    title: 'CPU',
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
    hint: 'Where all time went: on CPU, waiting for a CPU, and blocked',
    noun: 'of wall-clock',
    counted: 'samples and waits',
    sources: ['cpu', 'sched'],
    chart: { title: 'Threads by what they did', name: 'threads', kinds: kindOrder },
    withoutAtFirst: ['idle'],
  },
  {
    id: 'offcpu',
    title: 'Off-CPU',
    hint: 'Where threads were blocked, and by what',
    noun: 'blocked',
    counted: 'waits',
    sources: ['sched'],
    chart: { title: 'Blocked threads by cause', name: 'threads', kinds: blockedKinds },
    withoutAtFirst: ['idle'],
  },
  {
    id: 'runq',
    title: 'Run queue',
    hint: 'Where threads waited for a CPU',
    noun: 'waiting for a CPU',
    counted: 'waits',
    sources: ['sched'],
    chart: { title: 'Threads waiting for a CPU', name: 'runq' },
    withoutAtFirst: [],
  },
  {
    id: 'wakeup',
    title: 'Wake-ups',
    hint: 'Who ended the waits: the blocked stack, and on it the stack that woke it',
    noun: 'until woken',
    counted: 'waits',
    sources: ['sched'],
    chart: { title: 'Blocked threads that were woken', name: 'wakeup' },
    withoutAtFirst: ['idle'],
  },
];

/** A type that is not known is one that a newer agent has: it is shown as it comes. */
export function profileType(id: string): ProfileType {
  const known = profileTypes.find(type => type.id === id);
  if (known !== undefined) return known;
  return {
    id,
    title: id,
    hint: '',
    noun: '',
    counted: 'samples',
    sources: [id],
    chart: { title: id, name: id },
    withoutAtFirst: [],
  };
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

/** Series from the server as columns for drawing: times, stacked sums, totals. */

import type { SeriesResult, TimeKind } from '../../../agent/server/api.ts';

export type Column = (number | null)[];

export interface ChartData {
  labels: string[];
  /** Unix seconds. */
  times: number[];
  /** What each group has, in the order of labels. */
  values: Column[];
  /** What is drawn: the values themselves, or each group on top of the ones before it. */
  drawn: Column[];
}

/** The groups in a fixed order, so that each keeps its place and colour; groups not named follow as they are. */
export function orderGroups(result: SeriesResult, order: readonly string[]): SeriesResult {
  const place = (label: string) => (order.includes(label) ? order.indexOf(label) : order.length);
  return { ...result, groups: [...result.groups].sort((a, b) => place(a.label) - place(b.label)) };
}

/** One group per kind in this order, so that colours and legend stay while kinds come and go; without kinds that are not asked for. */
export function kindGroups(result: SeriesResult, kinds: readonly TimeKind[]): SeriesResult {
  const length = Math.max(0, ...result.groups.map(group => group.values.length));
  const measured = Array.from({ length }, (_, i) => result.groups.some(group => group.values[i] !== null));
  const groups = kinds.map(label => {
    const known = result.groups.find(group => group.label === label);
    return { label, values: known?.values ?? measured.map(isMeasured => (isMeasured ? 0 : null)) };
  });
  return { ...result, groups };
}

/** Kinds of time in which something happens. Locks and networks are left to the flame graph: pools and servers wait for them all day. */
export const activityKinds: readonly TimeKind[] = ['on-cpu', 'runnable', 'disk', 'page-fault'];

/** Those kinds, each upon the ones before it; empty where none was measured. */
export function activitySums(
  times: readonly { kind: TimeKind; values: readonly number[] }[],
): { kind: TimeKind; values: number[] }[] {
  const below: number[] = [];
  return activityKinds.flatMap(kind => {
    const own = times.find(time => time.kind === kind);
    if (own === undefined) return [];
    own.values.forEach((value, i) => {
      below[i] = (below[i] ?? 0) + value;
    });
    return [{ kind, values: [...below] }];
  });
}

export function chartData(result: SeriesResult, isStacked: boolean): ChartData {
  const length = Math.max(0, ...result.groups.map(group => group.values.length));
  const startMs = Math.floor(result.fromMs / result.stepMs) * result.stepMs;
  const values = result.groups.map(group => Array.from({ length }, (_, i) => group.values[i] ?? null));
  return {
    labels: result.groups.map(group => group.label),
    times: Array.from({ length }, (_, i) => (startMs + i * result.stepMs) / 1000),
    values,
    drawn: isStacked ? stack(values) : values,
  };
}

/** Sums from the first column on. A moment without any measurement stays a gap; one missing column among others counts as 0. */
export function stack(columns: readonly Column[]): Column[] {
  const length = columns[0]?.length ?? 0;
  const sums: Column = Array.from({ length }, (_, i) => (columns.every(column => column[i] === null) ? null : 0));
  return columns.map(column => {
    for (let i = 0; i < length; i += 1) {
      const sum = sums[i];
      if (sum !== null && sum !== undefined) sums[i] = sum + (column[i] ?? 0);
    }
    return [...sums];
  });
}

/** Sum of the groups at one moment; null where nothing was measured. */
export function sumAt(data: ChartData, index: number): number | null {
  let sum: number | null = null;
  for (const column of data.values) {
    const value = column[index] ?? null;
    if (value !== null) sum = (sum ?? 0) + value;
  }
  return sum;
}

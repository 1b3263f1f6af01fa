/** Values over time: CPU from samples, rates of spans, and metrics, in steps and by group. */

import type Database from 'better-sqlite3';
import { compileSeriesFilter, type SeriesInfo, seriesKeys } from './entity-filter.ts';
import { parseFilter, textTest } from './filter.ts';
import { partsOf, ratePeriodsPerMs, rateUnitOf } from './profile-type.ts';
import type { SeriesQuery, SeriesResult } from './rows.ts';
import type { SeriesIndex } from './series-index.ts';
import { compileSpanFilter } from './span-filter.ts';
import type { SpanScan } from './span-scan.ts';
import type { StackTrie } from './stack-trie.ts';
import { QueryError } from './store-error.ts';
import { TimeKindReader } from './time-kinds.ts';
import { planTimes, readMarks, type TimePlan } from './time-plan.ts';

const stepsSeconds = [1, 5, 10, 30, 60, 300, 3600];
const maxGroups = 20;
const maxPoints = 5000;

/** Series that are counted from stored spans. */
const spanSeries: ReadonlySet<string> = new Set(['spans', 'span.errors']);

/** Sums by group and step, and the steps in which something was measured. */
class StepSums {
  readonly fromMs: number;
  readonly toMs: number;
  readonly stepMs: number;
  readonly steps: number;
  private readonly groups = new Map<string, Float64Array>();
  private readonly measured: Uint8Array;
  /** Milliseconds of each step in which the agent ran, by the seconds and minutes that it left rows in. */
  private readonly ranMs: Float64Array;
  private readonly ran = new Set<number>();

  constructor({ fromMs, toMs, points }: SeriesQuery) {
    const wanted = Math.min(maxPoints, Math.max(1, points || 1));
    const stepSeconds = stepsSeconds.find(step => (toMs - fromMs) / (step * 1000) <= wanted) ?? 3600;
    this.stepMs = stepSeconds * 1000;
    this.fromMs = Math.floor(fromMs / this.stepMs) * this.stepMs;
    this.toMs = toMs;
    this.steps = Math.min(maxPoints * 10, Math.max(0, Math.ceil((toMs - this.fromMs) / this.stepMs)));
    this.measured = new Uint8Array(this.steps);
    this.ranMs = new Float64Array(this.steps);
  }

  /** Adds a value that belongs to [atMs, atMs + lengthMs), spread over the steps that this covers. */
  add(group: string, value: number, { atMs, lengthMs }: { atMs: number; lengthMs: number }): void {
    let sums = this.groups.get(group);
    if (sums === undefined) {
      sums = new Float64Array(this.steps);
      this.groups.set(group, sums);
    }
    const parts = Math.max(1, Math.round(lengthMs / this.stepMs));
    const first = Math.floor((atMs - this.fromMs) / this.stepMs);
    for (let step = Math.max(0, first); step < Math.min(this.steps, first + parts); step += 1)
      sums[step] = (sums[step] as number) + value / parts;
  }

  mark(atMs: number, lengthMs: number): void {
    const first = Math.floor((atMs - this.fromMs) / this.stepMs);
    const parts = Math.max(1, Math.round(lengthMs / this.stepMs));
    for (let step = Math.max(0, first); step < Math.min(this.steps, first + parts); step += 1) this.measured[step] = 1;
  }

  /** Says that the agent ran in a second or minute. */
  markRan(atMs: number, lengthMs: number): void {
    const key = lengthMs === 1000 ? atMs : -atMs;
    if (this.ran.has(key)) return;
    this.ran.add(key);
    this.mark(atMs, lengthMs);
    const first = Math.floor((atMs - this.fromMs) / this.stepMs);
    const parts = Math.max(1, Math.round(lengthMs / this.stepMs));
    for (let step = Math.max(0, first); step < Math.min(this.steps, first + parts); step += 1) {
      this.ranMs[step] = (this.ranMs[step] as number) + Math.min(lengthMs, this.stepMs);
    }
  }

  /** What to divide a step's sum by for a rate: the agent may have run in a part of it, and the range may cover a part of it. */
  measuredMs(step: number, plan: TimePlan): number {
    const ranMs = this.ranMs[step] as number;
    if (ranMs > 0) return ranMs;
    const begin = this.fromMs + step * this.stepMs;
    return Math.max(1, Math.min(begin + this.stepMs, plan.toMs) - Math.max(begin, plan.fromMs));
  }

  /** Groups by falling sum; `scale` turns a step's sum into the value shown. */
  result(scale: (sum: number, step: number) => number): SeriesResult['groups'] {
    const total = (sums: Float64Array) => sums.reduce((sum, value) => sum + value, 0);
    const sorted = [...this.groups]
      .map(([label, sums]) => ({ label, sums, total: total(sums) }))
      .sort((a, b) => b.total - a.total || (a.label < b.label ? -1 : 1));
    const shown = sorted.length > maxGroups ? sorted.slice(0, maxGroups - 1) : sorted;
    const rest = sorted.slice(shown.length);
    if (rest.length > 0) {
      const sums = new Float64Array(this.steps);
      for (const group of rest)
        for (let step = 0; step < this.steps; step += 1) sums[step] = (sums[step] as number) + (group.sums[step] as number);
      shown.push({ label: '(other)', sums, total: 0 });
    }
    return shown.map(({ label, sums }) => ({
      label,
      values: Array.from(sums, (sum, step) => (this.measured[step] === 1 ? scale(sum, step) : null)),
    }));
  }
}

export class SeriesReader {
  private readonly database: Database.Database;
  private readonly series: SeriesIndex;
  private readonly scan: SpanScan;
  private readonly times: TimeKindReader;
  private readonly statements: ReturnType<typeof prepareAll>;

  constructor(database: Database.Database, parts: { series: SeriesIndex; scan: SpanScan; stacks: StackTrie }) {
    this.database = database;
    this.series = parts.series;
    this.scan = parts.scan;
    this.times = new TimeKindReader(database, parts.stacks);
    this.statements = prepareAll(database);
  }

  query(query: SeriesQuery): SeriesResult {
    const sums = new StepSums(query);
    const plan = planTimes({ fromMs: sums.fromMs, toMs: query.toMs }, readMarks(this.database));
    const { unit, groups } = spanSeries.has(query.name)
      ? this.spans(query, sums, plan)
      : this.isMetric(query.name)
        ? this.metrics(query, sums, plan)
        : this.samples(query, sums, plan);
    return { name: query.name, unit, fromMs: sums.fromMs, toMs: query.toMs, stepMs: sums.stepMs, groups };
  }

  /** A name with a dot is a metric's also before its first value: in the agent's first second the host's charts are empty, not refused. */
  private isMetric(name: string): boolean {
    if (this.statements.metricNamed.get(name) !== undefined) return true;
    return name.includes('.') && this.statements.type.get(name) === undefined;
  }

  private samples(query: SeriesQuery, sums: StepSums, plan: TimePlan): Pick<SeriesResult, 'unit' | 'groups'> {
    const isWanted = this.series.tester(compileSeriesFilter(query.filter));
    const isByKind = query.groupBy === 'kind';
    const labels = this.labeller(isByKind ? '' : query.groupBy, query.name);
    const isAlive = this.markMeasured(sums, plan);
    const mark = (atMs: number, lengthMs: number) => (isAlive ? sums.markRan(atMs, lengthMs) : sums.mark(atMs, lengthMs));
    if (query.groupBy === '') sums.add(query.name, 0, { atMs: sums.fromMs, lengthMs: 1 });
    for (const part of partsOf(query.name)) {
      if (isByKind) {
        this.times.each(part, plan, isWanted, ({ atMs, lengthMs }, kinds) => {
          mark(atMs, lengthMs);
          for (const [kind, value] of kinds) sums.add(kind, value, { atMs, lengthMs });
        });
        continue;
      }
      const type = this.statements.type.get(part) as number | undefined;
      for (const { isMinute, from, to } of type === undefined ? [] : plan.pieces) {
        const lengthMs = isMinute ? 60_000 : 1000;
        const select = isMinute ? this.statements.minuteSums : this.statements.secondSums;
        for (const row of select.iterate(type, from, to) as IterableIterator<{ time: number; series: number; value: number }>) {
          const atMs = row.time * lengthMs;
          mark(atMs, lengthMs);
          if (isWanted(row.series)) sums.add(labels(row.series), row.value, { atMs, lengthMs });
        }
      }
    }
    const unit = rateUnitOf(query.name);
    const periodsPerMs = ratePeriodsPerMs(query.name);
    return { unit, groups: sums.result((sum, step) => sum / (sums.measuredMs(step, plan) * periodsPerMs)) };
  }

  private spans(query: SeriesQuery, sums: StepSums, plan: TimePlan): Pick<SeriesResult, 'unit' | 'groups'> {
    const filter = compileSpanFilter(query.filter);
    const labels = this.labeller(query.groupBy, query.name, ['name', 'source', 'error']);
    const isErrorsOnly = query.name === 'span.errors';
    this.markMeasured(sums, plan);
    if (query.groupBy === '') sums.add(query.name, 0, { atMs: sums.fromMs, lengthMs: 1 });
    this.scan.each({ fromMs: sums.fromMs, toMs: query.toMs }, filter, ({ columns, indexes, count, offsetNs }) => {
      const bySeries = columns.seriesIds.map(id => labels(id));
      for (let i = 0; i < count; i += 1) {
        const index = indexes[i] as number;
        const error = columns.error[index] as number;
        if (isErrorsOnly && error === 0) continue;
        const operation = columns.operations[columns.operation[index] as number];
        const label =
          query.groupBy === 'name' || query.groupBy === 'source'
            ? (operation?.[query.groupBy] ?? '')
            : query.groupBy === 'error'
              ? (columns.errorNames[error] ?? '')
              : (bySeries[columns.series[index] as number] ?? '');
        const atMs = sums.fromMs + ((columns.starts[index] as number) + offsetNs) / 1e6;
        sums.mark(atMs, 1);
        sums.add(label, 1, { atMs, lengthMs: 1 });
      }
    });
    return { unit: 'per second', groups: sums.result((sum, step) => (sum * 1000) / sums.measuredMs(step, plan)) };
  }

  /** Averages over each step; metrics that differ in labels which nothing groups by are added up. */
  private metrics(query: SeriesQuery, sums: StepSums, plan: TimePlan): Pick<SeriesResult, 'unit' | 'groups'> {
    const terms = parseFilter(query.filter).map(term => ({ key: term.key, test: textTest(term) }));
    const metrics = this.statements.metricsNamed.all(query.name) as { id: number; labels: string }[];
    for (const { id, labels } of metrics) {
      const values = parseLabels(labels);
      if (!terms.every(({ key, test }) => (key === '' ? test(labels) : test(values.get(key) ?? '')))) continue;
      const group = query.groupBy === '' ? query.name : (values.get(query.groupBy) ?? '');
      const own = new Float64Array(sums.steps);
      const counts = new Uint32Array(sums.steps);
      for (const { isMinute, from, to } of plan.pieces) {
        const unitMs = isMinute ? 60_000 : 1000;
        const select = isMinute ? this.statements.metricMinutes : this.statements.metricSeconds;
        for (const row of select.iterate(id, from, to) as IterableIterator<{ time: number; value: number }>) {
          const first = Math.max(0, Math.floor((row.time * unitMs - sums.fromMs) / sums.stepMs));
          const end = Math.min(sums.steps, first + Math.max(1, Math.round(unitMs / sums.stepMs)));
          sums.mark(row.time * unitMs, unitMs);
          for (let step = first; step < end; step += 1) {
            own[step] = (own[step] as number) + row.value;
            counts[step] = (counts[step] as number) + 1;
          }
        }
      }
      for (let step = 0; step < sums.steps; step += 1) {
        if (counts[step] !== 0)
          sums.add(group, (own[step] as number) / (counts[step] as number), {
            atMs: sums.fromMs + step * sums.stepMs,
            lengthMs: 1,
          });
      }
    }
    return { unit: metricUnit(query.name), groups: sums.result(sum => sum) };
  }

  /** The agent writes metrics each second: where there are some, no sample means 0 and not that nobody looked. */
  private markMeasured(sums: StepSums, plan: TimePlan): boolean {
    let isAny = false;
    for (const { isMinute, from, to } of plan.pieces) {
      const unitMs = isMinute ? 60_000 : 1000;
      const select = isMinute ? this.statements.anyMinutes : this.statements.anySeconds;
      for (const time of select.iterate(from, to) as IterableIterator<number>) {
        sums.markRan(time * unitMs, unitMs);
        isAny = true;
      }
    }
    return isAny;
  }

  private labeller(groupBy: string, name: string, more: readonly string[] = []): (seriesId: number) => string {
    if (groupBy === '') return () => name;
    if (more.includes(groupBy)) return () => '';
    if (!seriesKeys.includes(groupBy)) {
      throw new QueryError(`${name} cannot be grouped by "${groupBy}"`, `use one of ${[...seriesKeys, ...more].join(', ')}`);
    }
    const labels = new Map<number, string>();
    return id => {
      let label = labels.get(id);
      if (label === undefined) {
        label = String(this.series.get(id)[groupBy as keyof SeriesInfo]);
        labels.set(id, label);
      }
      return label;
    };
  }
}

export function parseLabels(labels: string): Map<string, string> {
  const pairs = labels === '' ? [] : labels.split(',');
  return new Map(
    pairs.map(pair => {
      const at = pair.indexOf('=');
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

const metricUnits: readonly [RegExp, string][] = [
  [/^host\.cpu$|\.cpu$/, 'cores'],
  [/^host\.(disk|network)$/, 'bytes per second'],
  [/memory|bytes/, 'bytes'],
];

function metricUnit(name: string): string {
  return metricUnits.find(([pattern]) => pattern.test(name))?.[1] ?? '';
}

function prepareAll(database: Database.Database) {
  return {
    type: database.prepare('SELECT id FROM profile_type WHERE name = ?').pluck(),
    secondSums: database.prepare('SELECT time, series, value FROM sample_second WHERE type = ? AND time >= ? AND time < ?'),
    minuteSums: database.prepare(
      'SELECT time, series, value FROM sample_minute INDEXED BY sample_minute_sum WHERE type = ? AND time >= ? AND time < ?',
    ),
    metricNamed: database.prepare('SELECT 1 FROM metric WHERE name = ? LIMIT 1').pluck(),
    metricsNamed: database.prepare('SELECT id, labels FROM metric WHERE name = ?'),
    metricSeconds: database.prepare('SELECT time, value FROM metric_second WHERE metric = ? AND time >= ? AND time < ?'),
    metricMinutes: database.prepare('SELECT time, value FROM metric_minute WHERE metric = ? AND time >= ? AND time < ?'),
    anySeconds: database.prepare('SELECT DISTINCT time FROM metric_second WHERE time >= ? AND time < ?').pluck(),
    anyMinutes: database
      .prepare(
        'SELECT DISTINCT time FROM metric_minute WHERE metric IN (SELECT id FROM metric LIMIT 5) AND time >= ? AND time < ?',
      )
      .pluck(),
  };
}

/** Services, processes, and the values that filter keys can take. */

import type Database from 'better-sqlite3';
import { compileSeriesFilter, type SeriesInfo, type SeriesTest, seriesKeys } from './entity-filter.ts';
import type { ProcessSummary, ServiceRow, TimeRange } from './rows.ts';
import type { SeriesIndex } from './series-index.ts';
import { compileSpanFilter } from './span-filter.ts';
import type { SpanScan } from './span-scan.ts';
import type { StackTrie } from './stack-trie.ts';
import { TimeKindReader } from './time-kinds.ts';
import { planTimes, readMarks } from './time-plan.ts';

const maxProcesses = 5000;
const maxValues = 100;
const sparkPoints = 60;

/** The source whose spans are lives of processes. */
const lifetimeSource = 'exec';

/** Durations are summed in 64 steps per power of two, so that percentiles are right within 1.1 %. */
const stepsPerOctave = 64;
const octaves = 50;

interface ServiceSums extends ServiceRow {
  histogram: Uint32Array | undefined;
}

interface ProcessRecord extends Omit<ProcessSummary, 'exitMs'> {
  id: number;
  exitMs: number;
}

export class EntityReader {
  private readonly database: Database.Database;
  private readonly index: SeriesIndex;
  private readonly scan: SpanScan;
  private readonly times: TimeKindReader;
  private readonly statements: ReturnType<typeof prepareAll>;

  constructor(database: Database.Database, parts: { series: SeriesIndex; scan: SpanScan; stacks: StackTrie }) {
    this.database = database;
    this.index = parts.series;
    this.scan = parts.scan;
    this.times = new TimeKindReader(database, parts.stacks);
    this.statements = prepareAll(database);
  }

  services(query: TimeRange & { filter: string }): ServiceRow[] {
    const filter = compileSpanFilter(query.filter);
    const test: SeriesTest = series => filter.series.every(own => own(series)) && filter.words.every(word => word.series(series));
    const services = new Map<string, ServiceSums>();
    const of = (name: string) => {
      let sums = services.get(name);
      if (sums === undefined) {
        const cpuSeries = new Array<number>(sparkPoints).fill(0);
        sums = {
          service: name,
          processes: 0,
          cpuSeconds: 0,
          cpuSeries,
          timeSeries: [],
          spans: 0,
          errors: 0,
          calls: 0,
          p50Ns: 0,
          p99Ns: 0,
          histogram: undefined,
        };
        services.set(name, sums);
      }
      return sums;
    };
    for (const process of this.alive(query))
      if (test({ ...seriesOf(process), thread: '', tid: process.pid })) of(process.service).processes += 1;
    this.addCpu(query, test, of);
    this.addTimes(query, test, of);
    this.addSpans(query, filter, of);
    return [...services.values()]
      .map(({ histogram, ...row }) =>
        histogram === undefined
          ? row
          : { ...row, p50Ns: percentile(histogram, row.calls, 0.5), p99Ns: percentile(histogram, row.calls, 0.99) },
      )
      .sort((a, b) => b.cpuSeconds - a.cpuSeconds || b.spans - a.spans || (a.service < b.service ? -1 : 1));
  }

  processes(query: TimeRange & { filter: string }): ProcessSummary[] {
    const test = compileSeriesFilter(query.filter, 'processes');
    const found: ProcessSummary[] = [];
    for (const process of this.alive(query)) {
      if (!test(seriesOf(process))) continue;
      const { id: _id, exitMs, ...summary } = process;
      found.push({ ...summary, exitMs: exitMs === 0 ? null : exitMs });
      if (found.length >= maxProcesses) break;
    }
    return found;
  }

  /** Values of a key, most frequent first; of key '' the keys themselves. */
  values(key: string, prefix: string, range: TimeRange): string[] {
    const counts = new Map<string, number>();
    const add = (value: string, count: number) => {
      if (value !== '' && value.startsWith(prefix)) counts.set(value, (counts.get(value) ?? 0) + count);
    };
    if (key === '') for (const known of [...seriesKeys, 'name', 'source', 'error', 'duration', 'trace']) add(known, 1);
    if (seriesKeys.includes(key)) this.addSeriesValues(key as keyof SeriesInfo, range, add);
    else this.addSpanValues(key, range, add);
    const sorted = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    return sorted.slice(0, maxValues).map(([value]) => value);
  }

  private *alive({ fromMs, toMs }: TimeRange): Generator<ProcessRecord> {
    const rows = this.statements.alive.iterate(BigInt(Math.floor(toMs)) * 1_000_000n, BigInt(Math.floor(fromMs)) * 1_000_000n);
    yield* rows as IterableIterator<ProcessRecord>;
  }

  private addCpu(query: TimeRange, test: SeriesTest, of: (service: string) => ServiceSums): void {
    const type = this.statements.type.get('cpu') as number | undefined;
    if (type === undefined) return;
    const isWanted = this.index.tester(test);
    const plan = planTimes(query, readMarks(this.database));
    const stepMs = Math.max(1, (plan.toMs - plan.fromMs) / sparkPoints);
    for (const { isMinute, from, to } of plan.pieces) {
      const unitMs = isMinute ? 60_000 : 1000;
      const select = isMinute ? this.statements.minuteSums : this.statements.secondSums;
      for (const row of select.iterate(type, from, to) as IterableIterator<{ time: number; series: number; value: number }>) {
        if (!isWanted(row.series)) continue;
        const sums = of(this.index.get(row.series).service);
        sums.cpuSeconds += row.value / 1e9;
        // A minute that is longer than a step is spread over the steps that it covers.
        const first = Math.floor((row.time * unitMs - plan.fromMs) / stepMs);
        const parts = Math.max(1, Math.round(unitMs / stepMs));
        for (let step = Math.max(0, first); step < Math.min(sparkPoints, first + parts); step += 1) {
          sums.cpuSeries[step] = (sums.cpuSeries[step] as number) + row.value / parts / (stepMs * 1e6);
        }
      }
    }
  }

  /** What the threads did, in the steps of CPU time. */
  private addTimes(query: TimeRange, test: SeriesTest, of: (service: string) => ServiceSums): void {
    const plan = planTimes(query, readMarks(this.database));
    const stepMs = Math.max(1, (plan.toMs - plan.fromMs) / sparkPoints);
    this.times.each('threads', plan, this.index.tester(test), ({ atMs, lengthMs, series }, kinds) => {
      const { timeSeries } = of(this.index.get(series).service);
      const first = Math.floor((atMs - plan.fromMs) / stepMs);
      const parts = Math.max(1, Math.round(lengthMs / stepMs));
      for (const [kind, value] of kinds) {
        let values = timeSeries.find(own => own.kind === kind)?.values;
        if (values === undefined) {
          values = new Array<number>(sparkPoints).fill(0);
          timeSeries.push({ kind, values });
        }
        for (let step = Math.max(0, first); step < Math.min(sparkPoints, first + parts); step += 1)
          values[step] = (values[step] as number) + value / parts / (stepMs * 1e6);
      }
    });
  }

  private addSpans(query: TimeRange, filter: ReturnType<typeof compileSpanFilter>, of: (service: string) => ServiceSums): void {
    this.scan.each(query, filter, ({ columns, indexes, count }) => {
      const bySeries = new Array<ServiceSums | undefined>(columns.seriesIds.length);
      const isCall = columns.operations.map(({ source }) => source !== lifetimeSource);
      for (let i = 0; i < count; i += 1) {
        const index = indexes[i] as number;
        const slot = columns.series[index] as number;
        let sums = bySeries[slot];
        if (sums === undefined) {
          sums = of(this.index.get(columns.seriesIds[slot] as number).service);
          bySeries[slot] = sums;
        }
        sums.spans += 1;
        if (columns.error[index] !== 0) sums.errors += 1;
        if (isCall[columns.operation[index] as number] !== true) continue;
        sums.calls += 1;
        sums.histogram ??= new Uint32Array(stepsPerOctave * octaves);
        const step = Math.floor(Math.log2(Math.max(1, columns.durations[index] as number)) * stepsPerOctave);
        sums.histogram[step] = (sums.histogram[step] as number) + 1;
      }
    });
  }

  private addSeriesValues(key: keyof SeriesInfo, range: TimeRange, add: (value: string, count: number) => void): void {
    const plan = planTimes(range, readMarks(this.database));
    for (const type of this.statements.types.all() as number[]) {
      for (const { isMinute, from, to } of plan.pieces) {
        const select = isMinute ? this.statements.minuteSeries : this.statements.secondSeries;
        for (const row of select.iterate(type, from, to) as IterableIterator<{ series: number; samples: number }>) {
          add(String(this.index.get(row.series)[key]), row.samples);
        }
      }
    }
    this.scan.each(range, compileSpanFilter(''), ({ columns, indexes, count }) => {
      const counts = new Uint32Array(columns.seriesIds.length);
      for (let i = 0; i < count; i += 1) {
        const slot = columns.series[indexes[i] as number] as number;
        counts[slot] = (counts[slot] as number) + 1;
      }
      columns.seriesIds.forEach((id, slot) => {
        if (counts[slot] !== 0) add(String(this.index.get(id)[key]), counts[slot] as number);
      });
    });
    // Processes that did nothing are found too, after those that did.
    if (key !== 'thread' && key !== 'tid') for (const process of this.alive(range)) add(String(seriesOf(process)[key]), 0);
  }

  private addSpanValues(key: string, range: TimeRange, add: (value: string, count: number) => void): void {
    let left = maxAttributeSpans;
    this.scan.each(
      range,
      compileSpanFilter(''),
      ({ segment, columns, indexes, count }) => {
        left -= count;
        const details = key === 'name' || key === 'source' || key === 'error' ? undefined : this.scan.detailsOf(segment);
        if (key === '') {
          for (const shape of details?.shapes ?? []) for (const name of shape) add(name, 1);
          return;
        }
        for (let i = 0; i < count; i += 1) {
          const index = indexes[i] as number;
          const operation = columns.operations[columns.operation[index] as number];
          if (key === 'name' || key === 'source') add(operation?.[key] ?? '', 1);
          else if (key === 'error') add(columns.errorNames[columns.error[index] as number] ?? '', 1);
          else add(String(details?.attribute(index, key) ?? ''), 1);
        }
      },
      // The newest spans are enough for completion, and keep it quick.
      { segments: this.scan.segments(range).reverse(), isSkipped: () => left <= 0 },
    );
  }
}

const maxAttributeSpans = 100_000;

function seriesOf(process: ProcessRecord): SeriesInfo {
  const { id, service, comm, pid, containerId, executable } = process;
  return { processId: id, service, process: comm, pid, tid: 0, thread: '', container: containerId, executable };
}

/** The duration below which this share of the spans lies: the middle of its histogram step. */
function percentile(histogram: Uint32Array, count: number, share: number): number {
  let left = Math.max(1, Math.ceil(count * share));
  for (let step = 0; step < histogram.length; step += 1) {
    left -= histogram[step] as number;
    if (left <= 0) return Math.round(2 ** ((step + 0.5) / stepsPerOctave));
  }
  return 0;
}

function prepareAll(database: Database.Database) {
  return {
    types: database.prepare('SELECT id FROM profile_type').pluck(),
    type: database.prepare('SELECT id FROM profile_type WHERE name = ?').pluck(),
    secondSums: database.prepare('SELECT time, series, value FROM sample_second WHERE type = ? AND time >= ? AND time < ?'),
    minuteSums: database.prepare(
      'SELECT time, series, value FROM sample_minute INDEXED BY sample_minute_sum WHERE type = ? AND time >= ? AND time < ?',
    ),
    secondSeries: database.prepare(
      'SELECT series, sum(samples) AS samples FROM sample_second WHERE type = ? AND time >= ? AND time < ? GROUP BY series',
    ),
    minuteSeries: database.prepare(
      'SELECT series, sum(samples) AS samples FROM sample_minute INDEXED BY sample_minute_sum WHERE type = ? AND time >= ? AND time < ? GROUP BY series',
    ),
    alive: database.prepare(
      `SELECT id, pid, parent_pid AS parentPid, comm, service, executable, command_line AS commandLine, build_id AS buildId,
       container_id AS containerId, start_ns / 1000000 AS startMs, exit_ns / 1000000 AS exitMs, exit_status AS exitStatus
       FROM process WHERE start_ns < ? AND (exit_ns = 0 OR exit_ns >= ?) ORDER BY start_ns DESC`,
    ),
  };
}

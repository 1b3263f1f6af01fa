/** What threads did, moment by moment: time on the CPU, waiting for one, and blocked, by cause. */

import type Database from 'better-sqlite3';
import { compileSeriesFilter, type SeriesInfo } from './entity-filter.ts';
import type { ThreadsQuery, ThreadsResult, ThreadTimeline, TimeKind } from './rows.ts';
import type { SeriesIndex } from './series-index.ts';
import type { StackTrie } from './stack-trie.ts';
import { TimeKindReader } from './time-kinds.ts';
import { bySeconds, planTimes, readMarks } from './time-plan.ts';

const threadsType = 'threads';
const stepsSeconds = [1, 5, 10, 30, 60, 300, 3600, 86_400];

/** Kinds of time in which something happens to a thread. A lock is waited for by idle pools too, and a network by idle servers. */
const activeKinds: ReadonlySet<TimeKind> = new Set(['on-cpu', 'runnable', 'disk', 'page-fault']);

interface ThreadSums {
  info: SeriesInfo;
  activeNs: number;
  readonly kinds: Map<TimeKind, Float64Array>;
}

export class ThreadReader {
  private readonly database: Database.Database;
  private readonly series: SeriesIndex;
  private readonly times: TimeKindReader;

  constructor(database: Database.Database, series: SeriesIndex, stacks: StackTrie) {
    this.database = database;
    this.series = series;
    this.times = new TimeKindReader(database, stacks);
  }

  query({ fromMs, toMs, filter, points, limit, order = 'active' }: ThreadsQuery): ThreadsResult {
    const stepMs = (stepsSeconds.find(step => (toMs - fromMs) / (step * 1000) <= points) ?? 86_400) * 1000;
    const beginMs = Math.floor(fromMs / stepMs) * stepMs;
    const steps = Math.max(0, Math.ceil((toMs - beginMs) / stepMs));
    const marks = readMarks(this.database);
    const plan = planTimes({ fromMs: beginMs, toMs }, stepMs < 60_000 ? bySeconds(marks) : marks);
    const threads = new Map<string, ThreadSums>();
    const isWanted = this.series.tester(compileSeriesFilter(filter));
    this.times.each(threadsType, plan, isWanted, ({ atMs, lengthMs, series }, kinds) => {
      const thread = threadOf(threads, this.series.get(series));
      const parts = Math.max(1, Math.round(lengthMs / stepMs));
      const first = Math.floor((atMs - beginMs) / stepMs);
      for (const [kind, value] of kinds) {
        const sums = thread.kinds.get(kind) ?? new Float64Array(steps);
        thread.kinds.set(kind, sums);
        for (let step = Math.max(0, first); step < Math.min(steps, first + parts); step += 1) {
          sums[step] = (sums[step] as number) + value / parts;
          if (activeKinds.has(kind)) thread.activeNs += value / parts;
        }
      }
    });
    for (const { kinds } of threads.values()) spreadLate([...kinds.values()], stepMs * 1e6);
    const sorted = sortedThreads([...threads.values()], order);
    const shown = sorted.slice(0, limit);
    return {
      fromMs: beginMs,
      toMs,
      stepMs,
      steps,
      threads: (order === 'process' ? byProcess(shown) : shown).map(timelineOf),
      more: Math.max(0, sorted.length - limit),
    };
  }
}

function sortedThreads(threads: ThreadSums[], order: NonNullable<ThreadsQuery['order']>): ThreadSums[] {
  const weights = new Map<ThreadSums, number>();
  for (const thread of threads) {
    const values = order === 'active' || order === 'process' ? undefined : (thread.kinds.get(order) ?? new Float64Array(0));
    weights.set(thread, values === undefined ? thread.activeNs : values.reduce((sum, value) => sum + value, 0));
  }
  const weight = (thread: ThreadSums) => weights.get(thread) as number;
  return threads.sort((a, b) => weight(b) - weight(a) || a.info.pid - b.info.pid || a.info.tid - b.info.tid);
}

/** Threads of a process together, in their order, where its first one stands. */
function byProcess(threads: readonly ThreadSums[]): ThreadSums[] {
  const processes = Map.groupBy(threads, thread => thread.info.processId);
  return [...processes.values()].flat();
}

/** A thread that changes its name stays one line, under its latest name. */
function threadOf(threads: Map<string, ThreadSums>, info: SeriesInfo): ThreadSums {
  const key = `${info.processId} ${info.tid}`;
  let thread = threads.get(key);
  if (thread === undefined) {
    thread = { info, activeNs: 0, kinds: new Map() };
    threads.set(key, thread);
  }
  thread.info = info;
  return thread;
}

/**
 * Sums are read about once a second, later on a busy host, and are of all time since they were read before. What is more than a step
 * can hold is of the steps before it in which nothing was read.
 */
function spreadLate(kinds: readonly Float64Array[], stepNs: number): void {
  const steps = kinds[0]?.length ?? 0;
  const sumOf = (step: number) => kinds.reduce((sum, values) => sum + (values[step] as number), 0);
  let empty = 0;
  for (let step = 0; step < steps; step += 1) {
    const sum = sumOf(step);
    const before = Math.min(empty, Math.round(sum / stepNs) - 1);
    empty = sum === 0 ? empty + 1 : 0;
    if (before <= 0) continue;
    for (const values of kinds) values.fill((values[step] as number) / (before + 1), step - before, step + 1);
  }
}

function timelineOf({ info, activeNs, kinds }: ThreadSums): ThreadTimeline {
  const { service, process, pid, tid, thread } = info;
  const parts = [...kinds].map(([kind, values]) => ({
    kind,
    totalNs: values.reduce((sum, value) => sum + value, 0),
    values: Array.from(values, Math.round),
  }));
  return { service, process, pid, tid, thread, activeNs, kinds: parts.sort((a, b) => b.totalNs - a.totalNs) };
}

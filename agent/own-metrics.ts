/** The agent's metrics: rate, errors and duration of the functions it watches, the ledger, its own cost. For OTLP and Prometheus. */

import type { Metric, MetricSnapshot } from './export/metric-snapshot.ts';
import type { PipelineTotals } from './pipeline.ts';
import type { StatusResponse } from './server/api.ts';

/** Powers of two from 1.024 us (2^10 ns) to 17 s (2^34 ns), in seconds: the kernel's histogram without its empty ends. */
const firstPower = 10;
const lastPower = 34;
const durationBounds = Array.from({ length: lastPower - firstPower + 1 }, (_, i) => 2 ** (firstPower + i) / 1e9);

export function metricSnapshot(totals: PipelineTotals, status: StatusResponse): MetricSnapshot {
  return {
    startMs: status.startedMs,
    timeMs: status.nowMs,
    metrics: [
      ...functionMetrics(totals),
      ...ledgerMetrics(totals),
      ...costMetrics(status),
      ...governorMetrics(status.governor),
      ...exportMetrics(status),
    ],
  };
}

function functionMetrics({ operations }: PipelineTotals): Metric[] {
  const labelsOf = (row: PipelineTotals['operations'][number]) => ({ source: row.source, operation: row.operation });
  return [
    {
      name: 'hotspan.function.duration',
      unit: 's',
      help: 'Duration of all calls of the watched functions and of all waits of threads, those below the minimum latency included.',
      type: 'histogram',
      bounds: durationBounds,
      points: operations.map(row => ({
        labels: labelsOf(row),
        value: { count: row.calls, sum: row.totalNs / 1e9, counts: boundCounts(row.buckets) },
      })),
    },
    {
      name: 'hotspan.function.errors',
      unit: '{call}',
      help: 'Calls of the watched functions that returned an error.',
      type: 'counter',
      points: operations.map(row => ({ labels: labelsOf(row), value: row.errors })),
    },
    {
      name: 'hotspan.function.io',
      unit: 'By',
      help: 'Bytes that the watched functions moved.',
      type: 'counter',
      points: operations.map(row => ({ labels: labelsOf(row), value: row.bytes })),
    },
  ];
}

/** buckets[i] counts [2^i, 2^(i+1)) ns; a bound 2^n takes everything below it. */
function boundCounts(buckets: readonly number[]): number[] {
  const counts = new Array<number>(durationBounds.length + 1).fill(0);
  for (const [power, count] of buckets.entries()) {
    const index = Math.min(Math.max(power + 1 - firstPower, 0), durationBounds.length);
    counts[index] = (counts[index] ?? 0) + count;
  }
  return counts;
}

function ledgerMetrics({ sources }: PipelineTotals): Metric[] {
  const counter = (name: string, help: string, pick: (row: PipelineTotals['sources'][number]) => number): Metric => ({
    name,
    unit: '{event}',
    help,
    type: 'counter',
    points: sources.map(row => ({ labels: { source: row.source }, value: pick(row) })),
  });
  return [
    counter('hotspan.events.seen', 'Events that the kernel programs of a source saw.', row => row.seen),
    counter('hotspan.events.stored', 'Events whose results were stored.', row => row.stored),
    {
      name: 'hotspan.events.lost',
      unit: '{event}',
      help: 'Events lost or left out, by reason.',
      type: 'counter',
      points: sources.flatMap(row =>
        Object.entries(row.lost).map(([reason, value]) => ({ labels: { source: row.source, reason }, value })),
      ),
    },
    {
      name: 'hotspan.events.in_flight',
      unit: '{event}',
      help: 'Events on their way: calls not yet returned, records in buffers, stacks that wait for names.',
      type: 'gauge',
      points: sources.map(row => ({ labels: { source: row.source }, value: row.inFlight })),
    },
  ];
}

function costMetrics(status: StatusResponse): Metric[] {
  const gauge = (name: string, unit: string, help: string, value: number): Metric => ({
    name,
    unit,
    help,
    type: 'gauge',
    points: [{ labels: {}, value }],
  });
  return [
    gauge('hotspan.agent.cpu', '1', 'Share of the host CPU that the agent uses, its kernel programs included.', status.cpuShare),
    gauge('hotspan.agent.memory', 'By', 'Resident memory of the agent process.', status.rssBytes),
    gauge('hotspan.agent.map_memory', 'By', 'Kernel memory of the BPF maps.', status.mapBytes),
    gauge('hotspan.agent.buffer_memory', 'By', 'Kernel memory of the perf buffers.', status.bufferBytes),
    gauge('hotspan.store.size', 'By', 'Size of the store on disk.', status.store.bytes),
  ];
}

/** How far the agent holds itself back to keep its budget of CPU. */
function governorMetrics(state: StatusResponse['governor']): Metric[] {
  const gauge = (name: string, unit: string, help: string, value: number): Metric => ({
    name,
    unit,
    help,
    type: 'gauge',
    points: [{ labels: {}, value }],
  });
  return [
    gauge('hotspan.governor.budget', '1', 'Share of the host CPU that the agent may use; 0: no limit.', state.budgetShare),
    gauge('hotspan.governor.cost', '1', 'Share of the host CPU that the budget is compared with.', state.costShare),
    gauge('hotspan.governor.level', '{step}', 'Steps in force to keep the budget; 0: all is as it was asked for.', state.level),
    {
      name: 'hotspan.governor.steps',
      unit: '{step}',
      help: 'Steps taken to keep the budget, and taken back.',
      type: 'counter',
      points: [
        { labels: { direction: 'up' }, value: state.stepsUp },
        { labels: { direction: 'down' }, value: state.stepsDown },
      ],
    },
    {
      name: 'hotspan.governor.held_back',
      unit: 's',
      help: 'Time in which the agent held itself back to keep its budget.',
      type: 'counter',
      points: [{ labels: {}, value: state.secondsHeldBack }],
    },
    {
      name: 'hotspan.governor.limit',
      unit: '1',
      help: 'Settings in force instead of those that were asked for, in their own unit.',
      type: 'gauge',
      points: state.limits.map(({ source, setting, inForce }) => ({ labels: { source, setting }, value: inForce })),
    },
    {
      name: 'hotspan.governor.paused',
      unit: '1',
      help: '1 for each source that does not run, to keep the budget.',
      type: 'gauge',
      points: state.paused.map(source => ({ labels: { source }, value: 1 })),
    },
  ];
}

function exportMetrics({ exporters }: StatusResponse): Metric[] {
  const points = (pick: (state: StatusResponse['exporters'][number]) => number) =>
    exporters.map(state => ({ labels: { exporter: state.name }, value: pick(state) }));
  return [
    {
      name: 'hotspan.export.queued',
      unit: '{item}',
      help: 'Items that wait to be exported.',
      type: 'gauge',
      points: points(state => state.queued),
    },
    {
      name: 'hotspan.export.sent',
      unit: '{item}',
      help: 'Items that the collector took.',
      type: 'counter',
      points: points(state => state.sent),
    },
    {
      name: 'hotspan.export.dropped',
      unit: '{item}',
      help: 'Items given up: refused, or older than the backlog holds.',
      type: 'counter',
      points: points(state => state.dropped),
    },
  ];
}

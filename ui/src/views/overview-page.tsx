/** The Overview: what the host does, and which service does it; a service opens in place to show why. */

import { useMemo } from 'preact/hooks';
import type { SeriesResult, ServiceRow } from '../../../agent/server/api.ts';
import { formatBytes, formatCompact, formatCoreCount, formatCount, formatRoundBytes, formatTime } from '../lib/format.ts';
import { type Rgb, seriesHue } from '../lib/frame-kind.ts';
import { chartData, orderGroups } from '../lib/series.ts';
import { resolveRange } from '../lib/time-range.ts';
import { filterText, navigate, param } from '../state/address.ts';
import { apiUrl } from '../state/api.ts';
import { useKeys } from '../state/keys.ts';
import { agentNowMs, liveTick, queryFrom, queryTo, recordedRange } from '../state/live.ts';
import { useApi } from '../state/use-api.ts';
import { BudgetNotice } from './budget.tsx';
import { OperationTable } from './operation-table.tsx';
import { Empty, EmptyActions, FailureNote, SkeletonRows } from './parts.tsx';
import { ServiceTable } from './service-table.tsx';
import { TimeSeries } from './time-series.tsx';

interface HostChart {
  name: string;
  title: string;
  groupBy: string;
  /** Values of groupBy in the order of hues. */
  groups: readonly string[];
  isStacked: boolean;
  hues: readonly Rgb[];
  format: (value: number) => string;
  formatAxis: (value: number) => string;
  isWhole?: boolean;
}

const hostCharts: readonly HostChart[] = [
  {
    name: 'host.cpu',
    title: 'CPU, cores',
    groupBy: 'kind',
    groups: ['user', 'system', 'iowait', 'steal'],
    isStacked: true,
    hues: [7, 1, 3, 0].map(seriesHue),
    format: formatCoreCount,
    formatAxis: formatCompact,
  },
  {
    name: 'host.load',
    title: 'Load, 1 min',
    groupBy: '',
    groups: [],
    isStacked: false,
    hues: [seriesHue(7)],
    format: formatCoreCount,
    formatAxis: formatCompact,
  },
  {
    name: 'host.memory.used',
    title: 'Memory used',
    groupBy: '',
    groups: [],
    isStacked: true,
    hues: [seriesHue(7)],
    format: formatBytes,
    formatAxis: formatRoundBytes,
    isWhole: true,
  },
  {
    name: 'host.disk',
    title: 'Disk',
    groupBy: 'direction',
    groups: ['read', 'write'],
    isStacked: false,
    hues: [seriesHue(0), seriesHue(1)],
    format: bytesPerSecond,
    formatAxis: formatRoundBytes,
    isWhole: true,
  },
  {
    name: 'host.network',
    title: 'Network',
    groupBy: 'direction',
    groups: ['receive', 'transmit'],
    isStacked: false,
    hues: [seriesHue(0), seriesHue(1)],
    format: bytesPerSecond,
    formatAxis: formatRoundBytes,
    isWhole: true,
  },
];

function bytesPerSecond(value: number): string {
  return `${formatBytes(value)}/s`;
}

export function OverviewPage() {
  return (
    <div class="overview-page">
      <BudgetNotice />
      <div class="host-strip" data-testid="host-strip">
        {hostCharts.map(chart => (
          <HostSeries key={chart.name} chart={chart} />
        ))}
      </div>
      <Services />
      <OperationTable />
    </div>
  );
}

function HostSeries({ chart }: { chart: HostChart }) {
  const answer = useApi<SeriesResult>(
    apiUrl('series', { name: chart.name, from: queryFrom.value, to: queryTo.value, groupBy: chart.groupBy, points: 150 }),
  );
  const range = useMemo(
    () => resolveRange(queryFrom.value, queryTo.value, agentNowMs()),
    [queryFrom.value, queryTo.value, liveTick.value],
  );
  const data = useMemo(
    () => (answer.data === undefined ? undefined : chartData(orderGroups(answer.data, chart.groups), chart.isStacked)),
    [answer.data],
  );
  if (answer.failure !== undefined) return <FailureNote failure={answer.failure} />;
  if (data === undefined) return <div class="chart-place" style={{ height: '122px' }} />;
  return (
    <TimeSeries
      title={chart.title}
      data={data}
      hues={chart.hues}
      isStacked={chart.isStacked}
      {...range}
      hasGroupLine
      heightPx={84}
      format={chart.format}
      formatAxis={chart.formatAxis}
      isWhole={chart.isWhole === true}
      syncKey="host"
    />
  );
}

function Services() {
  const range = resolveRange(queryFrom.value, queryTo.value, agentNowMs());
  const recorded = recordedRange();
  const isPartly = recorded.fromMs - range.fromMs > 0.02 * (range.toMs - range.fromMs);
  const sinceMs = isPartly ? Math.floor(recorded.fromMs) : undefined;
  const from = sinceMs?.toString() ?? queryFrom.value;
  const answer = useApi<ServiceRow[]>(apiUrl('services', { from, to: queryTo.value, filter: filterText.value }));
  const opened = param('open');
  const rows = answer.data ?? [];
  useKeys([{ key: 'Escape', help: 'Close the open service', run: () => navigate({ params: { open: undefined } }) }]);
  return (
    <section class={answer.isLoading ? 'loading' : ''} aria-label="Services">
      <div class="section-head">
        <h2>Services</h2>
        {answer.data !== undefined && <span class="dim">{formatCount(rows.length)}</span>}
        {isPartly && (
          <span class="dim" title="Rates and shares are over the time in which the agent recorded, not over the whole range.">
            recorded since {formatTime(recorded.fromMs)}
          </span>
        )}
      </div>
      {answer.failure !== undefined && <FailureNote failure={answer.failure} retry={answer.reload} />}
      {answer.data === undefined ? (
        answer.failure === undefined && <SkeletonRows rows={10} />
      ) : rows.length === 0 ? (
        <NoServices />
      ) : (
        <ServiceTable rows={rows} opened={opened} sinceMs={sinceMs} />
      )}
    </section>
  );
}

function NoServices() {
  if (filterText.value !== '')
    return (
      <Empty title="No service in this range matches the filter.">
        <EmptyActions />
      </Empty>
    );
  return (
    <Empty title="Nothing was recorded in this range.">
      Choose a range in which the agent ran, or look whether the sources run.
      <EmptyActions hasProbes />
    </Empty>
  );
}

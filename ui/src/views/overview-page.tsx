/** The Overview: what the host does, and which service does it; a service opens in place to show why. */

import { useMemo } from 'preact/hooks';
import type { SeriesResult, ServiceRow } from '../../../agent/server/api.ts';
import {
  formatBytes,
  formatCompact,
  formatCoreCount,
  formatCores,
  formatCount,
  formatDuration,
  formatRate,
  formatShare,
} from '../lib/format.ts';
import { type Rgb, seriesHue } from '../lib/frame-kind.ts';
import { chartData, orderGroups } from '../lib/series.ts';
import { resolveRange } from '../lib/time-range.ts';
import { filterText, navigate, param } from '../state/address.ts';
import { apiUrl } from '../state/api.ts';
import { useKeys } from '../state/keys.ts';
import { agentNowMs, liveTick, queryFrom, queryTo, status } from '../state/live.ts';
import { useApi } from '../state/use-api.ts';
import { OperationTable } from './operation-table.tsx';
import { Empty, FailureNote, PageLink, SkeletonRows } from './parts.tsx';
import { ServicePanel } from './service-panel.tsx';
import { Sparkline } from './sparkline.tsx';
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
    formatAxis: shortBytes,
  },
  {
    name: 'host.disk',
    title: 'Disk',
    groupBy: 'direction',
    groups: ['read', 'write'],
    isStacked: false,
    hues: [seriesHue(0), seriesHue(1)],
    format: bytesPerSecond,
    formatAxis: shortBytes,
  },
  {
    name: 'host.network',
    title: 'Network',
    groupBy: 'direction',
    groups: ['receive', 'transmit'],
    isStacked: false,
    hues: [seriesHue(0), seriesHue(1)],
    format: bytesPerSecond,
    formatAxis: shortBytes,
  },
];

/** Round numbers need no decimals. */
function shortBytes(value: number): string {
  return formatBytes(value).replace(/\.0+(?=\s)/, '');
}

function bytesPerSecond(value: number): string {
  return `${formatBytes(value)}/s`;
}

/** So many services are shown at first: below them stand the operations, which would be out of sight on a host with many small services. */
const shortList = 15;

export function OverviewPage() {
  return (
    <div class="overview-page">
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
      syncKey="host"
    />
  );
}

function Services() {
  const answer = useApi<ServiceRow[]>(apiUrl('services', { from: queryFrom.value, to: queryTo.value, filter: filterText.value }));
  const opened = param('open');
  const rows = useMemo(
    () => [...(answer.data ?? [])].sort((a, b) => b.cpuSeconds - a.cpuSeconds || b.spans - a.spans),
    [answer.data],
  );
  useKeys([{ key: 'Escape', help: 'Close the open service', run: () => navigate({ params: { open: undefined } }) }]);
  return (
    <section class={answer.isLoading ? 'loading' : ''} aria-label="Services">
      <div class="section-head">
        <h2>Services</h2>
        {answer.data !== undefined && <span class="dim">{formatCount(rows.length)}, by CPU</span>}
      </div>
      {answer.failure !== undefined && <FailureNote failure={answer.failure} retry={answer.reload} />}
      {answer.data === undefined ? (
        answer.failure === undefined && <SkeletonRows rows={10} />
      ) : rows.length === 0 ? (
        <NoServices />
      ) : (
        <ServiceTable rows={rows} opened={opened} />
      )}
    </section>
  );
}

function ServiceTable({ rows, opened }: { rows: readonly ServiceRow[]; opened: string }) {
  const range = resolveRange(queryFrom.value, queryTo.value, agentNowMs());
  const isAll = param('all') === '1' || rows.length <= shortList + 2;
  const shown = isAll ? rows : rows.filter((row, i) => i < shortList || row.service === opened);
  const toggle = (service: string) => navigate({ params: { open: service === opened ? undefined : service } });
  const most = rows.reduce((peak, row) => Math.max(peak, ...row.cpuSeries), 0);
  return (
    <table class="grid services" data-testid="services">
      <thead>
        <tr>
          <th>Service</th>
          <th class="num">CPU</th>
          <th class="num">of host</th>
          <th class="spark-cell">CPU over time</th>
          <th class="num">Processes</th>
          <th class="num">Spans</th>
          <th class="num">Errors</th>
          <th class="num">p50</th>
          <th class="num">p99</th>
          <th />
        </tr>
      </thead>
      <tbody>
        {shown.map(row => (
          <ServiceLines
            key={row.service}
            row={row}
            seconds={(range.toMs - range.fromMs) / 1000}
            most={most}
            isOpen={row.service === opened}
            toggle={toggle}
          />
        ))}
        {!isAll && (
          <tr>
            <td colSpan={10}>
              <PageLink to={{ params: { all: '1' } }} testId="all-services">
                Show all {formatCount(rows.length)}
              </PageLink>
            </td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

function NoServices() {
  if (filterText.value !== '')
    return <Empty title="No service in this range matches the filter.">Clear the filter, or widen the time range.</Empty>;
  return (
    <Empty title="Nothing was recorded in this range.">
      Choose a range in which the agent ran, or look on the Probes page whether the sources run.
    </Empty>
  );
}

interface ServiceLinesProps {
  row: ServiceRow;
  seconds: number;
  most: number;
  isOpen: boolean;
  toggle: (service: string) => void;
}

function ServiceLines({ row, seconds, most, isOpen, toggle }: ServiceLinesProps) {
  const filter = `service="${row.service.replace(/["\\]/g, '\\$&')}"`;
  const cores = row.cpuSeconds / seconds;
  const cpus = status.value?.cpus ?? 0;
  return (
    <>
      <tr class="clickable" aria-selected={isOpen} onClick={() => toggle(row.service)} data-testid="service-row">
        <td>
          <button type="button" class="plain" aria-expanded={isOpen}>
            <span class="twist">{isOpen ? '▾' : '▸'}</span>
            <b>{row.service}</b>
          </button>
        </td>
        <td class="num">{formatCores(cores)}</td>
        <td class="num dim">{cpus === 0 ? '' : formatShare(cores / cpus)}</td>
        <td class="spark-cell">
          <Sparkline values={row.cpuSeries} most={most} />
        </td>
        <td class="num">{formatCount(row.processes)}</td>
        <td class="num">{row.spans === 0 ? <span class="faint">–</span> : formatRate(row.spans / seconds)}</td>
        <td class={row.errors > 0 ? 'num bad' : 'num faint'}>
          {row.errors === 0 ? '–' : formatShare(row.errors / Math.max(1, row.spans))}
        </td>
        <td class="num">{row.calls === 0 ? <span class="faint">–</span> : formatDuration(row.p50Ns)}</td>
        <td class="num">{row.calls === 0 ? <span class="faint">–</span> : formatDuration(row.p99Ns)}</td>
        <td class="row-links">
          <PageLink to={{ page: 'flame', params: { filter } }} label={`Flame graph of ${row.service}`}>
            flame
          </PageLink>
          <PageLink to={{ page: 'traces', params: { filter } }} label={`Spans of ${row.service}`}>
            spans
          </PageLink>
        </td>
      </tr>
      {isOpen && (
        <tr class="opened">
          <td colSpan={10}>
            <ServicePanel filter={filter} />
          </td>
        </tr>
      )}
    </>
  );
}

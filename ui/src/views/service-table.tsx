/** The services of the Overview, a line each: every number leads to what it was counted from, and a line opens to show why. */

import { useMemo } from 'preact/hooks';
import type { ServiceRow } from '../../../agent/server/api.ts';
import { formatCores, formatCount, formatDuration, formatRate, formatShare, formatTime } from '../lib/format.ts';
import { areaFill, cssColor, kindTitles } from '../lib/frame-kind.ts';
import { activityKinds, activitySums } from '../lib/series.ts';
import { type ServiceOrder, serviceOrders, sortServices } from '../lib/service-order.ts';
import { navigate, param } from '../state/address.ts';
import { recordedRange, status } from '../state/live.ts';
import { theme } from '../state/theme.ts';
import { PageLink } from './parts.tsx';
import { ServicePanel } from './service-panel.tsx';
import { KindSparkline, Sparkline } from './sparkline.tsx';

/** So many services are shown at first: below them stand the operations, which would be out of sight on a host with many small services. */
const shortList = 15;

const columns: readonly { title: string; order?: ServiceOrder; class?: string; hint?: string }[] = [
  { title: 'Service', order: 'service' },
  { title: 'CPU', order: 'cpu', class: 'num' },
  { title: 'of host', class: 'num' },
  { title: 'Over time', class: 'spark-cell' },
  { title: 'Processes', order: 'processes', class: 'num' },
  { title: 'Spans', order: 'spans', class: 'num' },
  { title: 'Errors', order: 'errors', class: 'num', hint: 'Share of the spans that ended in an error' },
  { title: 'p50', order: 'p50', class: 'num', hint: 'Half of its calls were faster' },
  { title: 'p99', order: 'p99', class: 'num', hint: 'One in a hundred of its calls was slower' },
];

export interface ServiceTableProps {
  rows: readonly ServiceRow[];
  opened: string;
  /** Where the rows begin, where that is later than the range does: nobody looked before. */
  sinceMs: number | undefined;
}

export function ServiceTable({ rows, opened, sinceMs }: ServiceTableProps) {
  const order = serviceOrders.find(name => name === param('sort')) ?? 'cpu';
  const sorted = useMemo(() => sortServices(rows, order), [rows, order]);
  const isAll = param('all') === '1' || sorted.length <= shortList + 2;
  const shown = isAll ? sorted : sorted.filter((row, i) => i < shortList || row.service === opened);
  const isByKind = rows.some(row => row.timeSeries.length > 0);
  const most = rows.reduce((peak, row) => Math.max(peak, ...(isByKind ? activityOf(row) : row.cpuSeries)), 0);
  const recorded = recordedRange();
  const seconds = (recorded.toMs - recorded.fromMs) / 1000;
  return (
    <table class="grid services" data-testid="services">
      <thead>
        <tr>
          {columns.map(column => (
            <th
              key={column.title}
              class={column.class}
              title={column.class === 'spark-cell' ? sparkHint(isByKind) : column.hint}
              aria-sort={column.order === order ? (order === 'service' ? 'ascending' : 'descending') : undefined}
            >
              <SortHead title={titleOf(column, sinceMs)} order={column.order} current={order} />
              {isByKind && column.class === 'spark-cell' && <ActivityLegend />}
            </th>
          ))}
          <th />
        </tr>
      </thead>
      <tbody>
        {shown.map(row => (
          <ServiceLines key={row.service} {...{ row, seconds, most, isByKind }} isOpen={row.service === opened} />
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

/** A line is as long as there is something to draw: where that is not the whole range, its title says so. */
function titleOf(column: (typeof columns)[number], sinceMs: number | undefined): string {
  return column.class === 'spark-cell' && sinceMs !== undefined ? `Since ${formatTime(sinceMs)}` : column.title;
}

function ActivityLegend() {
  return (
    <span class="spark-legend">
      {activityKinds.map(kind => (
        <span key={kind}>
          <i style={{ background: cssColor(areaFill(kind, theme.value)) }} />
          {kindTitles[kind]}
        </span>
      ))}
    </span>
  );
}

function activityOf(row: ServiceRow): readonly number[] {
  return activitySums(row.timeSeries).at(-1)?.values ?? [];
}

function sparkHint(isByKind: boolean): string {
  if (!isByKind) return 'CPU use';
  return `Threads by what they did: ${activityKinds.map(kind => kindTitles[kind]).join(', ')}`;
}

function SortHead({ title, order, current }: { title: string; order: ServiceOrder | undefined; current: ServiceOrder }) {
  if (order === undefined) return <>{title}</>;
  const choose = () => navigate({ params: { sort: order === 'cpu' ? undefined : order } }, 'replace');
  return (
    <button type="button" class="sort" onClick={choose} data-testid={`sort-${order}`}>
      {title}
      {order === current && (order === 'service' ? ' ↑' : ' ↓')}
    </button>
  );
}

interface ServiceLinesProps {
  row: ServiceRow;
  /** Time over which rates are counted. */
  seconds: number;
  most: number;
  /** What threads did was recorded, for some services at least. */
  isByKind: boolean;
  isOpen: boolean;
}

function ServiceLines({ row, seconds, most, isByKind, isOpen }: ServiceLinesProps) {
  const filter = `service="${row.service.replace(/["\\]/g, '\\$&')}"`;
  const cores = row.cpuSeconds / seconds;
  const cpus = status.value?.cpus ?? 0;
  const toggle = () => navigate({ params: { open: isOpen ? undefined : row.service } });
  return (
    <>
      <tr class="clickable" aria-selected={isOpen} onClick={toggle} data-testid="service-row">
        <td>
          <button type="button" class="plain" aria-expanded={isOpen}>
            <span class="twist">{isOpen ? '▾' : '▸'}</span>
            <b>{row.service}</b>
          </button>
        </td>
        <td class="num">{formatCores(cores)}</td>
        <td class="num dim">{cpus === 0 ? '' : formatShare(cores / cpus)}</td>
        <td class="spark-cell">
          {isByKind ? <KindSparkline times={row.timeSeries} most={most} /> : <Sparkline values={row.cpuSeries} most={most} />}
        </td>
        <td class="num">{formatCount(row.processes)}</td>
        <SpanNumbers row={row} seconds={seconds} filter={filter} />
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

const none = <span class="faint">–</span>;

/** Each number is a link to the spans that it was counted from. */
function SpanNumbers({ row, seconds, filter }: { row: ServiceRow; seconds: number; filter: string }) {
  const calls = `${filter} source!="exec"`;
  const toSlowest = { page: 'traces', params: { filter: calls, order: 'duration' } } as const;
  return (
    <>
      <td class="num">{row.spans === 0 ? none : formatRate(row.spans / seconds)}</td>
      <td class="num">
        {row.errors === 0 ? (
          none
        ) : (
          <PageLink to={{ page: 'traces', params: { filter: `${filter} error!=""` } }} class="quiet bad" title="Its failed spans">
            {formatShare(row.errors / Math.max(1, row.spans))}
          </PageLink>
        )}
      </td>
      <td class="num">{row.calls === 0 ? none : formatDuration(row.p50Ns)}</td>
      <td class="num">
        {row.calls === 0 ? (
          none
        ) : (
          <PageLink to={toSlowest} class="quiet" title="Its slowest calls">
            {formatDuration(row.p99Ns)}
          </PageLink>
        )}
      </td>
    </>
  );
}

/** Columns that the list of spans can have. */

import type { ComponentChildren } from 'preact';
import type { AttributeValue, SpanSummary } from '../../../agent/server/api.ts';
import { attributeUnit, shortKey, tellingAttributes } from '../lib/attribute-groups.ts';
import { formatDate, formatDateTime, formatDuration, formatRelative, formatTime, formatValue } from '../lib/format.ts';
import { cssColor, serviceHue } from '../lib/frame-kind.ts';
import { agentNowMs } from '../state/live.ts';

export interface SpanColumn {
  key: string;
  title: string;
  /** CSS track size. */
  width: string;
  isNumber?: boolean;
  order?: 'start' | 'duration';
  cell: (span: SpanSummary, maxNs: number) => ComponentChildren;
}

const fixedColumns: readonly SpanColumn[] = [
  {
    key: 'time',
    title: 'Time',
    width: '120px',
    order: 'start',
    cell: span => <StartTime startMs={span.startMs} />,
  },
  {
    key: 'duration',
    title: 'Duration',
    width: '112px',
    isNumber: true,
    order: 'duration',
    cell: (span, maxNs) => (
      <>
        <i class="share-bar" style={{ width: `${maxNs === 0 ? 0 : ((span.durationNs / maxNs) * 100).toFixed(1)}%` }} />
        {formatDuration(span.durationNs)}
      </>
    ),
  },
  {
    key: 'service',
    title: 'Service',
    width: 'minmax(96px, 1fr)',
    cell: span => (
      <>
        <i class="kind" style={{ background: cssColor(serviceHue(span.service)) }} />
        {span.service}
      </>
    ),
  },
  { key: 'name', title: 'Span', width: 'minmax(96px, 1fr)', cell: span => <b>{span.name}</b> },
  { key: 'error', title: 'Error', width: '88px', cell: span => <span class="bad">{span.error}</span> },
  { key: 'source', title: 'Source', width: '64px', cell: span => span.source },
  { key: 'process', title: 'Process', width: '112px', cell: span => span.process },
  { key: 'pid', title: 'PID', width: '72px', isNumber: true, cell: span => span.pid },
  { key: 'thread', title: 'Thread', width: '112px', cell: span => span.thread },
  { key: 'tid', title: 'TID', width: '72px', isNumber: true, cell: span => span.tid },
  { key: 'attributes', title: 'Attributes', width: 'minmax(160px, 3fr)', cell: span => <AttributeLine span={span} /> },
];

export const defaultColumns = ['time', 'duration', 'service', 'name', 'error', 'thread', 'attributes'];

export function spanColumn(key: string): SpanColumn {
  return (
    fixedColumns.find(column => column.key === key) ?? {
      key,
      title: key,
      width: 'minmax(96px, 1fr)',
      cell: span => (span.attributes[key] === undefined ? '' : showAttribute(key, span.attributes[key])),
    }
  );
}

/** All that could be chosen for these spans: the fixed ones, and every attribute that one of them has. */
export function availableColumns(spans: readonly SpanSummary[]): string[] {
  const attributes = new Set<string>();
  for (const span of spans) for (const key of Object.keys(span.attributes)) attributes.add(key);
  return [...fixedColumns.map(column => column.key), ...[...attributes].sort()];
}

export function showAttribute(key: string, value: AttributeValue): string {
  const unit = typeof value === 'number' ? attributeUnit(key) : undefined;
  return unit === undefined ? String(value) : formatValue(value as number, unit);
}

/** The day is told only where it is not today. */
function StartTime({ startMs }: { startMs: number }) {
  const nowMs = agentNowMs();
  const isToday = formatDate(startMs) === formatDate(nowMs);
  return (
    <span title={`${formatDateTime(startMs)}\n${formatRelative(startMs, nowMs)}`}>
      {isToday ? formatTime(startMs, 3) : `${formatDate(startMs).slice(5)} ${formatTime(startMs)}`}
    </span>
  );
}

function AttributeLine({ span }: { span: SpanSummary }) {
  // What another column says already only pushes the rest out of sight.
  const told = tellingAttributes(span.attributes).filter(([, value]) => value !== span.service && value !== span.process);
  return (
    <span class="attribute-line">
      {told.map(([key, value]) => (
        <span key={key}>
          <span class="dim">{shortKey(key)}</span> {showAttribute(key, value)}
        </span>
      ))}
    </span>
  );
}

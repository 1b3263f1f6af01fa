/** The spans of the range that match the filter: sorted by the server, paged in as the user scrolls, columns by choice. */

import { useMemo, useState } from 'preact/hooks';
import type { SpanSummary } from '../../../agent/server/api.ts';
import { formatCount } from '../lib/format.ts';
import { filterText, navigate, param } from '../state/address.ts';
import { useKeys } from '../state/keys.ts';
import { queryFrom, queryTo } from '../state/live.ts';
import { useSpanPages } from '../state/use-span-pages.ts';
import { Empty, EmptyActions, FailureNote, SkeletonRows, useDismiss } from './parts.tsx';
import { availableColumns, defaultColumns, type SpanColumn, spanColumn } from './span-columns.tsx';
import { VirtualRows } from './virtual-rows.tsx';

const pageSize = 200;

export function SpanList({ select }: { select: string }) {
  const order = param('order') === 'duration' ? 'duration' : 'start';
  const isAscending = param('asc') === '1';
  const query = {
    from: queryFrom.value,
    to: queryTo.value,
    filter: filterText.value,
    order,
    desc: !isAscending,
    limit: pageSize,
  };
  // Rows must not move away under the reader of a span.
  const { first, spans, failure, loadMore } = useSpanPages(query, select !== '');
  const columns = (param('cols') === '' ? defaultColumns : param('cols').split(',')).map(spanColumn);
  const selectedIndex = spans.findIndex(span => keyOf(span) === select);
  useListKeys(spans, selectedIndex);
  const sort = (by: 'start' | 'duration') =>
    navigate({
      params:
        by === order ? { asc: isAscending ? undefined : '1' } : { order: by === 'duration' ? by : undefined, asc: undefined },
    });
  return (
    <section class={`fill-section${first.isLoading ? ' loading' : ''}`} aria-label="Spans">
      <div class="section-head">
        <h2>Spans</h2>
        {first.data !== undefined && (
          <span data-testid="span-count">
            {first.data.isCountExact ? '' : 'more than '}
            {formatCount(first.data.count)} <span class="dim">in range, {formatCount(spans.length)} loaded</span>
          </span>
        )}
        <span class="grow" />
        <ColumnMenu spans={spans} columns={columns} />
      </div>
      {first.failure !== undefined && <FailureNote failure={first.failure} retry={first.reload} />}
      {failure !== undefined && <FailureNote failure={failure} />}
      {first.data === undefined ? (
        first.failure === undefined && <SkeletonRows rows={14} />
      ) : spans.length === 0 ? (
        <NoSpans />
      ) : (
        <SpanTable
          spans={spans}
          columns={columns}
          sort={sort}
          sorted={{ order, isAscending }}
          selectedIndex={selectedIndex}
          onEnd={loadMore}
        />
      )}
    </section>
  );
}

function NoSpans() {
  if (filterText.value !== '')
    return (
      <Empty title="No spans in this range match the filter.">
        <EmptyActions />
      </Empty>
    );
  return (
    <Empty title="No spans in this range.">
      Spans come from the sources file and func. Look on the Probes page whether they run and how long a call must take to be kept
      (its minimum latency).
      <EmptyActions hasProbes />
    </Empty>
  );
}

export function keyOf(span: { traceId: string; spanId: string }): string {
  return `${span.traceId}.${span.spanId}`;
}

function useListKeys(spans: readonly SpanSummary[], selectedIndex: number): void {
  const go = (index: number) => {
    const span = spans[Math.min(spans.length - 1, Math.max(0, index))];
    if (span !== undefined) navigate({ params: { select: keyOf(span) } }, 'replace');
  };
  useKeys([
    { key: 'ArrowDown', help: 'Next and previous span', run: () => go(selectedIndex + 1) },
    { key: 'ArrowUp', help: 'Next and previous span', run: () => go(selectedIndex - 1) },
    {
      key: 'Enter',
      help: 'Open the trace of the span',
      run: () => {
        const span = spans[selectedIndex];
        if (span !== undefined) navigate({ params: { trace: span.traceId } });
      },
    },
  ]);
}

interface SpanTableProps {
  spans: readonly SpanSummary[];
  columns: readonly SpanColumn[];
  sort: (by: 'start' | 'duration') => void;
  sorted: { order: string; isAscending: boolean };
  selectedIndex: number;
  onEnd: () => void;
}

export function SpanTable({ spans, columns, sort, sorted, selectedIndex, onEnd }: SpanTableProps) {
  const tracks = { gridTemplateColumns: columns.map(column => column.width).join(' ') };
  const maxNs = useMemo(() => spans.reduce((most, span) => Math.max(most, span.durationNs), 0), [spans]);
  const arrow = sorted.isAscending ? ' ↑' : ' ↓';
  return (
    <div class="table span-table" role="table" aria-label="Spans" aria-rowcount={spans.length}>
      <VirtualRows
        head={
          <div class="table-head" role="row" style={tracks}>
            {columns.map(({ key, title, isNumber, order }) => (
              <span key={key} role="columnheader" class={isNumber === true ? 'num' : ''}>
                {order === undefined ? (
                  title
                ) : (
                  <button type="button" class="sort" onClick={() => sort(order)} data-testid={`sort-${key}`}>
                    {title}
                    {sorted.order === order ? arrow : ''}
                  </button>
                )}
              </span>
            ))}
          </div>
        }
        count={spans.length}
        rowPx={24}
        reveal={selectedIndex}
        revealKey={selectedIndex < 0 ? '' : keyOf(spans[selectedIndex] as SpanSummary)}
        onEnd={onEnd}
        minWidthPx={columns.reduce((sum, column) => sum + leastPx(column.width), 0)}
        testId="span-rows"
        row={index => {
          const span = spans[index];
          if (span === undefined) return null;
          const open = () => navigate({ params: { select: keyOf(span) } });
          return (
            // biome-ignore lint/a11y/useKeyWithClickEvents: arrows and Enter are bound for the whole list.
            <div
              key={keyOf(span)}
              role="row"
              tabIndex={-1}
              class="table-row clickable"
              style={tracks}
              aria-selected={index === selectedIndex}
              onClick={open}
              onDblClick={() => navigate({ params: { trace: span.traceId } })}
              data-testid="span-row"
            >
              {columns.map(column => (
                <span key={column.key} role="cell" class={column.isNumber === true ? 'num share-cell' : 'name'}>
                  {column.cell(span, maxNs)}
                </span>
              ))}
            </div>
          );
        }}
      />
    </div>
  );
}

/** The first length of a CSS track size: its width, or the least of it. */
function leastPx(width: string): number {
  return Number(/(\d+)px/.exec(width)?.[1] ?? 96);
}

function ColumnMenu({ spans, columns }: { spans: readonly SpanSummary[]; columns: readonly SpanColumn[] }) {
  const [isOpen, setOpen] = useState(false);
  useDismiss(isOpen, () => setOpen(false));
  const chosen = columns.map(column => column.key);
  const toggle = (key: string) => {
    const next = chosen.includes(key) ? chosen.filter(other => other !== key) : [...chosen, key];
    const text = next.join(',');
    navigate({ params: { cols: text === defaultColumns.join(',') ? undefined : text } }, 'replace');
  };
  return (
    <div class="popup-anchor">
      <button type="button" class="toggle" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)} data-testid="columns">
        Columns
      </button>
      {isOpen && (
        <div class="popup column-popup">
          {[...new Set([...availableColumns(spans), ...chosen])].map(key => (
            <label key={key} class="menu-item">
              <input
                type="checkbox"
                checked={chosen.includes(key)}
                disabled={chosen.length === 1 && chosen[0] === key}
                onChange={() => toggle(key)}
              />
              {spanColumn(key).title}
            </label>
          ))}
        </div>
      )}
    </div>
  );
}

/** The Traces page: when and how slow (heatmap), which (list), and all about one (detail), or one trace as a waterfall. */

import { useState } from 'preact/hooks';
import type { HeatmapResult } from '../../../agent/server/api.ts';
import { filterText, navigate, param } from '../state/address.ts';
import { apiUrl } from '../state/api.ts';
import { useKeys } from '../state/keys.ts';
import { queryFrom, queryTo } from '../state/live.ts';
import { useApi } from '../state/use-api.ts';
import { LatencyHeatmap } from './latency-heatmap.tsx';
import { FailureNote } from './parts.tsx';
import { SpanDetailPanel } from './span-detail.tsx';
import { SpanList } from './span-list.tsx';
import { TraceWaterfall } from './trace-waterfall.tsx';

/** Fine enough to see a moment, and not finer than a pointer can hit. */
const heatmapColumns = 160;
const heatmapRows = 36;
const heatmapPx = 190;

export function TracesPage() {
  const trace = param('trace');
  const select = param('select');
  const [traceId = '', spanId = ''] = select.split('.');
  useKeys([
    {
      key: 'Escape',
      help: 'Close the detail, then the trace',
      run: () => navigate({ params: select !== '' ? { select: undefined } : { trace: undefined } }),
    },
  ]);
  return (
    <div class={select === '' ? 'traces-page' : 'traces-page with-detail'}>
      <div class="traces-main">
        {trace === '' ? (
          <>
            <HeatmapSection />
            <SpanList select={select} />
          </>
        ) : (
          <TraceWaterfall traceId={trace} selectedSpan={spanId} />
        )}
      </div>
      {select !== '' && <SpanDetailPanel traceId={traceId} spanId={spanId} />}
    </div>
  );
}

function HeatmapSection() {
  const [isTable, setTable] = useState(false);
  const answer = useApi<HeatmapResult>(
    apiUrl('spans/heatmap', {
      from: queryFrom.value,
      to: queryTo.value,
      filter: filterText.value,
      columns: heatmapColumns,
      rows: heatmapRows,
    }),
  );
  useKeys([{ key: 't', help: 'Heatmap as a table', run: () => setTable(!isTable) }]);
  const map = answer.data;
  return (
    <section class={answer.isLoading ? 'loading' : ''} aria-label="Latency over time">
      <div class="section-head">
        <h2>Latency over time</h2>
        <span class="legend">
          <span>
            <i class="heat-count" />
            spans
          </span>
          <span>
            <i class="heat-error" />
            with errors
          </span>
        </span>
        <span class="dim">drag to choose, click a cell for its spans</span>
        <span class="grow" />
        <button type="button" class="toggle" aria-pressed={isTable} onClick={() => setTable(!isTable)} title="t">
          Table
        </button>
      </div>
      {answer.failure !== undefined && <FailureNote failure={answer.failure} retry={answer.reload} />}
      {map === undefined ? (
        <div class="chart-place" style={{ height: `${heatmapPx}px` }} />
      ) : (
        <LatencyHeatmap map={map} heightPx={heatmapPx} isTable={isTable} />
      )}
    </section>
  );
}

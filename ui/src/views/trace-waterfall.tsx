/** One trace: a line a span, indented under its parent, each bar where its time was. Gaps are gaps. */

import { useMemo } from 'preact/hooks';
import type { TraceResult } from '../../../agent/server/api.ts';
import { formatDateTime, formatDuration, formatLatencyTick } from '../lib/format.ts';
import { cssColor, mix, serviceHue, surfaceOf } from '../lib/frame-kind.ts';
import { lengthTicks } from '../lib/time-ticks.ts';
import { layoutWaterfall, type Waterfall, type WaterfallLine } from '../lib/waterfall.ts';
import { navigate } from '../state/address.ts';
import { apiUrl } from '../state/api.ts';
import { useKeys } from '../state/keys.ts';
import { theme } from '../state/theme.ts';
import { useApi } from '../state/use-api.ts';
import { FailureNote, PageLink, SkeletonRows } from './parts.tsx';
import { VirtualRows } from './virtual-rows.tsx';

const indentPx = 14;
/** Behind it a tick's text would not fit. */
const lastTickShare = 0.94;
/** Deeper spans keep this indentation: their names matter more than the exact depth. */
const maxIndent = 16;

export function TraceWaterfall({ traceId, selectedSpan }: { traceId: string; selectedSpan: string }) {
  const answer = useApi<TraceResult>(apiUrl(`traces/${encodeURIComponent(traceId)}`), { isLive: false });
  const waterfall = useMemo(() => (answer.data === undefined ? undefined : layoutWaterfall(answer.data.spans)), [answer.data]);
  const selected = waterfall?.lines.findIndex(line => line.span.spanId === selectedSpan) ?? -1;
  const select = (index: number) => {
    const line = waterfall?.lines[Math.max(0, Math.min(waterfall.lines.length - 1, index))];
    if (line !== undefined) navigate({ params: { select: `${traceId}.${line.span.spanId}` } }, 'replace');
  };
  useKeys([
    { key: 'ArrowDown', help: 'Next and previous span', run: () => select(selected + 1) },
    { key: 'ArrowUp', help: 'Next and previous span', run: () => select(selected - 1) },
  ]);
  return (
    <section class="fill-section" aria-label="Trace" data-testid="waterfall">
      <div class="section-head">
        <PageLink to={{ params: { trace: undefined } }} class="button">
          ← Spans
        </PageLink>
        <h2>Trace {traceId.slice(0, 8)}…</h2>
        {waterfall !== undefined && (
          <span>
            {waterfall.lines.length} {waterfall.lines.length === 1 ? 'span' : 'spans'} <span class="dim">over</span>{' '}
            {formatDuration(waterfall.lengthNs)} <span class="dim">from {formatDateTime(waterfall.startMs)}</span>
          </span>
        )}
      </div>
      {answer.failure !== undefined && <FailureNote failure={answer.failure} retry={answer.reload} />}
      {waterfall === undefined ? (
        answer.failure === undefined && <SkeletonRows rows={12} />
      ) : (
        <div class="table waterfall" role="table" aria-label="Spans of the trace">
          <VirtualRows
            head={<Axis waterfall={waterfall} />}
            count={waterfall.lines.length}
            rowPx={24}
            reveal={selected}
            revealKey={selectedSpan}
            row={index => {
              const line = waterfall.lines[index];
              return line === undefined ? null : (
                <Line
                  key={line.span.spanId}
                  line={line}
                  lengthNs={waterfall.lengthNs}
                  isSelected={index === selected}
                  onSelect={() => select(index)}
                />
              );
            }}
          />
        </div>
      )}
    </section>
  );
}

function Axis({ waterfall }: { waterfall: Waterfall }) {
  return (
    <div class="table-head waterfall-row" role="row">
      <span role="columnheader">Span</span>
      <span role="columnheader" class="waterfall-axis" aria-label="Time">
        {lengthTicks(waterfall.lengthNs, 8)
          .filter(ns => ns <= waterfall.lengthNs * lastTickShare)
          .map(ns => (
            <span key={ns} style={{ left: `${(ns / (waterfall.lengthNs || 1)) * 100}%` }}>
              {formatLatencyTick(ns)}
            </span>
          ))}
      </span>
    </div>
  );
}

function Line(props: { line: WaterfallLine; lengthNs: number; isSelected: boolean; onSelect: () => void }) {
  const { line, lengthNs } = props;
  const { span } = line;
  const hue = serviceHue(span.service);
  const left = (line.offsetNs / (lengthNs || 1)) * 100;
  const width = (span.durationNs / (lengthNs || 1)) * 100;
  // The label stands where there is room: after the bar, or before it at the right edge.
  const isLabelLeft = left + width > 82;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the arrow keys are bound for the whole waterfall.
    <div
      role="row"
      tabIndex={-1}
      class="table-row waterfall-row clickable"
      aria-selected={props.isSelected}
      onClick={props.onSelect}
      data-testid="waterfall-row"
    >
      <span
        role="cell"
        class="name"
        style={{ paddingLeft: `${8 + Math.min(line.depth, maxIndent) * indentPx}px` }}
        title={`${span.service} ${span.name}`}
      >
        {line.depth > 0 && <i class="connector" />}
        <i class="service-bar" style={{ background: cssColor(hue) }} />
        <span class="dim">{span.service}</span> <b>{span.name}</b>
        {line.isOrphan && <span class="tag">parent not seen</span>}
      </span>
      <span role="cell" class="waterfall-track">
        <i
          class={span.error === '' ? 'bar' : 'bar error'}
          style={{ left: `${left}%`, width: `${width}%`, background: cssColor(mix(surfaceOf(theme.value), hue, 0.6)) }}
        />
        <span class="bar-label" style={isLabelLeft ? { right: `${100 - left}%` } : { left: `${left + width}%` }}>
          {formatDuration(span.durationNs)} {span.error !== '' && <span class="bad">{span.error}</span>}
        </span>
      </span>
    </div>
  );
}

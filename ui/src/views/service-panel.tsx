/** What opens under a service on the Overview: its flame graph, small, its slowest spans and its processes. */

import { useState } from 'preact/hooks';
import type { ProcessSummary, SpansResult } from '../../../agent/server/api.ts';
import { tellingAttributes } from '../lib/attribute-groups.ts';
import { formatDuration, formatRelative, formatTime } from '../lib/format.ts';

import { apiUrl } from '../state/api.ts';
import { agentNowMs, queryFrom, queryTo } from '../state/live.ts';
import { useApi } from '../state/use-api.ts';
import { useProfile } from '../state/use-profile.ts';
import { FlameGraph } from './flame-graph.tsx';
import { FlameStatus } from './flame-status.tsx';
import { FailureNote, PageLink, SkeletonRows } from './parts.tsx';
import { showAttribute } from './span-columns.tsx';
import { keyOf } from './span-list.tsx';

export function ServicePanel({ filter }: { filter: string }) {
  return (
    <div class="service-panel" data-testid="service-panel">
      <SmallFlame filter={filter} />
      <div class="service-side">
        <SlowestSpans filter={filter} />
        <Processes filter={filter} />
      </div>
    </div>
  );
}

function SmallFlame({ filter }: { filter: string }) {
  const answer = useProfile(
    apiUrl('profile', { type: 'cpu', from: queryFrom.value, to: queryTo.value, filter, minShare: 0.001 }),
  );
  const [zoom, setZoom] = useState('');
  const [hovered, setHovered] = useState(-1);
  const picture = answer.data;
  return (
    <div class="small-flame">
      <h3>
        On CPU <PageLink to={{ page: 'flame', params: { filter } }}>open the flame graph</PageLink>
      </h3>
      {answer.failure !== undefined && <FailureNote failure={answer.failure} retry={answer.reload} />}
      {picture === undefined ? (
        <div class="flame-scroll skeleton-flame" />
      ) : picture.layout.total[0] === 0 ? (
        <p class="dim">It was not on CPU when samples were taken in this range.</p>
      ) : (
        <>
          <FlameGraph
            layout={picture.layout}
            functions={picture.head.functions}
            orientation="icicle"
            zoom={zoom}
            onZoom={setZoom}
            onHover={setHovered}
            label="Flame graph of the service"
            testId="small-flame"
          />
          <FlameStatus
            layout={picture.layout}
            functions={picture.head.functions}
            unit={picture.head.unit}
            node={hovered}
            viewTotal={picture.layout.total[0] ?? 0}
            hint="Point at a frame; click zooms."
          />
        </>
      )}
    </div>
  );
}

function SlowestSpans({ filter }: { filter: string }) {
  const answer = useApi<SpansResult>(
    apiUrl('spans', { from: queryFrom.value, to: queryTo.value, filter, order: 'duration', desc: true, limit: 8 }),
  );
  return (
    <div>
      <h3>
        Slowest spans <PageLink to={{ page: 'traces', params: { filter, order: 'duration' } }}>all spans</PageLink>
      </h3>
      {answer.failure !== undefined && <FailureNote failure={answer.failure} retry={answer.reload} />}
      {answer.data === undefined && answer.failure === undefined && <SkeletonRows rows={8} />}
      {answer.data !== undefined && answer.data.spans.length === 0 && <p class="dim">No spans of it in this range.</p>}
      <ul class="plain-list">
        {answer.data?.spans.map(span => (
          <li key={keyOf(span)}>
            <PageLink to={{ page: 'traces', params: { filter, order: 'duration', select: keyOf(span) } }} class="span-line">
              <span class="num">{formatDuration(span.durationNs)}</span>
              <b>{span.name}</b>
              <span class="bad">{span.error}</span>
              <span class="cut">
                {tellingAttributes(span.attributes)
                  .slice(0, 2)
                  .map(([key, value]) => showAttribute(key, value))
                  .join(' ')}
              </span>
              <span class="dim">{formatTime(span.startMs)}</span>
            </PageLink>
          </li>
        ))}
      </ul>
    </div>
  );
}

function Processes({ filter }: { filter: string }) {
  const answer = useApi<ProcessSummary[]>(apiUrl('processes', { from: queryFrom.value, to: queryTo.value, filter }));
  const rows = answer.data ?? [];
  if (rows.length === 0) return null;
  return (
    <div>
      <h3>
        Processes <span class="dim">{rows.length}</span>
      </h3>
      <ul class="plain-list">
        {rows.slice(0, 6).map(row => (
          <li key={`${row.pid} ${row.startMs}`}>
            <PageLink
              to={{ page: 'flame', params: { filter: `pid="${row.pid}"` } }}
              class="span-line process-line"
              title={row.commandLine}
            >
              <span class="num">{row.pid}</span>
              <b>{row.comm}</b>
              <span class="cut dim">{row.commandLine}</span>
              <span class="dim">
                {row.exitMs === null
                  ? `started ${formatRelative(row.startMs, agentNowMs())}`
                  : `ended ${formatRelative(row.exitMs, agentNowMs())}`}
              </span>
            </PageLink>
          </li>
        ))}
      </ul>
    </div>
  );
}

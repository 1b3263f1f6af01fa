/** All about one span: times, attributes by convention, stack, and the way to the flame graph of its process at that time. */

import type { SpanDetail, TraceResult } from '../../../agent/server/api.ts';
import { groupAttributes } from '../lib/attribute-groups.ts';
import { addTerm } from '../lib/filter.ts';
import { formatDateTime, formatDuration, formatRelative } from '../lib/format.ts';
import { cssColor, kindHue, kindTitles, serviceHue } from '../lib/frame-kind.ts';
import { scopeLength } from '../lib/frame-name.ts';
import { filterText, navigate, param } from '../state/address.ts';
import { apiUrl } from '../state/api.ts';
import { agentNowMs } from '../state/live.ts';
import { useApi } from '../state/use-api.ts';
import { CopyButton, FailureNote, PageLink, SkeletonRows } from './parts.tsx';
import { showAttribute } from './span-columns.tsx';

/** Samples are few and a span is short: its flame graph takes in this much before and after, or it would mostly be empty. */
const aroundMs = 5000;

export function SpanDetailPanel({ traceId, spanId }: { traceId: string; spanId: string }) {
  const answer = useApi<TraceResult>(apiUrl(`traces/${encodeURIComponent(traceId)}`), { isLive: false });
  const span = answer.data?.spans.find(candidate => candidate.spanId === spanId);
  const count = answer.data?.spans.length ?? 0;
  return (
    <aside class="detail" aria-label="Span" data-testid="span-detail">
      <button
        type="button"
        class="ghost close"
        aria-label="Close the detail"
        onClick={() => navigate({ params: { select: undefined } })}
      >
        ×
      </button>
      {answer.failure !== undefined && <FailureNote failure={answer.failure} retry={answer.reload} />}
      {answer.data === undefined && answer.failure === undefined && <SkeletonRows rows={12} />}
      {answer.data !== undefined && span === undefined && !answer.isLoading && (
        <p class="dim">This span is no longer in the store: its time has passed the limit of age or size.</p>
      )}
      {span !== undefined && <SpanFacts span={span} spansInTrace={count} />}
    </aside>
  );
}

function SpanFacts({ span, spansInTrace }: { span: SpanDetail; spansInTrace: number }) {
  const endMs = span.startMs + span.durationNs / 1e6;
  return (
    <>
      <h2 class="detail-name">
        <i class="kind" style={{ background: cssColor(serviceHue(span.service)) }} /> {span.service} <b>{span.name}</b>
      </h2>
      <p class="detail-figures">
        <b data-testid="span-duration">{formatDuration(span.durationNs)}</b>
        {span.error !== '' && <span class="bad">{span.error}</span>}
      </p>
      <SpanLinks span={span} spansInTrace={spansInTrace} />
      <Facts
        title="Time"
        rows={[
          ['start', `${formatDateTime(span.startMs, 3)}`],
          ['', formatRelative(span.startMs, agentNowMs())],
          ['end', formatDateTime(endMs, 3)],
          ['start, Unix ns', span.startNs],
        ]}
      />
      <Facts
        title="Where"
        rows={[
          ['service', span.service],
          ['process', `${span.process} (${span.pid})`],
          ['thread', `${span.thread} (${span.tid})`],
          ['source', span.source],
        ]}
        filterKeys={{ service: span.service, process: span.process, thread: span.thread, source: span.source }}
      />
      {groupAttributes(span.attributes).map(group => (
        <Facts
          key={group.title}
          title={group.title}
          rows={group.entries.map(({ key, value }) => [key, showAttribute(key, value)])}
          filterKeys={Object.fromEntries(group.entries.map(({ key, value }) => [key, String(value)]))}
        />
      ))}
      <StackList span={span} />
      <Facts
        title="Identity"
        rows={[
          ['trace', span.traceId],
          ['span', span.spanId],
          ['parent', span.parentSpanId === '' ? 'none' : span.parentSpanId],
        ]}
      />
    </>
  );
}

/** From the span to its evidence. */
function SpanLinks({ span, spansInTrace }: { span: SpanDetail; spansInTrace: number }) {
  const endMs = span.startMs + span.durationNs / 1e6;
  return (
    <p class="row wrap">
      <PageLink
        to={{
          page: 'flame',
          params: {
            from: String(Math.floor(span.startMs - aroundMs)),
            to: String(Math.ceil(endMs + aroundMs)),
            filter: `pid="${span.pid}"`,
          },
        }}
        class="button"
        title={`What the process did on CPU from ${aroundMs / 1000} s before to ${aroundMs / 1000} s after`}
        testId="span-flame"
      >
        Flame graph around it
      </PageLink>
      {param('trace') !== span.traceId && (
        <PageLink to={{ page: 'traces', params: { trace: span.traceId } }} class="button" testId="open-trace">
          {spansInTrace === 1 ? 'Trace of 1 span' : `Trace of ${spansInTrace} spans`}
        </PageLink>
      )}
    </p>
  );
}

function Facts(props: {
  title: string;
  rows: readonly (readonly [string, string])[];
  filterKeys?: Readonly<Record<string, string>>;
}) {
  return (
    <section class="fact-group">
      <h3>{props.title}</h3>
      <dl>
        {props.rows.map(([key, value]) => {
          const filterValue = props.filterKeys?.[key];
          return (
            <div key={key + value}>
              <dt>{key}</dt>
              <dd>
                {filterValue === undefined ? (
                  value
                ) : (
                  <button
                    type="button"
                    class="plain"
                    title="Add to the filter"
                    onClick={() =>
                      navigate({
                        params: { filter: addTerm(filterText.peek(), { key, op: '=', value: filterValue }), trace: undefined },
                      })
                    }
                  >
                    {value}
                  </button>
                )}
              </dd>
            </div>
          );
        })}
      </dl>
    </section>
  );
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function StackList({ span }: { span: SpanDetail }) {
  if (span.stack.length === 0) {
    return (
      <section class="fact-group">
        <h3>Stack</h3>
        <p class="dim">None was taken for this span.</p>
      </section>
    );
  }
  const text = span.stack
    .map(frame => `${frame.name}${frame.file === '' ? '' : ` ${frame.file}:${frame.line}`} (${frame.module})`)
    .join('\n');
  return (
    <section class="fact-group" data-testid="span-stack">
      <h3>
        Stack <span class="dim">innermost first</span> <CopyButton text={text} />
      </h3>
      <ol class="stack">
        {span.stack.map((frame, i) => {
          const cut = scopeLength(frame.name);
          const place =
            frame.file === '' ? baseName(frame.module) : `${baseName(frame.file)}${frame.line > 0 ? `:${frame.line}` : ''}`;
          return (
            <li
              key={i}
              class={frame.isGuess ? 'guess' : ''}
              title={`${frame.name}\n${kindTitles[frame.kind]} ${frame.module}\n${frame.file}${frame.isGuess ? '\nThe name is a guess.' : ''}`}
            >
              <i class="kind" style={{ background: cssColor(kindHue(frame.kind)) }} />
              <span class="stack-name">
                <span class="dim">{frame.name.slice(0, cut)}</span>
                {frame.name.slice(cut)}
              </span>
              <span class="dim stack-place">{place}</span>
            </li>
          );
        })}
      </ol>
    </section>
  );
}

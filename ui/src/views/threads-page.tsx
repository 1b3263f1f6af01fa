/** The Threads page: what every thread did, moment by moment. A brush over some of them opens their wall-clock flame graph of that range. */

import { useMemo } from 'preact/hooks';
import type { FrameKind, ThreadsResult, ThreadTimeline } from '../../../agent/server/api.ts';
import { formatCount, formatDuration, formatShare } from '../lib/format.ts';
import { kindTitles } from '../lib/frame-kind.ts';
import { isTimeKind, kindOrder, parseWithout } from '../lib/profile-types.ts';
import { kindsOf, shareOf } from '../lib/thread-timeline.ts';
import { moved, type Range, resolveRange, zoomed } from '../lib/time-range.ts';
import { filterText, navigate, param, setRange } from '../state/address.ts';
import { apiUrl } from '../state/api.ts';
import { type KeyBinding, useKeys } from '../state/keys.ts';
import { agentNowMs, queryFrom, queryTo } from '../state/live.ts';
import { useApi } from '../state/use-api.ts';
import { KindLegend } from './kind-legend.tsx';
import { Empty, EmptyActions, FailureNote, PageLink, SkeletonRows } from './parts.tsx';
import { notRunning, StartSource } from './start-source.tsx';
import { flameOfThreads, ThreadLanes } from './thread-lanes.tsx';

const shortList = 60;
const longList = 500;
/** Ten minutes by the second: as long as the store keeps seconds. */
const points = 600;

/** By keys what the brush does by pointer, and back. */
const rangeKeys: readonly KeyBinding[] = [
  { key: '+', help: 'Zoom in and out in time', run: () => show(zoomed(shownRange(), 0.5, agentNowMs())) },
  { key: '-', help: 'Zoom in and out in time', run: () => show(zoomed(shownRange(), 2, agentNowMs())) },
  ...(['ArrowLeft', 'a'] as const).map(key => ({
    key,
    help: 'Earlier and later',
    run: () => show(moved(shownRange(), -0.5, agentNowMs())),
  })),
  ...(['ArrowRight', 'd'] as const).map(key => ({
    key,
    help: 'Earlier and later',
    run: () => show(moved(shownRange(), 0.5, agentNowMs())),
  })),
];

function shownRange(): Range {
  return resolveRange(queryFrom.peek(), queryTo.peek(), agentNowMs());
}

function show({ fromMs, toMs }: Range): void {
  setRange(fromMs, toMs);
}

export function ThreadsPage() {
  const order = param('order') || 'active';
  const limit = param('all') === '1' ? longList : shortList;
  const query = { from: queryFrom.value, to: queryTo.value, filter: filterText.value, points, limit, order };
  const answer = useApi<ThreadsResult>(apiUrl('threads', query));
  const isTable = param('table') === '1';
  const without = parseWithout('cpu', param('without'));
  const result = answer.data;
  const toggleTable = () => navigate({ params: { table: isTable ? undefined : '1' } });
  useKeys([{ key: 't', help: 'Threads as a table', run: toggleTable }, ...rangeKeys]);
  const present = useMemo(
    () => new Set<FrameKind>(result?.threads.flatMap(thread => thread.kinds.map(own => own.kind))),
    [result],
  );
  const toggle = (kind: FrameKind) => {
    if (!isTimeKind(kind)) return;
    const next = without.includes(kind) ? without.filter(other => other !== kind) : [...without, kind];
    navigate({ params: { without: next.join(',') } });
  };
  return (
    <div class={answer.isLoading ? 'threads-page loading' : 'threads-page'}>
      <div class="section-head">
        <h2>Threads</h2>
        {result !== undefined && result.threads.length > 0 && <Facts result={result} />}
        <span class="grow" />
        <Order order={order} />
        <KindLegend present={present} folded={[]} without={without} onToggle={toggle} />
        <button
          type="button"
          class="toggle"
          aria-pressed={isTable}
          onClick={toggleTable}
          title="The same as numbers (t)"
          data-testid="threads-as-table"
        >
          Table
        </button>
      </div>
      {answer.failure !== undefined && <FailureNote failure={answer.failure} retry={answer.reload} />}
      {result === undefined ? (
        answer.failure === undefined && <SkeletonRows rows={20} />
      ) : result.threads.length === 0 ? (
        <NoThreads />
      ) : isTable ? (
        <ThreadTable result={result} />
      ) : (
        <ThreadLanes result={result} without={without} told={isTimeKind(order) ? order : 'on-cpu'} />
      )}
      {result !== undefined && result.more > 0 && <More more={result.more} isAll={limit === longList} />}
    </div>
  );
}

function Facts({ result }: { result: ThreadsResult }) {
  const step = result.stepMs < 60_000 ? `${result.stepMs / 1000} s` : `${result.stepMs / 60_000} min`;
  return (
    <span class="dim" data-testid="threads-facts">
      {formatCount(result.threads.length + result.more)} threads by {step}; drag over some for their flame graph
    </span>
  );
}

/** What stands first: what is asked of threads at night is not always who worked most. */
function Order({ order }: { order: string }) {
  return (
    <label class="row dim">
      order
      <select
        class="field-button"
        value={order}
        onChange={event => {
          const { value } = event.currentTarget;
          navigate({ params: { order: value === 'active' ? undefined : value } });
        }}
        data-testid="threads-order"
      >
        <option value="active">most active</option>
        <option value="process">by process</option>
        {kindOrder.map(kind => (
          <option key={kind} value={kind}>
            most {kindTitles[kind]} time
          </option>
        ))}
      </select>
    </label>
  );
}

function More({ more, isAll }: { more: number; isAll: boolean }) {
  return (
    <div class="threads-more dim">
      {formatCount(more)} further threads are not shown.{' '}
      {isAll ? 'A filter finds them.' : <PageLink to={{ params: { all: '1' } }}>Show up to {longList}</PageLink>}
    </div>
  );
}

function NoThreads() {
  if (filterText.value !== '')
    return (
      <Empty title="No threads in this range match the filter.">
        <EmptyActions />
      </Empty>
    );
  return (
    <Empty title="What threads did was not recorded in this range.">
      {notRunning(['sched']).length > 0 ? (
        <div class="row" data-testid="start-hint">
          It comes from the source “sched”, which does not run: <StartSource name="sched" /> or{' '}
          <code>hotspan sources start sched</code>
        </div>
      ) : (
        'Its source runs; widen the time range, or wait for the next second.'
      )}
      <EmptyActions hasProbes />
    </Empty>
  );
}

function ThreadTable({ result }: { result: ThreadsResult }) {
  const kinds = kindOrder.filter(kind => result.threads.some(thread => shareOf(thread, kind) > 0));
  return (
    <div class="threads-body">
      <table class="grid" data-testid="threads-table">
        <thead>
          <tr>
            <th>Thread</th>
            <th>Process</th>
            <th class="num">tid</th>
            {kinds.map(kind => (
              <th key={kind} class="num">
                {kindTitles[kind]}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {result.threads.map(thread => (
            <tr key={`${thread.pid} ${thread.tid}`}>
              <td>
                <PageLink to={flameOfThreads([thread])}>{thread.thread}</PageLink>
              </td>
              <td>{thread.process}</td>
              <td class="num">{thread.tid}</td>
              {kinds.map(kind => (
                <KindCell
                  key={kind}
                  ns={kindsOf(thread, 0, result.steps).find(own => own.kind === kind)?.ns ?? 0}
                  thread={thread}
                />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function KindCell({ ns, thread }: { ns: number; thread: ThreadTimeline }) {
  const all = thread.kinds.reduce((sum, own) => sum + own.totalNs, 0);
  if (ns === 0) return <td class="num faint">–</td>;
  return (
    <td class="num">
      {formatDuration(ns)} <span class="dim">{formatShare(ns / all)}</span>
    </td>
  );
}

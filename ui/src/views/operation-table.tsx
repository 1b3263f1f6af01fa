/** Every watched kernel operation and every kind of wait, all of them, also those too short to be kept one by one: counted in the kernel. */

import { useMemo } from 'preact/hooks';
import type { OperationRow } from '../../../agent/server/api.ts';
import { formatBytes, formatDuration, formatRate, formatShare } from '../lib/format.ts';
import { type OperationSum, percentile, sumOperations } from '../lib/operation-sums.ts';
import { typeOfOperation } from '../lib/profile-types.ts';
import { navigate, param } from '../state/address.ts';
import { apiUrl } from '../state/api.ts';
import { queryFrom, queryTo, recordedRange } from '../state/live.ts';
import { useApi } from '../state/use-api.ts';
import { Distribution } from './distribution.tsx';
import { FailureNote, PageLink } from './parts.tsx';

export function OperationTable() {
  const answer = useApi<OperationRow[]>(apiUrl('operations', { from: queryFrom.value, to: queryTo.value }));
  const sums = useMemo(() => sumOperations(answer.data ?? []), [answer.data]);
  if (answer.failure !== undefined) return <FailureNote failure={answer.failure} retry={answer.reload} />;
  const areWaits = (sum: OperationSum) => sum.source === 'sched';
  return (
    <>
      <Operations
        title="Kernel operations"
        about="all calls, counted in the kernel, also those too fast to be kept as spans; one opens over time"
        sums={sums.filter(sum => !areWaits(sum))}
        testId="operations"
      />
      <Operations
        title="Waits of threads"
        about="every wait, counted in the kernel, blocked ones by the system call that they were in; one opens over time"
        sums={sums.filter(areWaits)}
        testId="waits"
      />
    </>
  );
}

function Operations(props: { title: string; about: string; sums: readonly OperationSum[]; testId: string }) {
  const { title, sums } = props;
  const opened = param('operation');
  const range = recordedRange();
  const seconds = (range.toMs - range.fromMs) / 1000;
  if (sums.length === 0) return null;
  const areCalls = sums.some(sum => sum.bytes > 0 || sum.errors > 0);
  return (
    <section aria-label={title}>
      <div class="section-head">
        <h2>{title}</h2>
        <span class="dim">{props.about}</span>
      </div>
      <table class="grid" data-testid={props.testId}>
        <thead>
          <tr>
            <th>{areCalls ? 'Operation' : 'Wait'}</th>
            <th class="num">{areCalls ? 'Calls' : 'Waits'}</th>
            {areCalls && <th class="num">Errors</th>}
            {areCalls && <th class="num">Bytes</th>}
            <th class="num">Time in it</th>
            <th class="num">p50</th>
            <th class="num">p99</th>
            <th>Latency, 1 µs to 1 s</th>
            <th />
          </tr>
        </thead>
        <tbody>
          {sums.map(sum => (
            <Line key={keyOf(sum)} {...{ sum, seconds, areCalls }} isOpen={opened === keyOf(sum)} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function keyOf(sum: OperationSum): string {
  return `${sum.source} ${sum.operation}`;
}

function Line({ sum, seconds, areCalls, isOpen }: { sum: OperationSum; seconds: number; areCalls: boolean; isOpen: boolean }) {
  const toggle = () => navigate({ params: { operation: isOpen ? undefined : keyOf(sum) } });
  return (
    <>
      <tr class="clickable" aria-selected={isOpen} onClick={toggle} data-testid={`operation-${sum.operation}`}>
        <td>
          <button type="button" class="plain" aria-expanded={isOpen}>
            <span class="twist">{isOpen ? '▾' : '▸'}</span>
            <b>{sum.operation}</b> <span class="dim">{sum.source}</span>
          </button>
        </td>
        <td class="num">{formatRate(sum.calls / seconds)}</td>
        {areCalls && (
          <td class={sum.errors > 0 ? 'num bad' : 'num faint'}>
            {sum.errors === 0 ? '–' : formatShare(sum.errors / Math.max(1, sum.calls))}
          </td>
        )}
        {areCalls && (
          <td class="num">{sum.bytes === 0 ? <span class="faint">–</span> : `${formatBytes(sum.bytes / seconds)}/s`}</td>
        )}
        <td class="num">{formatDuration(sum.totalNs)}</td>
        <td class="num">{formatDuration(percentile(sum.buckets, 0.5))}</td>
        <td class="num">{formatDuration(percentile(sum.buckets, 0.99))}</td>
        <td>
          <Histogram buckets={sum.buckets} />
        </td>
        <td class="row-links">
          <Evidence sum={sum} />
        </td>
      </tr>
      {isOpen && (
        <tr class="opened">
          <td colSpan={areCalls ? 9 : 7}>
            <Distribution sources={[sum.source]} prefix={sum.operation} operation={sum.operation} heightPx={170} />
          </td>
        </tr>
      )}
    </>
  );
}

/** Where its time went: by stacks where a profile type tells, else call by call. */
function Evidence({ sum }: { sum: OperationSum }) {
  const type = typeOfOperation(sum.source, sum.operation);
  if (type !== undefined) return <PageLink to={{ page: 'flame', params: { type: type.id } }}>flame</PageLink>;
  return <PageLink to={{ page: 'traces', params: { filter: `source="${sum.source}" name="${sum.operation}"` } }}>spans</PageLink>;
}

/** Powers of two from 1 µs (2^10 ns) to 1 s (2^30 ns); what lies outside goes to the edges. */
function Histogram({ buckets }: { buckets: readonly number[] }) {
  const shown = Array.from({ length: 21 }, () => 0);
  buckets.forEach((count, i) => {
    const at = Math.min(20, Math.max(0, i - 10));
    shown[at] = (shown[at] ?? 0) + count;
  });
  const most = Math.max(1, ...shown);
  return (
    <svg class="histogram" viewBox="0 0 105 20" aria-hidden="true">
      {shown.map((count, i) => {
        const height = count === 0 ? 0 : Math.max(1, (18 * Math.log1p(count)) / Math.log1p(most));
        return <rect key={i} x={i * 5} y={19 - height} width={4} height={height} />;
      })}
    </svg>
  );
}

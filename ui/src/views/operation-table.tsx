/** Every watched kernel operation with all its calls, also those too fast to be kept as spans: counted in the kernel. */

import { useMemo } from 'preact/hooks';
import type { OperationRow } from '../../../agent/server/api.ts';
import { formatBytes, formatDuration, formatRate, formatShare } from '../lib/format.ts';
import { percentile, sumOperations } from '../lib/operation-sums.ts';
import { apiUrl } from '../state/api.ts';
import { queryFrom, queryTo, recordedRange } from '../state/live.ts';
import { useApi } from '../state/use-api.ts';
import { FailureNote, PageLink } from './parts.tsx';

export function OperationTable() {
  const answer = useApi<OperationRow[]>(apiUrl('operations', { from: queryFrom.value, to: queryTo.value }));
  const sums = useMemo(() => sumOperations(answer.data ?? []), [answer.data]);
  const range = recordedRange();
  const seconds = (range.toMs - range.fromMs) / 1000;
  if (answer.failure !== undefined) return <FailureNote failure={answer.failure} retry={answer.reload} />;
  if (sums.length === 0) return null;
  return (
    <section aria-label="Kernel operations">
      <div class="section-head">
        <h2>Kernel operations</h2>
        <span class="dim">all calls, counted in the kernel, also those too fast to be kept as spans</span>
      </div>
      <table class="grid" data-testid="operations">
        <thead>
          <tr>
            <th>Operation</th>
            <th class="num">Calls</th>
            <th class="num">Errors</th>
            <th class="num">Bytes</th>
            <th class="num">Time in it</th>
            <th class="num">p50</th>
            <th class="num">p99</th>
            <th>Latency, 1 µs to 1 s</th>
            <th />
          </tr>
        </thead>
        <tbody>
          {sums.map(sum => (
            <tr key={`${sum.source} ${sum.operation}`}>
              <td>
                <b>{sum.operation}</b> <span class="dim">{sum.source}</span>
              </td>
              <td class="num">{formatRate(sum.calls / seconds)}</td>
              <td class={sum.errors > 0 ? 'num bad' : 'num faint'}>
                {sum.errors === 0 ? '–' : formatShare(sum.errors / Math.max(1, sum.calls))}
              </td>
              <td class="num">{sum.bytes === 0 ? <span class="faint">–</span> : `${formatBytes(sum.bytes / seconds)}/s`}</td>
              <td class="num">{formatDuration(sum.totalNs)}</td>
              <td class="num">{formatDuration(percentile(sum.buckets, 0.5))}</td>
              <td class="num">{formatDuration(percentile(sum.buckets, 0.99))}</td>
              <td>
                <Histogram buckets={sum.buckets} />
              </td>
              <td class="row-links">
                <PageLink to={{ page: 'traces', params: { filter: `source="${sum.source}" name="${sum.operation}"` } }}>
                  spans
                </PageLink>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
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

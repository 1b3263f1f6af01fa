/** How long operations and waits took, over time: a choice of them, and the heatmap of the chosen one. Counted in the kernel, all of them. */

import { useMemo, useState } from 'preact/hooks';
import type { DistributionResult } from '../../../agent/server/api.ts';
import { formatCompact, formatDuration } from '../lib/format.ts';
import { sumsByRow } from '../lib/heatmap.ts';
import { percentile } from '../lib/operation-sums.ts';
import { filterText, setRange } from '../state/address.ts';
import { apiUrl } from '../state/api.ts';
import { queryFrom, queryTo } from '../state/live.ts';
import { useApi } from '../state/use-api.ts';
import { LatencyHeatmap } from './latency-heatmap.tsx';
import { FailureNote } from './parts.tsx';

/** A step is a second where there are not more of them. */
const columns = 240;

export interface DistributionProps {
  sources: readonly string[];
  /** What the names of the operations begin with. */
  prefix: string;
  /** '' for the one that took the most time. */
  operation: string;
  /** Without it there is no choice: the one is told of. */
  onOperation?: (operation: string) => void;
  heightPx: number;
  /** What to say where nothing was counted; without it nothing is said. */
  whenEmpty?: string;
}

export function Distribution(props: DistributionProps) {
  const { sources, prefix, operation, heightPx } = props;
  const [isTable, setTable] = useState(false);
  const answer = useApi<DistributionResult>(
    apiUrl('distribution', { source: sources.join(','), prefix, operation, from: queryFrom.value, to: queryTo.value, columns }),
  );
  const map = answer.data;
  if (answer.failure !== undefined) return <FailureNote failure={answer.failure} retry={answer.reload} />;
  if (map === undefined) return <div class="chart-place" style={{ height: `${heightPx + 24}px` }} />;
  const noun = map.source === 'sched' ? 'waits' : 'calls';
  if (map.operations.length === 0)
    return props.whenEmpty === undefined ? null : <p class="dim no-distribution">{props.whenEmpty}</p>;
  return (
    <div class={answer.isLoading ? 'distribution loading' : 'distribution'} data-testid="distribution">
      <div class="row wrap distribution-head">
        {props.onOperation === undefined ? null : <Choice map={map} prefix={prefix} choose={props.onOperation} />}
        <Figures map={map} noun={noun} />
        {filterText.value !== '' && (
          <span class="dim" title="The kernel counts these for the whole host, or for the process that the source is set to.">
            of all processes, whatever the filter
          </span>
        )}
        <span class="grow" />
        <button
          type="button"
          class="toggle"
          aria-pressed={isTable}
          onClick={() => setTable(!isTable)}
          title="The same as numbers"
        >
          Table
        </button>
      </div>
      <LatencyHeatmap
        map={map}
        heightPx={heightPx}
        isTable={isTable}
        noun={noun}
        onChoose={({ fromMs, toMs }) => setRange(fromMs, toMs)}
      />
    </div>
  );
}

/** Those that took the most time first; what all names begin with is said once. */
function Choice({ map, prefix, choose }: { map: DistributionResult; prefix: string; choose: (operation: string) => void }) {
  const beginning = prefix === '' ? '' : `${prefix}: `;
  return (
    <fieldset class="segmented" aria-label="Operation">
      {map.operations.map(({ source, operation, calls, totalNs }) => (
        <button
          key={`${source} ${operation}`}
          type="button"
          aria-pressed={source === map.source && operation === map.operation}
          title={`${operation}: ${formatCompact(calls)}, ${formatDuration(totalNs)} in all`}
          onClick={() => choose(operation)}
          data-testid={`operation-${operation}`}
        >
          {operation.startsWith(beginning) ? operation.slice(beginning.length) : operation}
        </button>
      ))}
    </fieldset>
  );
}

function Figures({ map, noun }: { map: DistributionResult; noun: string }) {
  const buckets = useMemo(() => sumsByRow(map), [map]);
  const calls = map.operations.find(own => own.source === map.source && own.operation === map.operation)?.calls ?? 0;
  const lowest = Math.log2(map.minNs);
  const value = (share: number) => formatDuration(percentile([...new Array<number>(lowest).fill(0), ...buckets], share));
  return (
    <span data-testid="distribution-figures">
      {formatCompact(calls)} {noun} <span class="dim">p50</span> {value(0.5)} <span class="dim">p99</span> {value(0.99)}
    </span>
  );
}

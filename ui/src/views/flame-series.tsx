/** The chosen profile type over time, above the flame graph: in cores or threads, by kind of time where it has several. */

import { useMemo } from 'preact/hooks';
import type { SeriesResult } from '../../../agent/server/api.ts';
import { formatBytes, formatCompact, formatCoreCount } from '../lib/format.ts';
import { kindHue, kindTitles, seriesHue } from '../lib/frame-kind.ts';
import { profileType } from '../lib/profile-types.ts';
import { chartData, kindGroups } from '../lib/series.ts';
import { resolveRange } from '../lib/time-range.ts';
import { filterText } from '../state/address.ts';
import { apiUrl } from '../state/api.ts';
import type { FlameState } from '../state/flame-state.ts';
import { agentNowMs, liveTick, queryFrom, queryTo } from '../state/live.ts';
import { useApi } from '../state/use-api.ts';
import { FailureNote } from './parts.tsx';
import { TimeSeries } from './time-series.tsx';

export function FlameSeries({ state }: { state: FlameState }) {
  const { chart } = profileType(state.type);
  const groupBy = chart.kinds === undefined ? '' : 'kind';
  const query = { from: queryFrom.value, to: queryTo.value, filter: filterText.value, points: 300 };
  const answer = useApi<SeriesResult>(apiUrl('series', { name: chart.name, groupBy, ...query }));
  const range = useMemo(
    () => resolveRange(queryFrom.value, queryTo.value, agentNowMs()),
    [queryFrom.value, queryTo.value, liveTick.value],
  );
  const without = state.without.join();
  const kinds = chart.kinds?.filter(kind => !state.without.includes(kind));
  const data = useMemo(() => {
    // The answer before belongs to another type until its own one has come.
    if (answer.data === undefined || answer.data.name !== chart.name) return undefined;
    return chartData(kinds === undefined ? answer.data : kindGroups(answer.data, kinds), true);
  }, [answer.data, state.type, without]);
  if (answer.failure !== undefined) return <FailureNote failure={answer.failure} />;
  if (data === undefined) return <div class="chart-place" style={{ height: '92px' }} />;
  const shown = kinds === undefined ? undefined : { ...data, labels: kinds.map(kind => kindTitles[kind]) };
  const unit = answer.data?.unit ?? '';
  return (
    <TimeSeries
      title={chart.title}
      data={shown ?? data}
      hues={kinds?.map(kindHue) ?? [seriesHue(7)]}
      isStacked
      {...range}
      heightPx={74}
      format={rateFormats[unit] ?? formatCompact}
      formatAxis={formatCompact}
      syncKey="flame"
      testId="flame-series"
    />
  );
}

/** By the unit that the series comes in. */
const rateFormats: Readonly<Record<string, (value: number) => string>> = {
  cores: formatCoreCount,
  threads: formatThreads,
  'bytes per second': value => `${formatBytes(value)}/s`,
  'per second': value => `${formatCompact(value)}/s`,
};

function formatThreads(threads: number): string {
  return threads < 10 ? threads.toFixed(2) : formatCompact(threads);
}

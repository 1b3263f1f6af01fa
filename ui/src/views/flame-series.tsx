/**
 * Above the flame graph: the chosen profile type over time, in cores or threads, by kind of time where it has several; or how long what
 * it tells of lasted, where the kernel counts that.
 */

import { useMemo } from 'preact/hooks';
import type { SeriesResult } from '../../../agent/server/api.ts';
import { formatCompact, formatIn, formatRoundBytes } from '../lib/format.ts';
import { kindHue, kindTitles, seriesHue } from '../lib/frame-kind.ts';
import { durationsOf, profileType } from '../lib/profile-types.ts';
import { chartData, kindGroups } from '../lib/series.ts';
import { resolveRange } from '../lib/time-range.ts';
import { filterText, navigate, param } from '../state/address.ts';
import { apiUrl } from '../state/api.ts';
import type { FlameState } from '../state/flame-state.ts';
import { agentNowMs, liveTick, queryFrom, queryTo } from '../state/live.ts';
import { useApi } from '../state/use-api.ts';
import { Distribution } from './distribution.tsx';
import { FailureNote, Segmented } from './parts.tsx';
import { TimeSeries } from './time-series.tsx';

export function FlameSeries({ state }: { state: FlameState }) {
  const type = profileType(state.type);
  const prefix = durationsOf(type);
  if (prefix === undefined) return <SumOverTime state={state} />;
  const areDurations = param('chart') === 'durations';
  return (
    <div class="flame-chart">
      <div class="flame-chart-choice">
        <Segmented
          label="Chart"
          options={[
            { value: 'sum', title: 'Sum', hint: 'How much of it there was, over time' },
            { value: 'durations', title: 'Durations', hint: 'How long each lasted, over time: counted in the kernel' },
          ]}
          value={areDurations ? 'durations' : 'sum'}
          onChange={chart => navigate({ params: { chart: chart === 'sum' ? undefined : chart } })}
        />
      </div>
      {areDurations ? (
        <Distribution
          sources={type.sources}
          prefix={prefix}
          operation={param('operation')}
          onOperation={operation => navigate({ params: { operation } })}
          heightPx={150}
          whenEmpty="No durations were counted in this range."
        />
      ) : (
        <SumOverTime state={state} />
      )}
    </div>
  );
}

function SumOverTime({ state }: { state: FlameState }) {
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
      format={value => formatIn(unit, value)}
      formatAxis={unit.startsWith('bytes') ? formatRoundBytes : formatCompact}
      isWhole={unit.startsWith('bytes')}
      syncKey="flame"
      testId="flame-series"
    />
  );
}

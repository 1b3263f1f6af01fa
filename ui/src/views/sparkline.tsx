/** A tiny line of values, or areas of kinds of time upon each other, all lines of a column on one scale so that they can be compared. */

import type { ServiceRow } from '../../../agent/server/api.ts';
import { areaFill, cssColor } from '../lib/frame-kind.ts';
import { activitySums } from '../lib/series.ts';
import { theme } from '../state/theme.ts';

export interface SparklineProps {
  values: readonly number[];
  most: number;
}

export function Sparkline({ values, most }: SparklineProps) {
  if (values.length < 2 || most <= 0) return <svg class="spark" viewBox="0 0 100 20" aria-hidden="true" />;
  const points = pointsOf(values, most);
  return (
    <svg class="spark" viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true">
      <path class="spark-area" d={`M0 20 L${points.join(' L')} L100 20 Z`} />
      <path class="spark-line" d={`M${points.join(' L')}`} vector-effect="non-scaling-stroke" />
    </svg>
  );
}

/** Kinds of time of a service's threads, the ones that are work at the bottom, on the same scale as the lines. */
export function KindSparkline({ times, most }: { times: ServiceRow['timeSeries']; most: number }) {
  const sums = activitySums(times);
  const count = sums[0]?.values.length ?? 0;
  if (count < 2 || most <= 0) return <svg class="spark" viewBox="0 0 100 20" aria-hidden="true" />;
  return (
    <svg class="spark" viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true" data-testid="kind-sparkline">
      {[...sums].reverse().map(({ kind, values }) => (
        <path
          key={kind}
          fill={cssColor(areaFill(kind, theme.value))}
          d={`M0 20 L${pointsOf(values, most).join(' L')} L100 20 Z`}
        />
      ))}
    </svg>
  );
}

function xOf(i: number, count: number): string {
  return ((i / (count - 1)) * 100).toFixed(1);
}

/** A square root keeps the small ones of a busy host from being a flat line. */
function pointsOf(values: readonly number[], most: number): string[] {
  const y = (value: number) => (19.5 - 18 * Math.sqrt(Math.max(0, value) / most)).toFixed(1);
  return values.map((value, i) => `${xOf(i, values.length)} ${y(value)}`);
}

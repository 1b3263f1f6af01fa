/** A tiny line of values, all lines of a column on one scale so that they can be compared. */

export interface SparklineProps {
  values: readonly number[];
  most: number;
  /** Share of the range's start in which nobody looked: no line is drawn there, for it would say that nothing happened. */
  blank?: number;
}

export function Sparkline({ values, most, blank = 0 }: SparklineProps) {
  const count = values.length;
  const first = Math.min(count - 2, Math.floor(blank * count));
  if (count < 2 || most <= 0) return <svg class="spark" viewBox="0 0 100 20" aria-hidden="true" />;
  // A square root keeps the small ones of a busy host from being a flat line.
  const x = (i: number) => ((i / (count - 1)) * 100).toFixed(1);
  const y = (value: number) => (19.5 - 18 * Math.sqrt(Math.max(0, value) / most)).toFixed(1);
  const points = values.map((value, i) => `${x(i)} ${y(value)}`).slice(first);
  return (
    <svg class="spark" viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true">
      <path class="spark-area" d={`M${x(first)} 20 L${points.join(' L')} L100 20 Z`} />
      <path class="spark-line" d={`M${points.join(' L')}`} vector-effect="non-scaling-stroke" />
    </svg>
  );
}

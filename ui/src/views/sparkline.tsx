/** A tiny line of values, all lines of a column on one scale so that they can be compared. */

export function Sparkline({ values, most }: { values: readonly number[]; most: number }) {
  const count = values.length;
  if (count < 2 || most <= 0) return <svg class="spark" viewBox="0 0 100 20" aria-hidden="true" />;
  // A square root keeps the small ones of a busy host from being a flat line.
  const points = values.map(
    (value, i) => `${((i / (count - 1)) * 100).toFixed(1)} ${(19.5 - 18 * Math.sqrt(Math.max(0, value) / most)).toFixed(1)}`,
  );
  return (
    <svg class="spark" viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true">
      <path class="spark-area" d={`M0 20 L${points.join(' L')} L100 20 Z`} />
      <path class="spark-line" d={`M${points.join(' L')}`} vector-effect="non-scaling-stroke" />
    </svg>
  );
}

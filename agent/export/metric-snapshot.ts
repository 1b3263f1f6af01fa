/**
 * The agent's metrics at one moment, in a form of their own: OTLP and Prometheus are written from the same snapshot, so the two
 * can never disagree.
 */

export interface HistogramValue {
  readonly count: number;
  /** In the metric's unit. */
  readonly sum: number;
  /** counts[i] is the number of values up to bounds[i] of the metric and above the bound before; the last entry is what lies above all. */
  readonly counts: readonly number[];
}

interface MetricBase {
  /** Dotted name of the semantic conventions' form. */
  readonly name: string;
  /** UCUM: "s", "By", "1", "{event}". */
  readonly unit: string;
  readonly help: string;
}

export interface NumberMetric extends MetricBase {
  readonly type: 'counter' | 'gauge';
  readonly points: readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[];
}

export interface HistogramMetric extends MetricBase {
  readonly type: 'histogram';
  readonly bounds: readonly number[];
  readonly points: readonly { readonly labels: Readonly<Record<string, string>>; readonly value: HistogramValue }[];
}

export type Metric = NumberMetric | HistogramMetric;

export interface MetricSnapshot {
  /** Unix milliseconds since when counters count, and of the snapshot. */
  readonly startMs: number;
  readonly timeMs: number;
  readonly metrics: readonly Metric[];
}

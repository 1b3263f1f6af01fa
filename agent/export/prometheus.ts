/** Prometheus text exposition, format 0.0.4, of a metric snapshot. */

import type { HistogramMetric, Metric, MetricSnapshot } from './metric-snapshot.ts';

/** Units as suffixes, as the OpenTelemetry specification's Prometheus compatibility page has them. */
const unitSuffixes: Readonly<Record<string, string>> = { s: '_seconds', By: '_bytes', '1': '_ratio' };

export function prometheusText(snapshot: MetricSnapshot): string {
  return snapshot.metrics.map(metricText).join('');
}

function metricText(metric: Metric): string {
  const name = prometheusName(metric);
  const head = `# HELP ${name} ${escapeHelp(metric.help)}\n# TYPE ${name} ${metric.type}\n`;
  if (metric.type === 'histogram') return head + histogramText(name, metric);
  return head + metric.points.map(point => `${name}${labelText(point.labels)} ${point.value}\n`).join('');
}

function prometheusName(metric: Metric): string {
  const base = metric.name.replaceAll(/[^a-zA-Z0-9_]/g, '_');
  // A ratio is a gauge; a counter of ones is just a count.
  const suffix = metric.unit === '1' && metric.type !== 'gauge' ? '' : (unitSuffixes[metric.unit] ?? '');
  return `${base}${suffix}${metric.type === 'counter' ? '_total' : ''}`;
}

function histogramText(name: string, metric: HistogramMetric): string {
  let text = '';
  for (const { labels, value } of metric.points) {
    let cumulated = 0;
    for (const [i, bound] of metric.bounds.entries()) {
      cumulated += value.counts[i] ?? 0;
      text += `${name}_bucket${labelText({ ...labels, le: String(bound) })} ${cumulated}\n`;
    }
    text += `${name}_bucket${labelText({ ...labels, le: '+Inf' })} ${value.count}\n`;
    text += `${name}_sum${labelText(labels)} ${value.sum}\n${name}_count${labelText(labels)} ${value.count}\n`;
  }
  return text;
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key.replaceAll(/[^a-zA-Z0-9_]/g, '_')}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function escapeHelp(help: string): string {
  return help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

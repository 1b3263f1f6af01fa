/** A metric snapshot as the SDK's ResourceMetrics, ready for any OTLP metric exporter. Temporality is cumulative throughout. */

import { type HrTime, ValueType } from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import { AggregationTemporality, DataPointType, type MetricData, type ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { Metric, MetricSnapshot } from './metric-snapshot.ts';
import { agentScope } from './otlp-resource.ts';

export function otlpMetrics(snapshot: MetricSnapshot, resource: Resource): ResourceMetrics {
  const startTime = hrTimeOfMs(snapshot.startMs);
  const endTime = hrTimeOfMs(snapshot.timeMs);
  const metrics = snapshot.metrics.map(metric => metricData(metric, startTime, endTime));
  return { resource, scopeMetrics: [{ scope: agentScope, metrics }] };
}

function metricData(metric: Metric, startTime: HrTime, endTime: HrTime): MetricData {
  const { name, unit, help } = metric;
  const base = {
    descriptor: { name, unit, description: help, valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  if (metric.type === 'histogram') {
    const dataPoints = metric.points.map(({ labels, value }) => ({
      startTime,
      endTime,
      attributes: { ...labels },
      value: { buckets: { boundaries: [...metric.bounds], counts: [...value.counts] }, count: value.count, sum: value.sum },
    }));
    return { ...base, dataPointType: DataPointType.HISTOGRAM, dataPoints };
  }
  const dataPoints = metric.points.map(({ labels, value }) => ({ startTime, endTime, attributes: { ...labels }, value }));
  if (metric.type === 'gauge') return { ...base, dataPointType: DataPointType.GAUGE, dataPoints };
  return { ...base, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints };
}

export function hrTimeOfMs(timeMs: number): HrTime {
  const seconds = Math.floor(timeMs / 1000);
  return [seconds, Math.round((timeMs - seconds * 1000) * 1e6)];
}

/** OTLP exporters of the SDK as transports, from configuration. Retry and queueing are ours (span-sender.ts); theirs is only the wire. */

import { createRequire } from 'node:module';
import type { PushMetricExporter } from '@opentelemetry/sdk-metrics';
import type { SpanExporter } from '@opentelemetry/sdk-trace';

export interface OtlpTarget {
  /** Base URL, "http://collector:4318"; for http/protobuf the signal's path is added unless given by signal. */
  readonly endpoint: string;
  readonly tracesEndpoint: string;
  readonly metricsEndpoint: string;
  readonly profilesEndpoint: string;
  readonly protocol: 'http/protobuf' | 'grpc';
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly compression: 'gzip' | 'none';
}

/** Loaded when needed: gRPC alone is 3 MB of code that a host with http/protobuf never runs. */
const require = createRequire(import.meta.url);

export function spanExporter(target: OtlpTarget): SpanExporter {
  const url = signalUrl(target, target.tracesEndpoint, 'v1/traces');
  if (target.protocol === 'grpc') {
    const { OTLPTraceExporter } =
      require('@opentelemetry/exporter-trace-otlp-grpc') as typeof import('@opentelemetry/exporter-trace-otlp-grpc');
    return new OTLPTraceExporter({ ...commonOptions(target, url), ...grpcOptions(target) });
  }
  const { OTLPTraceExporter } =
    require('@opentelemetry/exporter-trace-otlp-proto') as typeof import('@opentelemetry/exporter-trace-otlp-proto');
  return new OTLPTraceExporter({ ...commonOptions(target, url), headers: { ...target.headers } });
}

export function metricExporter(target: OtlpTarget): PushMetricExporter {
  const url = signalUrl(target, target.metricsEndpoint, 'v1/metrics');
  if (target.protocol === 'grpc') {
    const { OTLPMetricExporter } =
      require('@opentelemetry/exporter-metrics-otlp-grpc') as typeof import('@opentelemetry/exporter-metrics-otlp-grpc');
    return new OTLPMetricExporter({ ...commonOptions(target, url), ...grpcOptions(target) });
  }
  const { OTLPMetricExporter } =
    require('@opentelemetry/exporter-metrics-otlp-proto') as typeof import('@opentelemetry/exporter-metrics-otlp-proto');
  return new OTLPMetricExporter({ ...commonOptions(target, url), headers: { ...target.headers } });
}

/** A signal's own endpoint is used as it is; the common one gets the signal's path for HTTP (OTLP exporter specification). */
export function signalUrl(target: OtlpTarget, own: string, path: string): string {
  if (own !== '') return own;
  return target.protocol === 'grpc' ? target.endpoint : `${target.endpoint.replace(/\/+$/, '')}/${path}`;
}

function commonOptions(
  target: OtlpTarget,
  url: string,
): { url: string; timeoutMillis: number; concurrencyLimit: number; compression: never } {
  // The packages declare their own enum for these two words; the values are the words.
  return { url, timeoutMillis: target.timeoutMs, concurrencyLimit: 1, compression: target.compression as never };
}

function grpcOptions(target: OtlpTarget): { metadata: import('@grpc/grpc-js').Metadata } {
  const { Metadata } = require('@grpc/grpc-js') as typeof import('@grpc/grpc-js');
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(target.headers)) metadata.set(key, value);
  return { metadata };
}

/** Stored spans as the SDK's ReadableSpan: plain objects that an OTLP span exporter encodes. */

import { type HrTime, type SpanContext, SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import type { FeedSpan } from '../store/span-feed.ts';
import { agentScope, type Resources } from './otlp-resource.ts';

/** OTLP numbers kinds from 1 (internal); the API from 0. */
const kinds = [SpanKind.INTERNAL, SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER];

const nothing: never[] = [];

export function readableSpan(span: FeedSpan, resources: Resources): ReadableSpan {
  const startTime = hrTime(span.startNs);
  const endTime = hrTime(span.startNs + BigInt(Math.round(span.durationNs)));
  const context = spanContext(span.traceId, span.spanId);
  const isError = span.error !== '';
  const readable: ReadableSpan = {
    name: span.name,
    kind: kinds[span.kind] ?? SpanKind.INTERNAL,
    spanContext: () => context,
    startTime,
    endTime,
    duration: hrTime(BigInt(Math.round(span.durationNs))),
    status: { code: isError ? SpanStatusCode.ERROR : SpanStatusCode.UNSET },
    attributes: {
      ...span.attributes,
      'process.pid': span.pid,
      'thread.id': span.tid,
      'thread.name': span.thread,
      ...(isError ? { 'error.type': span.error } : {}),
    },
    links: nothing,
    events: nothing,
    ended: true,
    resource: resources.of(span.service, span.containerId),
    instrumentationScope: agentScope,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
  return span.parentSpanId === '' ? readable : { ...readable, parentSpanContext: spanContext(span.traceId, span.parentSpanId) };
}

function spanContext(traceId: string, spanId: string): SpanContext {
  return { traceId, spanId, traceFlags: TraceFlags.SAMPLED };
}

function hrTime(ns: bigint): HrTime {
  return [Number(ns / 1_000_000_000n), Number(ns % 1_000_000_000n)];
}

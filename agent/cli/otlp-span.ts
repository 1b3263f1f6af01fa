/** A span as one line of JSON with the field names of OTLP/JSON (opentelemetry-proto 1.x, trace/v1/trace.proto). */

import type { AttributeValue, SpanDetail, SpanSummary } from '../server/api.ts';

type OtlpValue = { stringValue: string } | { boolValue: boolean } | { intValue: string } | { doubleValue: number };

function otlpValue(value: AttributeValue): OtlpValue {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  // 64-bit integers are decimal strings in protobuf's JSON.
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}

/** Status codes of OTLP: 0 unset, 2 error. */
const statusError = 2;

export function otlpSpanLine(span: SpanSummary | SpanDetail): string {
  const startNs = BigInt(span.startNs);
  const stack = 'stack' in span && span.stack.length > 0 ? { 'code.stacktrace': stackText(span) } : {};
  const attributes: Record<string, AttributeValue> = {
    'service.name': span.service,
    'process.pid': span.pid,
    'process.executable.name': span.process,
    'thread.id': span.tid,
    'thread.name': span.thread,
    ...span.attributes,
    ...(span.error === '' ? {} : { 'error.type': span.error }),
    ...stack,
  };
  return JSON.stringify({
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.parentSpanId === '' ? {} : { parentSpanId: span.parentSpanId }),
    name: span.name,
    kind: span.kind,
    startTimeUnixNano: String(startNs),
    endTimeUnixNano: String(startNs + BigInt(Math.round(span.durationNs))),
    attributes: Object.entries(attributes).map(([key, value]) => ({ key, value: otlpValue(value) })),
    status: span.error === '' ? {} : { code: statusError, message: span.error },
  });
}

/** Leaf first, a frame a line, as the conventions leave the form to the language. */
export function stackText(span: SpanDetail): string {
  return span.stack.map(frameText).join('\n');
}

export function frameText(frame: SpanDetail['stack'][number]): string {
  const place = frame.file === '' ? frame.module : `${frame.file}:${frame.line}`;
  return `${frame.name}${frame.isGuess ? '?' : ''} (${place})`;
}

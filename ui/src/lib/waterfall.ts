/** The spans of a trace as lines of a waterfall: parents before children, children by start, with depth and place on the axis. */

import type { SpanDetail } from '../../../agent/server/api.ts';

export interface WaterfallLine {
  span: SpanDetail;
  depth: number;
  /** Nanoseconds from the trace's first start. */
  offsetNs: number;
  children: number;
  /** Its parent is named but not among the spans. */
  isOrphan: boolean;
}

export interface Waterfall {
  lines: WaterfallLine[];
  lengthNs: number;
  /** Decimal Unix nanoseconds of the first start. */
  startNs: bigint;
  startMs: number;
}

export function layoutWaterfall(spans: readonly SpanDetail[]): Waterfall {
  const first = spans.reduce<SpanDetail | undefined>(
    (best, span) => (best === undefined || BigInt(span.startNs) < BigInt(best.startNs) ? span : best),
    undefined,
  );
  const startNs = BigInt(first?.startNs ?? 0);
  const ids = new Set(spans.map(span => span.spanId));
  const children = new Map<string, SpanDetail[]>();
  for (const span of spans) {
    // A span that names itself or a stranger as parent stands at the top, where it can be seen.
    const parent = ids.has(span.parentSpanId) && span.parentSpanId !== span.spanId ? span.parentSpanId : '';
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [span]);
    else siblings.push(span);
  }
  const byStart = (a: SpanDetail, b: SpanDetail) => Number(BigInt(a.startNs) - BigInt(b.startNs)) || b.durationNs - a.durationNs;
  for (const siblings of children.values()) siblings.sort(byStart);
  const lines: WaterfallLine[] = [];
  // With a stack of its own: traces may nest deeper than the call stack allows.
  const open = [...(children.get('') ?? [])].reverse().map(span => ({ span, depth: 0 }));
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { span, depth } = next;
    const below = children.get(span.spanId) ?? [];
    const isOrphan = span.parentSpanId !== '' && !ids.has(span.parentSpanId);
    lines.push({ span, depth, offsetNs: Number(BigInt(span.startNs) - startNs), children: below.length, isOrphan });
    for (const child of [...below].reverse()) open.push({ span: child, depth: depth + 1 });
  }
  const lengthNs = lines.reduce((length, line) => Math.max(length, line.offsetNs + line.span.durationNs), 0);
  return { lines, lengthNs, startNs, startMs: first?.startMs ?? 0 };
}

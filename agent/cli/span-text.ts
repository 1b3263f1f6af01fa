/** Spans as lines for people: a call tree is printed when its root has ended, each call under the one that made it. */

import { formatDuration } from '../lib/units.ts';
import type { AttributeValue, SpanDetail } from '../server/api.ts';
import { attributes } from '../sources/attributes.ts';
import { frameText } from './otlp-span.ts';
import { printable } from './terminal.ts';

/** Calls that wait for the end of the one around them; more are printed without waiting. */
const maxWaiting = 10_000;
/** A call whose root has not ended by then is printed by itself: it may be lost, or run for hours. */
const maxWaitMs = 2000;
/** Depths of printed calls that are remembered for calls that arrive after their root. */
const maxRemembered = 10_000;

export interface SpanPrinterOptions {
  readonly withStack: boolean;
  readonly write: (text: string) => void;
  readonly nowMs?: () => number;
}

interface Group {
  readonly sinceMs: number;
  readonly spans: SpanDetail[];
}

export class SpanPrinter {
  private readonly options: SpanPrinterOptions;
  private readonly nowMs: () => number;
  private readonly groups = new Map<string, Group>();
  private readonly depths = new Map<string, number>();
  private waiting = 0;

  constructor(options: SpanPrinterOptions) {
    this.options = options;
    this.nowMs = options.nowMs ?? Date.now;
  }

  add(span: SpanDetail): void {
    const isRoot = span.parentSpanId === '';
    if (isRoot || this.depths.has(span.parentSpanId)) {
      const waiting = this.take(span.traceId);
      this.print([...waiting, span]);
      return;
    }
    const group = this.groups.get(span.traceId) ?? { sinceMs: this.nowMs(), spans: [] };
    this.groups.set(span.traceId, group);
    group.spans.push(span);
    this.waiting += 1;
    while (this.waiting > maxWaiting) this.print(this.take(this.groups.keys().next().value!));
  }

  /** Prints what has waited too long; call a few times a second. At the end, with `isLast`, all that waits. */
  flush(isLast = false): void {
    for (const [traceId, group] of this.groups) {
      if (isLast || this.nowMs() - group.sinceMs > maxWaitMs) this.print(this.take(traceId));
    }
  }

  private take(traceId: string): SpanDetail[] {
    const spans = this.groups.get(traceId)?.spans ?? [];
    this.groups.delete(traceId);
    this.waiting -= spans.length;
    return spans;
  }

  private print(spans: readonly SpanDetail[]): void {
    // A caller starts before what it calls; of two that start together the longer one is the caller.
    const ordered = [...spans].sort((a, b) => compare(BigInt(a.startNs), BigInt(b.startNs)) || b.durationNs - a.durationNs);
    for (const span of ordered) {
      const depth = span.parentSpanId === '' ? 0 : (this.depths.get(span.parentSpanId) ?? 0) + 1;
      this.remember(span.spanId, depth);
      this.options.write(spanText(span, depth, this.options.withStack));
    }
  }

  private remember(spanId: string, depth: number): void {
    this.depths.set(spanId, depth);
    if (this.depths.size > maxRemembered) this.depths.delete(this.depths.keys().next().value!);
  }
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const columnWidths = { time: 15, latency: 9, process: 22 };

export const spanHeader = `${'TIME'.padEnd(columnWidths.time)} ${'LATENCY'.padStart(columnWidths.latency)}  ${'PROCESS'.padEnd(columnWidths.process)} CALL\n`;

/** Local time of day with microseconds, latency, process, then the call: name(arguments) = result, and the error's name. */
export function spanText(span: SpanDetail, depth: number, withStack: boolean): string {
  const process = printable(`${span.process || span.thread}/${span.tid}`);
  const left = [
    timeOfDay(BigInt(span.startNs)).padEnd(columnWidths.time),
    formatDuration(span.durationNs).padStart(columnWidths.latency),
    '',
    process.padEnd(columnWidths.process),
  ].join(' ');
  const indent = '  '.repeat(depth);
  const stack = withStack
    ? span.stack.map(frame => `${' '.repeat(columnWidths.time + 1)}${indent}at ${printable(frameText(frame))}\n`)
    : [];
  return `${left} ${indent}${callText(span)}\n${stack.join('')}`;
}

/** What tells one call of the same function from another: arguments first, then the path of a file. */
function callText(span: SpanDetail): string {
  const entries = Object.entries(span.attributes);
  const given = entries
    .filter(([key]) => key.startsWith(attributes.argumentPrefix))
    .map(([key, value]) => `${key.slice(attributes.argumentPrefix.length)}=${valueText(value)}`);
  const path = span.attributes[attributes.filePath];
  const result = span.attributes[attributes.result];
  const text = `${span.name}(${[...given, ...(path === undefined ? [] : [String(path)])].join(', ')})`;
  return printable(`${text}${result === undefined ? '' : ` = ${valueText(result)}`}${span.error === '' ? '' : ` ${span.error}`}`);
}

/** From 65,536 on a number is more likely an address or flags than a count. */
function valueText(value: AttributeValue): string {
  return typeof value === 'number' && Number.isInteger(value) && value >= 65_536 ? `0x${value.toString(16)}` : String(value);
}

function timeOfDay(unixNs: bigint): string {
  const date = new Date(Number(unixNs / 1_000_000n));
  const two = (value: number) => String(value).padStart(2, '0');
  const micros = String((unixNs / 1000n) % 1_000_000n).padStart(6, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${micros}`;
}

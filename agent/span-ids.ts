/** Ids and attributes of a captured span in the forms that the store and OTLP take. */

import { randomBytes } from 'node:crypto';
import type { AttributeValue, Span } from './sources/source.ts';

export interface IdentifiedSpan {
  readonly traceId: Buffer;
  readonly spanId: Buffer;
  readonly parentSpanId: Buffer | undefined;
  readonly attributes: Record<string, string | number | boolean>;
}

/**
 * Spans that were numbered in the kernel (calls that nest) keep their keys; others get a key of their own. The first half of a
 * trace id is random per run, so that keys that begin anew at each start never make two traces one.
 */
export class SpanIds {
  private readonly tracePrefix = randomBytes(8);
  private nextKey = randomBytes(8).readBigUInt64BE();

  of(span: Span): IdentifiedSpan {
    const spanKey = span.spanKey === 0n ? this.newKey() : span.spanKey;
    const traceKey = span.traceKey === 0n ? spanKey : span.traceKey;
    return {
      traceId: Buffer.concat([this.tracePrefix, keyBytes(traceKey)]),
      spanId: keyBytes(spanKey),
      parentSpanId: span.parentKey === 0n ? undefined : keyBytes(span.parentKey),
      attributes: plainAttributes(span.attributes),
    };
  }

  private newKey(): bigint {
    this.nextKey = BigInt.asUintN(64, this.nextKey + 1n);
    return this.nextKey === 0n ? this.newKey() : this.nextKey;
  }
}

function keyBytes(key: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, key));
  return bytes;
}

/** OTLP has no 64-bit unsigned value: what a JavaScript number does not hold exactly is written as hexadecimal text. */
function plainAttributes(attributes: Readonly<Record<string, AttributeValue>>): Record<string, string | number | boolean> {
  const plain: Record<string, string | number | boolean> = {};
  for (const key in attributes) {
    const value = attributes[key] as AttributeValue;
    if (typeof value !== 'bigint') plain[key] = value;
    else plain[key] = Number.isSafeInteger(Number(value)) ? Number(value) : `0x${BigInt.asUintN(64, value).toString(16)}`;
  }
  return plain;
}

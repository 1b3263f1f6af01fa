/**
 * Sends stored spans to a collector, in the order of storing. The store itself is the queue: a failed batch is simply read again,
 * an outage costs no memory, and what a restart of the agent had not sent yet is sent after it. When the backlog outgrows its
 * bound, or retention deletes what was not sent, the gap is counted as dropped.
 */

import { ExportResultCode } from '@opentelemetry/core';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import type { SpanFeed } from '../store/span-feed.ts';
import type { Resources } from './otlp-resource.ts';
import { readableSpan } from './otlp-spans.ts';

export interface SpanSenderOptions {
  readonly feed: SpanFeed;
  readonly exporter: SpanExporter;
  readonly resources: Resources;
  /** Spans sent before this cursor are not sent again. */
  readonly cursor: number;
  /** Spans waiting in the store beyond which the oldest are given up. */
  readonly maxBacklog: number;
  /** Tells where to go on after a restart; called after each batch that was taken. */
  readonly onProgress: (cursor: number) => void;
}

export interface SenderState {
  state: 'ok' | 'retrying' | 'failing';
  queued: number;
  sent: number;
  dropped: number;
  message: string;
}

/** 2,048 spans are about 400 KB of protobuf: well under the 4 MiB that a collector's gRPC receiver takes by default. */
const batchSpans = 2048;

const idleMs = 500;
const firstBackoffMs = 500;
const maxBackoffMs = 10_000;

/** Failures in a row after which the state says failing rather than retrying. */
const failingAfter = 5;

export class SpanSender {
  readonly state: SenderState = { state: 'ok', queued: 0, sent: 0, dropped: 0, message: '' };
  private readonly options: SpanSenderOptions;
  private cursor: number;
  private failures = 0;
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;
  private sending: Promise<void> = Promise.resolve();

  constructor(options: SpanSenderOptions) {
    this.options = options;
    this.cursor = options.cursor;
  }

  begin(): void {
    this.schedule(0);
  }

  /** Sends what is there, trying until `deadlineMs` from now, then stops. */
  async close(deadlineMs: number): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    await this.sending;
    const endMs = Date.now() + deadlineMs;
    while (Date.now() < endMs && (await this.sendBatch()) > 0) {
      if (this.failures > 0) await new Promise(resolve => setTimeout(resolve, firstBackoffMs));
    }
    await this.options.exporter.shutdown();
  }

  private schedule(delayMs: number): void {
    if (this.isClosed) return;
    this.timer = setTimeout(() => {
      this.sending = this.sendBatch().then(
        waiting => this.schedule(this.failures > 0 ? this.backoffMs() : waiting > 0 ? 0 : idleMs),
        error => {
          this.fail(error);
          this.schedule(this.backoffMs());
        },
      );
    }, delayMs);
  }

  private backoffMs(): number {
    const ceiling = Math.min(maxBackoffMs, firstBackoffMs * 2 ** Math.min(this.failures, 10));
    // Full jitter keeps a fleet from knocking on a restarted collector all at once.
    return ceiling / 2 + (Math.random() * ceiling) / 2;
  }

  /** Sends one batch. Gives the number of spans still waiting. */
  private async sendBatch(): Promise<number> {
    this.shedBacklog();
    const batch = this.options.feed.after(this.cursor, batchSpans);
    if (batch.skipped > 0) this.state.dropped += batch.skipped;
    if (batch.spans.length > 0) {
      const error = await this.send(batch.spans.map(span => readableSpan(span, this.options.resources)));
      if (error === undefined) this.state.sent += batch.spans.length;
      else if (isPermanent(error)) {
        this.state.dropped += batch.spans.length;
        this.state.message = `${batch.spans.length} spans were refused: ${error.message}`;
      } else {
        this.fail(error);
        return this.state.queued;
      }
      this.failures = 0;
      this.state.state = 'ok';
      if (error === undefined) this.state.message = '';
    }
    this.cursor = batch.cursor;
    this.options.onProgress(this.cursor);
    this.state.queued = this.options.feed.countAfter(this.cursor);
    return this.state.queued;
  }

  private shedBacklog(): void {
    const waiting = this.options.feed.countAfter(this.cursor);
    this.state.queued = waiting;
    if (waiting <= this.options.maxBacklog) return;
    const given = waiting - this.options.maxBacklog;
    this.cursor = this.options.feed.advance(this.cursor, given);
    this.state.dropped += given;
  }

  private send(spans: ReadableSpan[]): Promise<Error | undefined> {
    return new Promise(resolve => {
      this.options.exporter.export(spans, result => {
        resolve(
          result.code === ExportResultCode.SUCCESS ? undefined : (result.error ?? new Error('the collector gave no reason')),
        );
      });
    });
  }

  private fail(error: unknown): void {
    this.failures += 1;
    this.state.state = this.failures >= failingAfter ? 'failing' : 'retrying';
    this.state.message = error instanceof Error ? error.message : String(error);
  }
}

/**
 * Whether the spans themselves were refused, so that sending the same again cannot help: HTTP 400, 413 and 422, gRPC
 * INVALID_ARGUMENT (3) and OUT_OF_RANGE (11). A wrong path or credential (401, 403, 404) is not the spans' fault: they wait in the
 * store until it is put right.
 */
export function isPermanent(error: Error): boolean {
  const code = (error as { code?: unknown }).code;
  return typeof code === 'number' && [400, 413, 422, 3, 11].includes(code);
}

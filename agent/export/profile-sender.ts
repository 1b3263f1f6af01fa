/**
 * Sends stored profiles to a collector, one request for each stretch of time. As with spans the store is the queue: a stretch that
 * was not taken is read again, and one that is older than the store's fine sums is given up and counted.
 */

import type { ExporterState } from '../server/api.ts';
import type { FullProfile } from '../store/full-profile.ts';
import { isPermanent } from './span-sender.ts';

export interface ProfileSenderOptions {
  /** All that is stored of the chosen types in a range; throws a StoreError while the store cannot be read. */
  readonly read: (range: { fromMs: number; toMs: number }) => readonly FullProfile[];
  /** One request. Resolves with the error that the collector, or the way to it, gave. */
  readonly send: (profiles: readonly FullProfile[]) => Promise<Error | undefined>;
  readonly endpoint: string;
  /** Length of a stretch. */
  readonly intervalMs: number;
}

/** Samples are stored at the latest this long after they were taken, but for stacks that wait for a table. */
const settleMs = 5000;

/** The store keeps sums by the second for ten minutes; a stretch that is older could only be sent as whole minutes. */
const maxLagMs = 9 * 60_000;

/** Failures in a row after which the state says failing rather than retrying. */
const failingAfter = 5;

export class ProfileSender {
  readonly state: ExporterState;
  private readonly options: ProfileSenderOptions;
  /** Everything before it was sent, or counted as dropped. Whole seconds. */
  private sentToMs = wholeSecond(Date.now());
  private failures = 0;
  private timer: NodeJS.Timeout | undefined;
  private sending: Promise<void> = Promise.resolve();
  private isClosed = false;

  constructor(options: ProfileSenderOptions) {
    this.options = options;
    this.state = { name: 'otlp profiles', endpoint: options.endpoint, state: 'ok', queued: 0, sent: 0, dropped: 0, message: '' };
  }

  begin(): void {
    this.schedule();
  }

  /** Sends what is left, once. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    await this.sending;
    await this.sendTo(wholeSecond(Date.now()) + 1000);
  }

  private schedule(): void {
    if (this.isClosed) return;
    this.timer = setTimeout(() => {
      this.sending = this.step().finally(() => this.schedule());
    }, this.options.intervalMs / 4);
  }

  private async step(): Promise<void> {
    const settledMs = wholeSecond(Date.now() - settleMs);
    this.giveUpOld(settledMs);
    while (!this.isClosed && settledMs - this.sentToMs >= this.options.intervalMs) {
      if (!(await this.sendTo(this.sentToMs + this.options.intervalMs))) break;
    }
    this.state.queued = Math.max(0, Math.floor((settledMs - this.sentToMs) / this.options.intervalMs));
  }

  private giveUpOld(settledMs: number): void {
    const { intervalMs } = this.options;
    while (settledMs - this.sentToMs > maxLagMs) {
      this.sentToMs += intervalMs;
      this.state.dropped += 1;
    }
  }

  /** True when the stretch is done with: taken, or refused for good. */
  private async sendTo(toMs: number): Promise<boolean> {
    const error = await this.attempt(toMs);
    if (error !== undefined && !isPermanent(error)) {
      this.failures += 1;
      this.state.state = this.failures >= failingAfter ? 'failing' : 'retrying';
      this.state.message = error.message;
      return false;
    }
    this.failures = 0;
    this.state.state = 'ok';
    this.state.message =
      error === undefined ? '' : `profiles of ${(toMs - this.sentToMs) / 1000} s were refused: ${error.message}`;
    if (error !== undefined) this.state.dropped += 1;
    this.sentToMs = toMs;
    return true;
  }

  private async attempt(toMs: number): Promise<Error | undefined> {
    try {
      const profiles = this.options.read({ fromMs: this.sentToMs, toMs }).filter(({ entries }) => entries.length > 0);
      if (profiles.length === 0) return undefined;
      const error = await this.options.send(profiles);
      if (error === undefined) this.state.sent += profiles.length;
      return error;
    } catch (cause) {
      return cause instanceof Error ? cause : new Error(String(cause));
    }
  }
}

function wholeSecond(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

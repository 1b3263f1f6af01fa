/** The live WebSocket: one message a second to every client that keeps up. */

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { LiveMessage } from './api.ts';
import type { Backend } from './backend.ts';
import { HttpError } from './http-error.ts';

export interface LiveOptions {
  readonly maxClients: number;
  readonly intervalMs: number;
  /** A client with more than this waiting in its socket gets no further message until it has read. */
  readonly maxBufferedBytes: number;
}

export const defaultLiveOptions: LiveOptions = { maxClients: 32, intervalMs: 1000, maxBufferedBytes: 1 << 20 };

/** A client that kept up with none of this many messages in a row is gone for all we know. */
const maxSkipped = 30;

interface Client {
  readonly socket: WebSocket;
  skippedInRow: number;
  isAlive: boolean;
}

export class LiveFeed {
  /** Messages not sent because a client did not read, ticks left out because the agent answered too late, and failed ones. */
  readonly counts = { sent: 0, skipped: 0, late: 0, failed: 0, refused: 0 };
  private readonly backend: Backend;
  private readonly options: LiveOptions;
  private readonly clients = new Set<Client>();
  // 1 KiB: clients have nothing to say.
  private readonly sockets = new WebSocketServer({
    noServer: true,
    maxPayload: 1024,
    perMessageDeflate: false,
    clientTracking: false,
  });
  private readonly timer: NodeJS.Timeout;
  private isGathering = false;
  private ticks = 0;

  constructor(backend: Backend, options: LiveOptions) {
    this.backend = backend;
    this.options = options;
    this.timer = setInterval(() => void this.tick(), options.intervalMs);
    this.timer.unref();
  }

  get clientCount(): number {
    return this.clients.size;
  }

  /** Takes over an upgrade that was let in. Throws an HttpError 503 when there are too many clients. */
  accept(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    if (this.clients.size >= this.options.maxClients) {
      this.counts.refused += 1;
      throw new HttpError(503, `${this.options.maxClients} live clients are connected already`, 'close a browser tab', {
        'Retry-After': '5',
      });
    }
    this.sockets.handleUpgrade(request, stream, head, socket => this.add(socket));
  }

  private add(socket: WebSocket): void {
    const client: Client = { socket, skippedInRow: 0, isAlive: true };
    this.clients.add(client);
    socket.on('pong', () => {
      client.isAlive = true;
    });
    socket.on('close', () => this.clients.delete(client));
    // A protocol error or reset: `close` follows and removes the client.
    socket.on('error', () => socket.terminate());
    void this.tick();
  }

  /** Gathers once and sends the same bytes to all. One gathering at a time: a slow agent must not be asked twice as often. */
  private async tick(): Promise<void> {
    if (this.clients.size === 0) return;
    if (this.isGathering) {
      this.counts.late += 1;
      return;
    }
    this.isGathering = true;
    try {
      const [status, sources] = await Promise.all([this.backend.status(), this.backend.sources()]);
      const message: LiveMessage = { nowMs: Date.now(), status, sources, storeVersion: this.backend.storeVersion() };
      const text = JSON.stringify(message);
      for (const client of this.clients) this.send(client, text);
    } catch {
      // The same failure is answered, with its words, to the status request that the UI makes; here only its count is of use.
      this.counts.failed += 1;
    } finally {
      this.isGathering = false;
    }
    this.ticks += 1;
    if (this.ticks % 15 === 0) this.checkAlive();
  }

  private send(client: Client, text: string): void {
    if (client.socket.readyState !== client.socket.OPEN) return;
    if (client.socket.bufferedAmount > this.options.maxBufferedBytes) {
      this.counts.skipped += 1;
      client.skippedInRow += 1;
      if (client.skippedInRow >= maxSkipped) client.socket.terminate();
      return;
    }
    client.skippedInRow = 0;
    this.counts.sent += 1;
    client.socket.send(text);
  }

  /** Ends clients that did not answer the last ping, and pings the rest. */
  private checkAlive(): void {
    for (const client of this.clients) {
      if (!client.isAlive) client.socket.terminate();
      client.isAlive = false;
      client.socket.ping();
    }
  }

  close(): void {
    clearInterval(this.timer);
    for (const { socket } of this.clients) socket.close(1001, 'the agent is stopping');
    // What has not answered the close frame by then is cut off, so that stopping takes no longer.
    setTimeout(() => {
      for (const { socket } of this.clients) socket.terminate();
    }, 500).unref();
    this.sockets.close();
  }
}

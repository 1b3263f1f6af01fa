/**
 * Queries from another thread: the methods of the reader as promises, answered by a worker. One query runs at a time; others wait
 * in order. A query that takes too long is ended with its worker, and the next one gets a new worker.
 */

import { Worker } from 'node:worker_threads';
import type { ProfileFormat, QueryMethod, QueryReply, QueryRequest } from './query-protocol.ts';
import type { SqliteStoreReader } from './reader.ts';
import type { ProfileQuery } from './rows.ts';
import { QueryError, StoreError } from './store-error.ts';

export interface QueryClientOptions {
  /** Default 20 s. */
  readonly timeoutMs?: number;
  /** A worker that nothing was asked of for this long is ended: default 5 minutes. */
  readonly idleMs?: number;
}

interface Call {
  readonly request: QueryRequest;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  isCancelled: boolean;
}

const defaultTimeoutMs = 20_000;
const defaultIdleMs = 300_000;
const maxWaiting = 256;

type Arguments<M extends QueryMethod> = Parameters<SqliteStoreReader[M]>;
type Result<M extends QueryMethod> = ReturnType<SqliteStoreReader[M]>;

export class QueryClient {
  private readonly path: string;
  private readonly timeoutMs: number;
  private readonly idleMs: number;
  private worker: Worker | undefined;
  private waiting: Call[] = [];
  private running: Call | undefined;
  private timer: NodeJS.Timeout | undefined;
  private idleTimer: NodeJS.Timeout | undefined;
  private nextId = 1;
  /** Makes files; there while some are being made. */
  private files: QueryClient | undefined;
  private openFiles = 0;
  private isClosed = false;

  /** There is a worker only while someone asks: it takes 15 MB and more, and most of the time nobody looks. */
  constructor(path: string, options: QueryClientOptions = {}) {
    this.path = path;
    this.timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    this.idleMs = options.idleMs ?? defaultIdleMs;
  }

  /** JSON of what the reader's method returns, as bytes; "null" where it returns undefined. */
  json<M extends QueryMethod>(method: M, args: Arguments<M>, signal?: AbortSignal): Promise<Buffer> {
    return this.call({ method, args, isJson: true }, signal) as Promise<Buffer>;
  }

  /** What the reader's method returns. */
  query<M extends QueryMethod>(method: M, args: Arguments<M>, signal?: AbortSignal): Promise<Result<M>> {
    return this.call({ method, args, isJson: false }, signal) as Promise<Result<M>>;
  }

  /** A profile as a file; pprof is gzipped. Large ones take seconds, so they are made in a worker of their own. */
  async profileFile(format: ProfileFormat, query: ProfileQuery, signal?: AbortSignal): Promise<Buffer> {
    if (this.isClosed) throw closedError();
    this.files ??= new QueryClient(this.path, { timeoutMs: this.timeoutMs * 3 });
    const { files } = this;
    this.openFiles += 1;
    try {
      return (await files.call({ method: 'profileFile', args: [format, query], isJson: false }, signal)) as Buffer;
    } finally {
      this.openFiles -= 1;
      if (this.openFiles === 0) {
        this.files = undefined;
        await files.close();
      }
    }
  }

  extent(): Promise<Result<'extent'>> {
    return this.query('extent', []);
  }

  /** Ends the worker; calls that are not answered are rejected. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.idleTimer);
    const { worker } = this;
    this.worker = undefined;
    this.failRunning(closedError());
    for (const call of this.waiting.splice(0)) call.reject(closedError());
    await Promise.all([worker?.terminate(), this.files?.close()]);
  }

  private call(what: Omit<QueryRequest, 'id'>, signal: AbortSignal | undefined): Promise<unknown> {
    if (this.isClosed) return Promise.reject(closedError());
    if (signal?.aborted) return Promise.reject(cancelledError());
    if (this.waiting.length >= maxWaiting) {
      return Promise.reject(new QueryError(`${maxWaiting} queries wait already`, 'ask again later, or for less'));
    }
    return new Promise((resolve, reject) => {
      const call: Call = { request: { ...what, id: this.nextId++ }, resolve, reject, isCancelled: false };
      signal?.addEventListener('abort', () => this.cancel(call), { once: true });
      this.waiting.push(call);
      this.next();
    });
  }

  /** One that runs cannot be interrupted within SQLite or JavaScript; its answer is thrown away. */
  private cancel(call: Call): void {
    call.isCancelled = true;
    call.reject(cancelledError());
    this.waiting = this.waiting.filter(waiting => waiting !== call);
  }

  private next(): void {
    if (this.running !== undefined || this.isClosed) return;
    const call = this.waiting.shift();
    if (call === undefined) return;
    clearTimeout(this.idleTimer);
    this.running = call;
    this.worker ??= this.startWorker();
    this.worker.ref();
    this.timer = setTimeout(() => this.endSlow(call), this.timeoutMs);
    this.worker.postMessage(call.request);
  }

  private endSlow(call: Call): void {
    void this.worker?.terminate();
    this.worker = undefined;
    const error = new QueryError(
      `the query took longer than ${this.timeoutMs / 1000} s`,
      'choose a shorter range or a simpler filter',
    );
    call.reject(error);
    this.finish();
  }

  private receive({ id, value, bytes, error }: QueryReply): void {
    const call = this.running;
    if (call === undefined || call.request.id !== id) return;
    if (error !== undefined) call.reject(Object.assign(new Error(error.message), { name: error.name }, error.fields));
    else call.resolve(bytes === undefined ? value : Buffer.from(bytes.buffer));
    this.finish();
  }

  private finish(): void {
    clearTimeout(this.timer);
    this.running = undefined;
    this.worker?.unref();
    this.idleTimer = setTimeout(() => this.endIdle(), this.idleMs).unref();
    this.next();
  }

  private endIdle(): void {
    void this.worker?.terminate();
    this.worker = undefined;
  }

  private failRunning(error: Error): void {
    const call = this.running;
    if (call === undefined) return;
    clearTimeout(this.timer);
    this.running = undefined;
    call.reject(error);
  }

  private startWorker(): Worker {
    const worker = new Worker(new URL('./query-worker.ts', import.meta.url), {
      workerData: { path: this.path },
      name: 'hotspan-query',
    });
    // The worker alone keeps no process alive; a query that runs does.
    worker.unref();
    worker.on('message', (reply: QueryReply) => {
      if (this.worker === worker) this.receive(reply);
    });
    worker.on('error', cause => this.workerEnded(worker, cause));
    worker.on('exit', code => this.workerEnded(worker, new Error(`the worker ended with code ${code}`)));
    return worker;
  }

  private workerEnded(worker: Worker, cause: unknown): void {
    if (this.worker !== worker) return;
    this.worker = undefined;
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.failRunning(
      new StoreError('query', `the query worker failed: ${reason}`, { remedy: 'ask again; if it stays, report this', cause }),
    );
    this.next();
  }
}

function closedError(): Error {
  return new StoreError('query', 'the store is closed', { remedy: 'start hotspan again' });
}

function cancelledError(): Error {
  return new QueryError('the query was cancelled', 'ask again if its answer is wanted after all');
}

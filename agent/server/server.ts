/** The HTTP server: UI files, the API, metrics, health, and the upgrade to the live WebSocket. */

import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { isLoopbackAddress } from '../lib/loopback.ts';
import { type AccessRules, checkHost, checkOrigin, checkToken } from './access.ts';
import type { Backend } from './backend.ts';
import { Handler } from './handler.ts';
import { asHttpError, errorBody, HttpError } from './http-error.ts';
import { defaultLiveOptions, LiveFeed, type LiveOptions } from './live.ts';
import { apiPrefix } from './routes.ts';
import { StaticFiles } from './static-files.ts';

export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  /** '' where clients need no certificate. */
  readonly clientCa: string;
}

export interface ServerLimits {
  readonly maxConnections: number;
  /** Until the last header has arrived. */
  readonly headersTimeoutMs: number;
  /** Until the whole request has arrived. */
  readonly requestTimeoutMs: number;
  /** A socket on which nothing moves. */
  readonly idleTimeoutMs: number;
  /** Until the agent has answered. */
  readonly answerTimeoutMs: number;
  readonly maxBodyBytes: number;
  /** Requests being answered at once. */
  readonly maxOpenRequests: number;
  readonly live: LiveOptions;
}

export const defaultLimits: ServerLimits = {
  maxConnections: 256,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 20_000,
  idleTimeoutMs: 60_000,
  answerTimeoutMs: 30_000,
  maxBodyBytes: 64 << 10,
  maxOpenRequests: 64,
  live: defaultLiveOptions,
};

export interface ServerOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly token: string;
  readonly tls: TlsFiles | undefined;
  readonly allowedHosts: readonly string[];
  /** Folder of the built UI. */
  readonly uiFolder: string;
  readonly version: string;
  readonly limits?: Partial<ServerLimits>;
  /** Called for every failure that is the agent's fault (status 500). */
  readonly onFault?: (error: unknown, path: string) => void;
}

export interface RunningServer {
  /** Where people open the UI; a wildcard address is shown as loopback. */
  readonly url: string;
  readonly port: number;
  /** Live clients now: while there are none, nobody looks. */
  readonly liveClients: () => number;
  /** Stops listening, lets answers end for at most a second, then cuts what is left. */
  close(): Promise<void>;
}

/** Why the server cannot start: one sentence with the remedy. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

function readTls(tls: TlsFiles): https.ServerOptions {
  const read = (what: string, path: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (cause) {
      throw new ListenError(
        `cannot read the TLS ${what} ${path} (${(cause as NodeJS.ErrnoException).code}); check path and mode`,
        { cause },
      );
    }
  };
  const client =
    tls.clientCa === '' ? {} : { ca: read('client authority', tls.clientCa), requestCert: true, rejectUnauthorized: true };
  return { cert: read('certificate', tls.cert), key: read('key', tls.key), minVersion: 'TLSv1.2', ...client };
}

/** The address that will be bound. Throws a ListenError for an unknown name, or for one that the network reaches without protection. */
async function resolveAddress(options: ServerOptions): Promise<{ address: string; isLoopback: boolean }> {
  const { host, port } = options.listen;
  const name = host === '*' ? '0.0.0.0' : host;
  let address: string;
  try {
    ({ address } = await lookup(name));
  } catch (cause) {
    throw new ListenError(
      `cannot listen on ${host}: the name is unknown (${(cause as NodeJS.ErrnoException).code}); give an address of this host`,
      { cause },
    );
  }
  const isLoopback = isLoopbackAddress(address);
  const isProtected = options.token !== '' || (options.tls !== undefined && options.tls.clientCa !== '');
  if (!isLoopback && !isProtected) {
    throw new ListenError(
      `refusing to listen on ${host}:${port}, where anybody on the network could look into this host; set a token (HOTSPAN_TOKEN) or tls.client-ca, or listen on 127.0.0.1`,
    );
  }
  return { address, isLoopback };
}

function listenFailure(error: NodeJS.ErrnoException, { host, port }: ServerOptions['listen']): ListenError {
  const causes: Record<string, string> = {
    EADDRINUSE: 'the port is taken; stop what uses it or choose another with --listen',
    EACCES: 'ports below 1024 need root; run with sudo or choose another with --listen',
    EADDRNOTAVAIL: 'this host has no such address; choose another with --listen',
  };
  return new ListenError(`cannot listen on ${host}:${port} (${error.code}): ${causes[error.code ?? ''] ?? error.message}`, {
    cause: error,
  });
}

/** Binds and serves. Throws a ListenError. */
export async function startServer(options: ServerOptions, backend: Backend): Promise<RunningServer> {
  const limits = { ...defaultLimits, ...options.limits };
  const { address, isLoopback } = await resolveAddress(options);
  const serverOptions: https.ServerOptions = {
    maxHeaderSize: 16 << 10,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: Math.min(1000, limits.headersTimeoutMs),
    keepAliveTimeout: 10_000,
    ...(options.tls === undefined ? {} : readTls(options.tls)),
  };
  const server = createServer(serverOptions, options.tls !== undefined);
  server.maxConnections = limits.maxConnections;
  server.setTimeout(limits.idleTimeoutMs);
  await listen(server, address, options.listen);

  const { port } = server.address() as AddressInfo;
  const rules: AccessRules = {
    token: options.token,
    allowedHosts: [options.listen.host, ...options.allowedHosts].map(name => name.toLowerCase()),
    isLoopback,
    isTls: options.tls !== undefined,
    port,
  };
  const live = new LiveFeed(backend, limits.live);
  const handler = new Handler({ backend, rules, limits, live, files: new StaticFiles(options.uiFolder), options });
  server.on('request', (request, response) => void handler.handle(request, response));
  server.on('upgrade', (request, stream, head) => upgrade(request, stream, head, rules, live));
  server.on('drop', () => {
    handler.counts.connectionsDropped += 1;
  });

  const shownHost = ['0.0.0.0', '::'].includes(address)
    ? 'localhost'
    : options.listen.host.includes(':')
      ? `[${options.listen.host}]`
      : options.listen.host;
  return {
    url: `${rules.isTls ? 'https' : 'http'}://${shownHost}:${port}`,
    port,
    liveClients: () => live.clientCount,
    close: () => close(server, live),
  };
}

function createServer(options: https.ServerOptions, isTls: boolean): http.Server {
  if (!isTls) return http.createServer(options);
  try {
    return https.createServer(options);
  } catch (cause) {
    throw new ListenError(
      `the TLS certificate and key cannot be used: ${(cause as Error).message}; check that they are PEM and belong together`,
      { cause },
    );
  }
}

function listen(server: http.Server, host: string, wanted: ServerOptions['listen']): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', error => reject(listenFailure(error, wanted)));
    server.listen({ host, port: wanted.port, exclusive: true }, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}

function upgrade(request: http.IncomingMessage, stream: Duplex, head: Buffer, rules: AccessRules, live: LiveFeed): void {
  // Until ws takes over nobody else listens: a reset here would otherwise end the process.
  stream.on('error', () => stream.destroy());
  try {
    checkHost(request, rules);
    checkOrigin(request, rules, true);
    checkToken(request, rules);
    if (request.url !== `${apiPrefix}/live`) throw new HttpError(404, 'there is no such WebSocket', `use ${apiPrefix}/live`);
    live.accept(request, stream, head);
  } catch (error) {
    refuseUpgrade(stream, asHttpError(error));
  }
}

function refuseUpgrade(stream: Duplex, error: HttpError): void {
  const body = errorBody(error);
  const headers = Object.entries({
    ...error.headers,
    Connection: 'close',
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(body)),
  });
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  stream.end(`HTTP/1.1 ${error.status} ${http.STATUS_CODES[error.status] ?? ''}\r\n${lines}\r\n${body}`, () => stream.destroy());
}

function close(server: http.Server, live: LiveFeed): Promise<void> {
  live.close();
  return new Promise(resolve => {
    const cut = setTimeout(() => server.closeAllConnections(), 1000);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}

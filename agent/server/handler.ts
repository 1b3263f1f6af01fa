/** Answers one request: checks, then the route, the metrics, the health or a file. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { type AccessRules, checkHost, checkOrigin, checkToken, isToken, setCookie } from './access.ts';
import type { Backend } from './backend.ts';
import { asHttpError, errorBody, HttpError } from './http-error.ts';
import type { LiveFeed } from './live.ts';
import { openApiDocument } from './openapi.ts';
import { parseParameters } from './parameters.ts';
import { readJsonBody } from './request-body.ts';
import { apiPrefix, matchRoute, type Reply } from './routes.ts';
import type { ServerLimits, ServerOptions } from './server.ts';
import type { StaticFiles } from './static-files.ts';

export interface HandlerParts {
  readonly backend: Backend;
  readonly rules: AccessRules;
  readonly limits: ServerLimits;
  readonly live: LiveFeed;
  readonly files: StaticFiles;
  readonly options: ServerOptions;
}

/** The UI is files of this origin and nothing else; it may not be framed, and nothing of an address leaves with a link. */
const securityHeaders: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/** A request target taken apart. */
interface Target {
  readonly path: string;
  readonly query: URLSearchParams;
}

function parseTarget(url: string): Target {
  const mark = url.indexOf('?');
  const rawPath = mark < 0 ? url : url.slice(0, mark);
  // "//host" and "http://host/" would name another host to whoever joins them with a base.
  const path = decodePath(rawPath);
  if (!path.startsWith('/') || path.startsWith('//'))
    throw new HttpError(400, 'the request target is no path', 'start it with one /');
  return { path, query: new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1)) };
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new HttpError(400, `the path has a broken percent escape: ${(cause as Error).message}`, 'encode it as UTF-8');
  }
}

export class Handler {
  readonly counts = { requests: 0, clientErrors: 0, serverErrors: 0, refused: 0, connectionsDropped: 0 };
  private readonly parts: HandlerParts;
  private open = 0;
  /** openapi.json, made when it is first asked for. */
  private document: string | undefined;

  constructor(parts: HandlerParts) {
    this.parts = parts;
  }

  /** Never rejects: every failure becomes an answer. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.counts.requests += 1;
    this.open += 1;
    for (const [name, value] of Object.entries(securityHeaders)) response.setHeader(name, value);
    try {
      await this.answer(request, response);
    } catch (error) {
      this.fail(request, response, error);
    } finally {
      this.open -= 1;
    }
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { rules, limits, files } = this.parts;
    if (this.open > limits.maxOpenRequests) {
      throw new HttpError(503, `${limits.maxOpenRequests} requests are being answered already`, 'try again', {
        'Retry-After': '1',
      });
    }
    const { path, query } = parseTarget(request.url ?? '');
    checkHost(request, rules);
    if (path === '/healthz') return this.send(request, response, { contentType: 'text/plain; charset=utf-8', body: 'ok\n' });
    if (path === '/readyz') return this.send(request, response, await this.ready());

    const isApi = path === '/api' || path.startsWith('/api/');
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    // A link from another site may open the page; it may not ask the API.
    if (isApi || !isRead || path === '/metrics') checkOrigin(request, rules, !isRead);
    if (!isApi && isRead && this.takeToken(response, path, query)) return;
    checkToken(request, rules);
    if (isApi) return this.send(request, response, await this.api(request, path, query));
    if (!isRead)
      throw new HttpError(405, 'only GET and HEAD are for this path', `POST goes to ${apiPrefix}`, { Allow: 'GET, HEAD' });
    if (path === '/metrics') return this.send(request, response, await this.metrics());
    const file = await files.find(path);
    const headers = { ETag: file.etag, 'Cache-Control': file.isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache' };
    if (request.headers['if-none-match'] === file.etag) {
      response.writeHead(304, headers).end();
      return;
    }
    this.send(request, response, { contentType: file.contentType, body: file.body, headers });
  }

  /** ?token=... of a person's browser becomes a cookie, and leaves the address before it gets into a history or a screenshot. */
  private takeToken(response: ServerResponse, path: string, query: URLSearchParams): boolean {
    const { rules } = this.parts;
    const token = query.get('token');
    if (token === null) return false;
    query.delete('token');
    if (rules.token !== '') {
      if (!isToken(token, rules)) throw new HttpError(401, 'the token is wrong', 'use the token of the configuration');
      response.setHeader('Set-Cookie', setCookie(rules));
    }
    const rest = query.toString();
    const location = `${encodeURI(path)}${rest === '' ? '' : `?${rest}`}`;
    response.writeHead(303, { Location: location, 'Cache-Control': 'no-store' }).end();
    return true;
  }

  private async api(request: IncomingMessage, path: string, query: URLSearchParams): Promise<Reply> {
    const { backend, limits, options } = this.parts;
    if (!path.startsWith(`${apiPrefix}/`)) throw new HttpError(404, 'there is no such route', `see ${apiPrefix}/openapi.json`);
    const segments = path.slice(apiPrefix.length + 1).split('/');
    const isDocument = segments.length === 1 && segments[0] === 'openapi.json' && request.method !== 'POST';
    if (isDocument) {
      this.document ??= JSON.stringify(openApiDocument(options.version));
      return { contentType: 'application/json; charset=utf-8', body: this.document };
    }
    if (path === `${apiPrefix}/live`)
      throw new HttpError(426, 'this route is a WebSocket', 'connect to it with one', { Upgrade: 'websocket' });
    const match = matchRoute(request.method ?? '', segments);
    const body = match.route.method === 'POST' ? await readJsonBody(request, limits.maxBodyBytes) : {};
    const parameters = parseParameters(match.route.parameters, query, Date.now());
    return this.inTime(match.route.handle(backend, { path: match.path, parameters, body }));
  }

  /** Throws an HttpError 504 where the agent does not answer in time; its late answer is let go. */
  private async inTime<T>(answer: Promise<T>, timeoutMs = this.parts.limits.answerTimeoutMs): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () =>
          reject(new HttpError(504, `no answer within ${timeoutMs / 1000} s`, 'ask for a shorter range or a narrower filter')),
        timeoutMs,
      ).unref();
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ready: the pipeline answers and the store can be read. */
  private async ready(): Promise<Reply> {
    const { backend, limits } = this.parts;
    try {
      await this.inTime(
        Promise.all([backend.sources(), backend.query.json('extent', [])]),
        Math.min(2000, limits.answerTimeoutMs),
      );
    } catch (error) {
      throw new HttpError(503, `not ready: ${(error as Error).message}`, 'wait, or see the log', { 'Retry-After': '1' });
    }
    return { contentType: 'text/plain; charset=utf-8', body: 'ready\n' };
  }

  private async metrics(): Promise<Reply> {
    const text = await this.inTime(this.parts.backend.metricsText());
    return { contentType: 'text/plain; version=0.0.4; charset=utf-8', body: `${text}${this.ownMetrics()}` };
  }

  private ownMetrics(): string {
    const { live } = this.parts;
    const family = (name: string, type: string, help: string, values: Record<string, number>): string =>
      `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${Object.entries(values)
        .map(([label, value]) => `${name}${label === '' ? '' : `{outcome="${label}"}`} ${value}\n`)
        .join('')}`;
    const { requests, clientErrors, serverErrors, refused, connectionsDropped } = this.counts;
    const ok = requests - clientErrors - serverErrors - refused;
    const answers = { ok, client_error: clientErrors, server_error: serverErrors, refused };
    return [
      family('hotspan_http_requests_total', 'counter', 'Requests by outcome.', answers),
      family('hotspan_http_connections_dropped_total', 'counter', 'Connections refused because too many were open.', {
        '': connectionsDropped,
      }),
      family('hotspan_live_messages_total', 'counter', 'Live messages by what became of them.', live.counts),
      family('hotspan_live_clients', 'gauge', 'Live clients connected.', { '': live.clientCount }),
    ].join('');
  }

  private send(request: IncomingMessage, response: ServerResponse, reply: Reply): void {
    const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : reply.body;
    response.writeHead(200, {
      'Content-Type': reply.contentType,
      'Content-Length': body.length,
      'Cache-Control': 'no-store',
      ...reply.headers,
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  private fail(request: IncomingMessage, response: ServerResponse, cause: unknown): void {
    const error = asHttpError(cause);
    // The client went away in the middle of its request: there is nobody to answer, and nothing was wrong here.
    const isGone = response.destroyed || request.errored !== null;
    if (isGone || error.status < 500) this.counts[error.status === 401 || error.status === 403 ? 'refused' : 'clientErrors'] += 1;
    else this.counts.serverErrors += 1;
    if (!isGone && error.status === 500) this.parts.options.onFault?.(cause, request.url ?? '');
    if (isGone || response.headersSent) {
      response.destroy();
      return;
    }
    const wantsPage = error.status === 401 && request.headers.accept?.includes('text/html') === true;
    const body = Buffer.from(wantsPage ? signInPage : errorBody(error));
    // A body that was not read to its end would be taken for the next request.
    const hasBody = request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
    const isUnread = hasBody && !request.complete;
    response.writeHead(error.status, {
      'Content-Type': wantsPage ? 'text/html; charset=utf-8' : 'application/json; charset=utf-8',
      'Content-Length': body.length,
      'Cache-Control': 'no-store',
      ...(isUnread ? { Connection: 'close' } : {}),
      ...error.headers,
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  }
}

/** The form sends ?token=..., which takeToken turns into a cookie. */
const signInPage = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="dark light"><title>hotspan</title>
<h1>hotspan</h1><form action="/" method="get"><label>Token <input name="token" type="password" autocomplete="current-password" autofocus required></label>
<button>Open</button></form></html>
`;

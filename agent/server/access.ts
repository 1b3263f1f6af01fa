/**
 * Who is let in. Four checks, the same for HTTP and WebSocket: the Host header (against DNS rebinding), the Origin (against other
 * sites in the user's browser), TLS client certificates (by TLS itself), and the token.
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { isLoopbackAddress } from '../lib/loopback.ts';
import { HttpError } from './http-error.ts';

export interface AccessRules {
  /** '' where none is asked for. */
  readonly token: string;
  /** Lower-case host names without port that the Host header may have, besides those of the address. */
  readonly allowedHosts: readonly string[];
  readonly isLoopback: boolean;
  readonly isTls: boolean;
  /** Bound port: cookies are shared by all ports of a host, so it is part of the cookie's name. */
  readonly port: number;
}

/** "host:port" as browsers write it: lower case, without a scheme's default port. undefined for what is no host. */
function normalHost(host: string | undefined, isTls: boolean): URL | undefined {
  if (host === undefined || !/^[a-zA-Z0-9._[\]:-]+$/.test(host)) return undefined;
  const text = `${isTls ? 'https' : 'http'}://${host}/`;
  return URL.canParse(text) ? new URL(text) : undefined;
}

/**
 * Throws an HttpError 403 unless the request was addressed to this server by a name of its own. A page of another site that has
 * its name resolve to 127.0.0.1 still sends its own name here. Addresses in digits cannot be rebound, so they are right wherever the server is
 * reached over the network.
 */
export function checkHost(request: IncomingMessage, rules: AccessRules): void {
  const name = normalHost(request.headers.host, rules.isTls)?.hostname;
  if (name !== undefined) {
    const digits = name.startsWith('[') ? name.slice(1, -1) : name;
    if (name === 'localhost' || isLoopbackAddress(digits) || rules.allowedHosts.includes(name)) return;
    if (!rules.isLoopback && (isIP(digits) !== 0 || name === hostname().toLowerCase())) return;
  }
  throw new HttpError(403, 'the Host header names another host', 'use http://localhost or add the name to allowed-hosts');
}

/**
 * Throws an HttpError 403 for a request that another site made the browser send. Anything that changes or streams (`isStrict`) must come from
 * this origin, or from no browser: without an Origin and without cookies.
 */
export function checkOrigin(request: IncomingMessage, rules: AccessRules, isStrict: boolean): void {
  const { origin, host, cookie } = request.headers;
  const refused = new HttpError(403, 'the request comes from another site', 'open the UI at its own address');
  if (origin !== undefined) {
    const own = normalHost(host, rules.isTls)?.host;
    const isWeb = /^https?:\/\//.test(origin) && URL.canParse(origin);
    if (!isWeb || new URL(origin).host !== own) throw refused;
    return;
  }
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') throw refused;
  if (isStrict && cookie !== undefined) throw refused;
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Compares in a time that tells nothing: digests have equal length whatever was sent. */
function isSame(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b));
}

export function cookieName(rules: AccessRules): string {
  return `hotspan_${rules.port}`;
}

/** What the cookie holds in the token's place, so that a leaked cookie file does not give the token away. */
export function sessionOf(token: string): string {
  return digest(`hotspan session ${token}`).toString('base64url');
}

export function isToken(text: string, rules: AccessRules): boolean {
  return rules.token !== '' && isSame(text, rules.token);
}

export function setCookie(rules: AccessRules): string {
  return `${cookieName(rules)}=${sessionOf(rules.token)}; Path=/; HttpOnly; SameSite=Strict${rules.isTls ? '; Secure' : ''}`;
}

/** Throws an HttpError 401 unless no token is asked for or the request carries it, as bearer or in the session's cookie. */
export function checkToken(request: IncomingMessage, rules: AccessRules): void {
  if (rules.token === '') return;
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    const bearer = /^Bearer ([!-~]+)$/i.exec(authorization)?.[1];
    if (bearer !== undefined && isToken(bearer, rules)) return;
  } else {
    const session = cookieValue(request.headers.cookie ?? '', cookieName(rules));
    if (session !== undefined && isSame(session, sessionOf(rules.token))) return;
  }
  throw new HttpError(
    401,
    'the token is missing or wrong',
    'send "Authorization: Bearer TOKEN", or open /?token=TOKEN in a browser',
    {
      'WWW-Authenticate': 'Bearer realm="hotspan"',
    },
  );
}

function cookieValue(header: string, name: string): string | undefined {
  for (const part of header.split(';')) {
    const equals = part.indexOf('=');
    if (equals > 0 && part.slice(0, equals).trim() === name) return part.slice(equals + 1).trim();
  }
  return undefined;
}

/** Calls of the HTTP interface. What goes wrong arrives as an ApiFailure with a sentence and a remedy, never as a bare status. */

import type { ApiError } from '../../../agent/server/api.ts';

export class ApiFailure extends Error {
  readonly remedy: string;
  readonly status: number;

  constructor(message: string, remedy: string, status: number) {
    super(message);
    this.name = 'ApiFailure';
    this.remedy = remedy;
    this.status = status;
  }
}

export type QueryParams = Readonly<Record<string, string | number | boolean | undefined>>;

/** Path and query under /api/v1; undefined and '' are left out. */
export function apiUrl(path: string, params: QueryParams = {}): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) if (value !== undefined && value !== '') query.set(key, String(value));
  const text = query.toString();
  return `/api/v1/${path}${text === '' ? '' : `?${text}`}`;
}

export async function getJson<T>(url: string, signal?: AbortSignal): Promise<T> {
  return (await request(url, signal === undefined ? {} : { signal })).json() as Promise<T>;
}

export async function postJson<T>(url: string, body: unknown): Promise<T> {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  return (await request(url, init)).json() as Promise<T>;
}

/** Also used by the worker. An abort is passed on as it is. */
export async function request(url: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiFailure(
      'The agent does not answer.',
      'Look whether it still runs: hotspan run, or systemctl status hotspan.',
      0,
    );
  }
  if (response.ok) return response;
  throw await failureOf(response);
}

async function failureOf(response: Response): Promise<ApiFailure> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as ApiError;
    return new ApiFailure(error.message, error.remedy, response.status);
  } catch {
    // Not from our server (a proxy between, perhaps): the status is all that is known.
    return new ApiFailure(
      `The answer to ${url(response)} was ${response.status} ${response.statusText}.`,
      'Try again; if it stays, look at the log of the agent.',
      response.status,
    );
  }
}

function url(response: Response): string {
  return new URL(response.url, 'http://localhost').pathname;
}

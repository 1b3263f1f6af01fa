/** Failures as the API tells them: a status, one sentence, and what to do about it. */

import type { ApiError } from './api.ts';

export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  readonly remedy: string;
  readonly headers: Readonly<Record<string, string>>;
  constructor(status: number, message: string, remedy: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.remedy = remedy;
    this.headers = headers;
  }
}

/** Errors keep their name but not their class on the way between threads, so names decide. */
const statusByName: Readonly<Record<string, number>> = {
  RangeError: 400,
  SyntaxError: 400,
  FilterError: 400,
  QueryError: 400,
  BpfError: 409,
};

const remedyByStatus: Readonly<Record<number, string>> = {
  400: 'correct the request',
  409: 'see "hotspan doctor" for what this kernel allows',
};

export function asHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (!(error instanceof Error)) return new HttpError(500, String(error), "see the agent's log");
  const status = statusByName[error.name] ?? 500;
  const remedy =
    'remedy' in error && typeof error.remedy === 'string' ? error.remedy : (remedyByStatus[status] ?? "see the agent's log");
  // Some messages end in their remedy already, because they are also told where nobody asks for it.
  const message = error.message.endsWith(`; ${remedy}`) ? error.message.slice(0, -remedy.length - 2) : error.message;
  return new HttpError(status, message, remedy);
}

export function errorBody({ message, remedy }: HttpError): string {
  return JSON.stringify({ error: { message, remedy } } satisfies ApiError);
}

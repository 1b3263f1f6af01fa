/** The JSON body of a POST. */

import type { IncomingMessage } from 'node:http';
import { HttpError } from './http-error.ts';

/**
 * The object in the body, empty where none came. Throws an HttpError: 415 for any type but application/json, which a form of another site
 * cannot send, 413 above the limit, 400 for what is no JSON object.
 */
export async function readJsonBody(request: IncomingMessage, maxBytes: number): Promise<Readonly<Record<string, unknown>>> {
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'application/json')
    throw new HttpError(415, 'the body is not application/json', 'send Content-Type: application/json');
  const tooLarge = new HttpError(413, `the body is larger than ${maxBytes} bytes`, 'send less');
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge;
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Leaving the loop must not destroy the socket: the refusal is still to be sent.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw tooLarge;
    chunks.push(chunk);
  }
  if (bytes === 0) return {};
  return parseObject(Buffer.concat(chunks).toString('utf8'));
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new HttpError(400, `the body is no JSON: ${(cause as Error).message}`, 'send a JSON object');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new HttpError(400, 'the body is no JSON object', 'send {}');
  return value as Readonly<Record<string, unknown>>;
}

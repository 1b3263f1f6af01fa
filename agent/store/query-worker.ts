/** Entry of the query worker: answers queries from a read-only connection, one after another, so that the main thread never waits. */

import { parentPort, workerData } from 'node:worker_threads';
import { foldedText } from '../export/folded.ts';
import { otlpProfiles } from '../export/otlp-profiles.ts';
import { Resources } from '../export/otlp-resource.ts';
import { pprofFile } from '../export/pprof.ts';
import { speedscopeJson } from '../export/speedscope.ts';
import type { ProfileFormat, QueryReply, QueryRequest } from './query-protocol.ts';
import { openStoreReader, type SqliteStoreReader } from './reader.ts';
import type { ProfileQuery } from './rows.ts';

const { path } = workerData as { path: string };
let reader: SqliteStoreReader | undefined;

/** Opened at the first query and tried again until it succeeds: the store may be made after this worker. */
function openReader(): SqliteStoreReader {
  reader ??= openStoreReader(path);
  return reader;
}

function answer({ id, method, args, isJson }: QueryRequest): QueryReply {
  try {
    const source = openReader();
    if (method === 'profileFile')
      return { id, bytes: owned(profileFile(source, args[0] as ProfileFormat, args[1] as ProfileQuery)) };
    if (method === 'profile' && isJson) return { id, bytes: owned(source.profileJson(args[0] as ProfileQuery)) };
    const call = source[method] as (...values: unknown[]) => unknown;
    const value = call.apply(source, [...args]);
    return isJson ? { id, bytes: owned(Buffer.from(JSON.stringify(value ?? null))) } : { id, value };
  } catch (error) {
    return { id, error: describe(error) };
  }
}

function profileFile(source: SqliteStoreReader, format: ProfileFormat, query: ProfileQuery): Buffer {
  const profile = source.fullProfile(query);
  if (format === 'pprof') return pprofFile(profile);
  if (format === 'otlp') return otlpProfiles([profile], new Resources({}));
  return Buffer.from(format === 'folded' ? foldedText(profile) : speedscopeJson(profile));
}

/** A copy in memory of its own, which can be handed to the other thread; buffers of Node may share theirs. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

function describe(error: unknown): NonNullable<QueryReply['error']> {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), fields: {} };
  const plain = Object.entries(error).filter(([, value]) => typeof value === 'string' || typeof value === 'number');
  return { name: error.name, message: error.message, fields: Object.fromEntries(plain) };
}

parentPort?.on('message', (request: QueryRequest) => {
  const reply = answer(request);
  parentPort?.postMessage(reply, reply.bytes === undefined ? [] : [reply.bytes.buffer]);
});

try {
  openReader().warm();
} catch {
  // There is no store yet, or it is not ours to read: the first query says so.
}

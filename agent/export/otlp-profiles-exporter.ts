/** Sends an OTLP export request of the profiles signal over HTTP or gRPC. The SDK has no exporter for it yet. */

import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type OtlpTarget, signalUrl } from './otlp-exporters.ts';
import { exportResponse } from './otlp-profiles-schema.ts';

const require = createRequire(import.meta.url);
const gzipped = promisify(gzip);

const method = '/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export';

export function profilesUrl(target: OtlpTarget): string {
  return signalUrl(target, target.profilesEndpoint, 'v1development/profiles');
}

/** Resolves with an error where the collector did not take it; `code` is the status of HTTP or gRPC. */
export type SendProfiles = (body: Buffer) => Promise<Error | undefined>;

export function profilesExporter(target: OtlpTarget): { send: SendProfiles; close(): void } {
  return target.protocol === 'grpc' ? overGrpc(target) : { send: body => overHttp(target, body), close: () => undefined };
}

async function overHttp(target: OtlpTarget, body: Buffer): Promise<Error | undefined> {
  const isGzip = target.compression === 'gzip';
  try {
    const response = await fetch(profilesUrl(target), {
      method: 'POST',
      headers: {
        ...target.headers,
        'Content-Type': 'application/x-protobuf',
        ...(isGzip ? { 'Content-Encoding': 'gzip' } : {}),
      },
      body: new Uint8Array(isGzip ? await gzipped(body) : body),
      signal: AbortSignal.timeout(target.timeoutMs),
    });
    const answer = new Uint8Array(await response.arrayBuffer());
    if (response.ok) return refused(answer);
    const hint = response.status === 404 ? '; the collector needs its feature gate service.profilesSupport' : '';
    return Object.assign(new Error(`HTTP ${response.status}${hint}`), { code: response.status });
  } catch (cause) {
    // "fetch failed" says nothing; what lies behind it does.
    const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
    return reason instanceof Error ? reason : new Error(String(reason));
  }
}

function overGrpc(target: OtlpTarget): { send: SendProfiles; close(): void } {
  const { Client, credentials, Metadata } = require('@grpc/grpc-js') as typeof import('@grpc/grpc-js');
  const { protocol, host } = new URL(profilesUrl(target));
  const client = new Client(host, protocol === 'https:' ? credentials.createSsl() : credentials.createInsecure());
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(target.headers)) metadata.set(key, value);
  const send: SendProfiles = body =>
    new Promise(resolve => {
      const options = { deadline: Date.now() + target.timeoutMs };
      const asIs = (bytes: Buffer) => bytes;
      client.makeUnaryRequest(method, asIs, asIs, body, metadata, options, (error, answer) =>
        resolve(error ?? refused(answer ?? new Uint8Array(0))),
      );
    });
  return { send, close: () => client.close() };
}

/** A request may be taken in part: the answer says how much was not. */
function refused(answer: Uint8Array): Error | undefined {
  const { partialSuccess } = exportResponse.toObject(exportResponse.decode(answer), { longs: Number }) as {
    partialSuccess?: { rejectedProfiles?: number; errorMessage?: string };
  };
  const rejected = partialSuccess?.rejectedProfiles ?? 0;
  if (rejected === 0) return undefined;
  return Object.assign(new Error(`${rejected} profiles rejected: ${partialSuccess?.errorMessage ?? 'no reason given'}`), {
    code: 400,
  });
}

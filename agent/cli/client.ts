/** Talks to the running agent over HTTP. */

import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import type { Config } from '../config/index.ts';
import type { ApiError } from '../server/api.ts';
import { CommandError } from './command.ts';
import type { FlagSpecs } from './flags.ts';

/** Flags of every command that talks to the agent, beside those of the configuration. */
export const clientFlags = {
  'client-cert': { kind: 'text', placeholder: 'FILE', help: 'certificate (PEM) to show to an agent that asks for one' },
  'client-key': { kind: 'text', placeholder: 'FILE', help: 'private key (PEM) of that certificate' },
} as const satisfies FlagSpecs;

export interface ClientOptions {
  readonly config: Config;
  readonly clientCert: string | undefined;
  readonly clientKey: string | undefined;
}

/** Answers of a local agent come well within this; it gives up on a query itself after 30 s. */
const timeoutMs = 60_000;

export class AgentClient {
  private readonly config: Config;
  private readonly tls: https.RequestOptions;

  constructor({ config, clientCert, clientKey }: ClientOptions) {
    this.config = config;
    this.tls =
      config.tlsCert === ''
        ? {}
        : {
            // The agent's own certificate, which may be signed by nobody else, besides those that the system trusts.
            ca: readPem(config.tlsCert),
            ...(clientCert === undefined ? {} : { cert: readPem(clientCert) }),
            ...(clientKey === undefined ? {} : { key: readPem(clientKey) }),
          };
  }

  /** Throws a CommandError for every failure, in the agent's own words where it has any. */
  async getJson<T>(path: string): Promise<T> {
    return JSON.parse((await this.request('GET', path)).toString('utf8')) as T;
  }

  async postJson<T>(path: string, body: unknown): Promise<T> {
    return JSON.parse((await this.request('POST', path, JSON.stringify(body))).toString('utf8')) as T;
  }

  async request(method: 'GET' | 'POST', path: string, body?: string): Promise<Buffer> {
    const { status, content } = await this.exchange(method, path, body);
    if (status === 200) return content;
    throw new CommandError(refusal(status, content));
  }

  private exchange(method: string, path: string, body: string | undefined): Promise<{ status: number; content: Buffer }> {
    const { listen, token, tlsCert } = this.config;
    const isTls = tlsCert !== '';
    const options: https.RequestOptions = {
      ...this.tls,
      // A wildcard address is where the agent listens, not where one connects to.
      host: { '0.0.0.0': '127.0.0.1', '::': '::1', '*': '127.0.0.1' }[listen.host] ?? listen.host,
      port: listen.port,
      path,
      method,
      timeout: timeoutMs,
      headers: {
        ...(token === '' ? {} : { Authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }),
      },
    };
    return new Promise((resolve, reject) => {
      const fail = (error: Error) => reject(this.failure(error));
      const request = (isTls ? https : http).request(options, response => {
        const chunks: Buffer[] = [];
        response.on('data', chunk => chunks.push(chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, content: Buffer.concat(chunks) }));
        response.on('error', fail);
      });
      request.on('timeout', () => request.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
      request.on('error', fail);
      request.end(body);
    });
  }

  private failure(error: NodeJS.ErrnoException): CommandError {
    const { host, port } = this.config.listen;
    if (error.code === 'ECONNREFUSED') {
      return new CommandError(
        `no hotspan is running at ${host}:${port}; start it with "sudo hotspan run", or say where it is with --listen`,
        {
          cause: error,
        },
      );
    }
    return new CommandError(
      `cannot talk to hotspan at ${host}:${port}: ${words(error)}; check --listen, --token and the TLS keys`,
      {
        cause: error,
      },
    );
  }
}

/** OpenSSL's errors hold file names and codes of its own; the words between are what a person can use. */
function words(error: Error): string {
  return /SSL routines:[^:]*:([^:]+)/.exec(error.message)?.[1] ?? error.message.trim();
}

function readPem(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new CommandError(`cannot read ${path} (${(cause as NodeJS.ErrnoException).code}); check path and mode`, { cause });
  }
}

/** The agent's sentence and remedy; what is no hotspan has none. */
function refusal(status: number, content: Buffer): string {
  if (status === 401) return 'the agent asks for a token; give the one of its configuration by --token-file or HOTSPAN_TOKEN';
  try {
    const { error } = JSON.parse(content.toString('utf8')) as ApiError;
    return error.remedy === '' ? error.message : `${error.message}; ${error.remedy}`;
  } catch (cause) {
    return `status ${status} and no reason (${(cause as Error).message}); is it hotspan that listens there? see --listen`;
  }
}

/** For this folder's tests: a server on a free port over a backend with a small fixed content, and raw requests to it. */

import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import * as http from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SourceState, StatusResponse } from './api.ts';
import type { Backend } from './backend.ts';
import { type RunningServer, type ServerOptions, startServer } from './server.ts';

/** A folder with a page, a hashed script, and a secret beside it that must never be served. */
export function makeUiFolder(): string {
  const parent = mkdtempSync(join(tmpdir(), 'hotspan-ui-'));
  writeFileSync(join(parent, 'secret.txt'), 'top secret');
  const folder = join(parent, 'ui');
  mkdirSync(join(folder, 'assets'), { recursive: true });
  writeFileSync(join(folder, 'index.html'), '<!doctype html><title>hotspan page</title>');
  writeFileSync(join(folder, 'assets', 'main-Ab3_dE9x.js'), 'export {};');
  return folder;
}

export function makeSourceState(name: string): SourceState {
  return {
    name,
    title: `source ${name}`,
    state: 'running',
    message: '',
    settings: {},
    settingSpecs: [],
    hooks: [],
    programs: [],
    hitsPerSecond: 0,
    nsPerHit: 0,
    cpuShare: 0,
    mapBytes: 0,
    bufferBytes: 0,
    counts: {},
    startedMs: 0,
  };
}

const status: StatusResponse = {
  version: '0.1.0',
  host: 'test',
  kernel: '6.1',
  startedMs: 0,
  nowMs: 0,
  cpus: 1,
  cpuShare: 0,
  cpuByPart: [],
  rssBytes: 0,
  mapBytes: 0,
  bufferBytes: 0,
  memoryByPart: [],
  lost: 0,
  store: { path: '/x', bytes: 0, limitBytes: 0, oldestMs: 0, growthBytesPerHour: 0, state: 'ok', message: '' },
  exporters: [],
  governor: {
    ...{ budgetShare: 0, costShare: 0, level: 0, levels: 0, changedMs: 0 },
    ...{ stepsUp: 0, stepsDown: 0, secondsHeldBack: 0, paused: [], limits: [] },
  },
};

export interface TestBackend extends Backend {
  /** What was called, with its arguments, in order. */
  readonly calls: (readonly [string, ...unknown[]])[];
}

/** Records its calls and answers with what it was asked. */
export function makeBackend(overrides: Partial<Backend> = {}): TestBackend {
  const calls: TestBackend['calls'] = [];
  const note = <T>(answer: T, ...call: readonly [string, ...unknown[]]): Promise<T> => {
    calls.push(call);
    return Promise.resolve(answer);
  };
  return {
    calls,
    status: () => note(status, 'status'),
    sources: () => note([makeSourceState('cpu'), makeSourceState('file')], 'sources'),
    startSource: (name, settings) => note(makeSourceState(name), 'startSource', name, settings),
    stopSource: name => note(makeSourceState(name), 'stopSource', name),
    setSettings: (name, settings) => note(makeSourceState(name), 'setSettings', name, settings),
    completeTargets: text => note([{ target: `${text}!`, what: 'kernel function' }], 'completeTargets', text),
    doctor: () => note({ kernel: '6.1', findings: [], sources: [] }, 'doctor'),
    metricsText: () => note('hotspan_up 1\n', 'metricsText'),
    profileFile: (format, query) => note(Buffer.from(`file ${format}`), 'profileFile', format, query),
    query: { json: (method, args) => note(Buffer.from(JSON.stringify({ method, args })), 'query', method, args) },
    storeVersion: () => 7,
    ...overrides,
  };
}

export interface TestServer extends RunningServer {
  readonly backend: TestBackend;
}

export async function startTestServer(
  options: Partial<ServerOptions> = {},
  overrides: Partial<Backend> = {},
): Promise<TestServer> {
  const backend = makeBackend(overrides);
  const running = await startServer(
    {
      listen: { host: '127.0.0.1', port: 0 },
      token: '',
      tls: undefined,
      allowedHosts: [],
      uiFolder: makeUiFolder(),
      version: '0.1.0',
      ...options,
    },
    backend,
  );
  return { ...running, backend };
}

export interface TestAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

export interface TestRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Sends the path as it is: fetch would tidy "..", and would not let Host be chosen. */
export function send(port: number, path: string, { method = 'GET', headers = {}, body }: TestRequest = {}): Promise<TestAnswer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, path, method, headers, agent: false }, response => {
      const chunks: Buffer[] = [];
      response.on('data', chunk => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(chunks).toString() }),
      );
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** Writes bytes and resolves with all that came back until the server closed; `trickle` is then sent byte by byte every 50 ms. */
export function sendRaw(port: number, text: string, trickle = ''): Promise<{ answer: string; tookMs: number }> {
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    let sent = 0;
    const timer = setInterval(() => {
      if (sent < trickle.length) socket.write(trickle[sent]!);
      sent += 1;
    }, 50);
    socket.on('connect', () => socket.write(text));
    socket.on('data', chunk => {
      answer += chunk;
    });
    socket.on('error', error =>
      (error as NodeJS.ErrnoException).code === 'ECONNRESET' || (error as NodeJS.ErrnoException).code === 'EPIPE'
        ? undefined
        : reject(error),
    );
    socket.on('close', () => {
      clearInterval(timer);
      resolve({ answer, tookMs: performance.now() - startMs });
    });
  });
}

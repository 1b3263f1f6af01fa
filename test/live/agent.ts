/** Starts the whole agent as a user would, for tests: its own data directory, a free port, and typed calls of its API. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LedgerResult, SourceState, SpansResult, StatusResponse } from '../../agent/server/api.ts';

export const launcher = join(import.meta.dirname, '../../scripts/hotspan');

export interface AgentOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Kept by the caller where it outlives the agent. */
  readonly dataDir?: string;
  /** Program and arguments that start the launcher in their turn, such as `nsenter -m -t PID`. */
  readonly wrapper?: readonly string[];
  /** Percent of the host's CPU. None where it is not given: what a test sees must not hang on how busy the machine is. */
  readonly budget?: number;
}

export interface TestAgent {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly url: string;
  readonly dataDir: string;
  /** Everything it wrote to stderr so far. */
  readonly log: () => string;
  get<T>(path: string): Promise<T>;
  text(path: string): Promise<string>;
  post<T>(path: string, body?: unknown): Promise<T>;
  /** SIGTERM, and waits for the end. Resolves with the exit code. */
  stop(): Promise<number>;
  kill(): Promise<void>;
}

/** Starts `hotspan run` on a free port and waits until it says that it runs. Rejects with its words when it ends before. */
export async function startAgent(options: AgentOptions = {}): Promise<TestAgent> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'hotspan-agent-'));
  const args = [
    'run',
    '--listen',
    '127.0.0.1:0',
    '--data-dir',
    dataDir,
    '--budget',
    String(options.budget ?? 0),
    ...(options.args ?? []),
  ];
  const [program = launcher, ...rest] = [...(options.wrapper ?? []), launcher, ...args];
  const child = spawn(program, rest, {
    stdio: ['ignore', 'inherit', 'pipe'],
    env: { ...process.env, HOTSPAN_LOG_FORMAT: 'json', ...options.env },
  });
  let log = '';
  child.stderr.setEncoding('utf8');
  const ended = new Promise<number>(resolve =>
    child.once('exit', (code, signal) => resolve(code ?? (signal === null ? -1 : 128))),
  );
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (text: string) => {
      log += text;
      const line = log.split('\n').find(candidate => candidate.includes('hotspan is running'));
      if (line?.endsWith('}')) resolve((JSON.parse(line) as { ui: string }).ui);
    });
    child.once('error', reject);
    ended.then(code => reject(new Error(`the agent ended with ${code} before it ran: ${log}`)));
  });
  const isOwnDir = options.dataDir === undefined;
  const finish = () => {
    if (isOwnDir) rmSync(dataDir, { recursive: true, force: true });
  };
  return {
    child,
    pid: child.pid as number,
    url,
    dataDir,
    log: () => log,
    get: path => call(url + path),
    text: async path => (await checked(await fetch(url + path))).text(),
    post: (path, body) =>
      call(url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body ?? {}) }),
    stop: async () => {
      child.kill('SIGTERM');
      const code = await ended;
      finish();
      return code;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
      finish();
    },
  };
}

async function call<T>(url: string, init?: RequestInit): Promise<T> {
  return (await (await checked(await fetch(url, init))).json()) as T;
}

async function checked(response: Response): Promise<Response> {
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${await response.text()}`);
  return response;
}

/** Programs and maps of BPF on this machine, for comparing before and after. */
export function bpfObjects(): { programs: string[]; maps: string[] } {
  const list = (kind: string) =>
    (JSON.parse(execFileSync('bpftool', ['-j', kind, 'list'], { encoding: 'utf8' })) as { id: number; name?: string }[])
      .map(entry => `${entry.id} ${entry.name ?? ''}`)
      .sort();
  return { programs: list('prog'), maps: list('map') };
}

/** Waits until `check` gives a value; fails with `what` after the time. Polls, because what is waited for has no event. */
export async function eventually<T>(what: string, timeoutMs: number, check: () => Promise<T | undefined>): Promise<T> {
  const endMs = Date.now() + timeoutMs;
  for (;;) {
    const value = await check();
    if (value !== undefined) return value;
    if (Date.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

export function source(agent: TestAgent, name: string): Promise<SourceState> {
  return agent.get<SourceState[]>('/api/v1/sources').then(states => {
    const state = states.find(candidate => candidate.name === name);
    if (state === undefined) throw new Error(`no source ${name}`);
    return state;
  });
}

export type { LedgerResult, SourceState, SpansResult, StatusResponse };

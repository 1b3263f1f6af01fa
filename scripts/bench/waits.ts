/**
 * What accounting all waits costs those who wait: threads that only switch, and a web server at saturation and at a fixed rate, each
 * without the agent and with it (its usual sources and `sched`) in turn, so that drift falls on both.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, type SourceState, startAgent, type TestAgent } from '../../test/live/agent.ts';
import { benchProgram } from './programs.ts';
import { type BenchRow, median, rowWithTarget } from './row.ts';

const pairs = 5;
const workSeconds = 3;
const connections = 16;
const settledPairs = 3;
const settleSeconds = 20;
const defaultBudgetPercent = 2;

/** What the kernel is asked to account while the work runs. */
async function startWatching(): Promise<TestAgent> {
  const agent = await startAgent();
  const sources = await agent.get<SourceState[]>('/api/v1/sources');
  if (sources.find(({ name }) => name === 'sched')?.state !== 'running') await agent.post('/api/v1/sources/sched/start');
  return agent;
}

interface Load {
  readonly name: string;
  readonly unit: string;
  /** Larger is better for a rate, smaller for a time. */
  readonly isRate: boolean;
  readonly target?: number;
  /** One figure of one run. */
  readonly measure: () => number;
}

export async function run(): Promise<BenchRow[]> {
  const server = await startNginx();
  try {
    const rate = Math.round(saturated(server.port) / 3 / 100) * 100;
    const loads: Load[] = [
      { name: 'pipe ping-pong', unit: '/s', isRate: true, measure: () => Number(switches('pipe')) },
      { name: '80 processes on socket pairs', unit: '/s', isRate: true, measure: () => Number(switches('crowd')) },
      {
        name: 'nginx at saturation, no budget, sched on',
        unit: '/s',
        isRate: true,
        target: 0.97,
        measure: () => saturated(server.port),
      },
      { name: `nginx at ${rate}/s, p50`, unit: 'us', isRate: false, measure: () => asked(server.port, rate)[1] ?? Number.NaN },
    ];
    const rows = await alternate(loads);
    return [...rows, ...(await withinBudget(server.port)), ...(await costPerSwitch())];
  } finally {
    server.stop();
  }
}

async function alternate(loads: readonly Load[]): Promise<BenchRow[]> {
  const without = loads.map(() => [] as number[]);
  const withAgent = loads.map(() => [] as number[]);
  for (let pair = 0; pair < pairs; pair += 1) {
    loads.forEach((load, i) => {
      without[i]?.push(load.measure());
    });
    const agent = await startWatching();
    try {
      loads.forEach((load, i) => {
        withAgent[i]?.push(load.measure());
      });
    } finally {
      await agent.stop();
    }
  }
  return loads.flatMap((load, i) => rowsOf(load, without[i] ?? [], withAgent[i] ?? []));
}

/** As people run it: the default sources and the default budget, under load until the agent has settled. A B A B. */
async function withinBudget(port: number): Promise<BenchRow[]> {
  const without: number[] = [];
  const withAgent: number[] = [];
  for (let pair = 0; pair < settledPairs; pair += 1) {
    without.push(saturated(port));
    const agent = await startAgent({ budget: defaultBudgetPercent });
    try {
      asked(port, 0, settleSeconds);
      withAgent.push(saturated(port));
    } finally {
      await agent.stop();
    }
  }
  const ratio = median(without.map((value, i) => (withAgent[i] as number) / value));
  const what = `nginx at saturation, budget of ${defaultBudgetPercent} %, after ${settleSeconds} s: with / without, median of ${settledPairs} pairs`;
  return [rowWithTarget(what, ratio, 'ratio', { isAtLeast: true, bound: 0.97 })];
}

function rowsOf({ name, unit, isRate, target }: Load, without: readonly number[], withAgent: readonly number[]): BenchRow[] {
  const ratio = median(without.map((value, i) => (withAgent[i] as number) / value));
  const what = `${name}: with / without, median of ${pairs} pairs`;
  return [
    { name: `${name}, without the agent (median)`, value: median(without), unit },
    target === undefined
      ? { name: what, value: ratio, unit: 'ratio' }
      : rowWithTarget(what, ratio, 'ratio', { isAtLeast: isRate, bound: target }),
  ];
}

/** Nanoseconds in BPF per switch, of all programs that a switch and its wake-up pass through, as the kernel counts them. */
async function costPerSwitch(): Promise<BenchRow[]> {
  const agent = await startWatching();
  const work = spawn(benchProgram('switches'), ['pipe', '60'], { stdio: 'ignore' });
  try {
    const programs = await eventually('the cost of a switch is known', 30_000, async () => {
      const sched = (await agent.get<SourceState[]>('/api/v1/sources')).find(({ name }) => name === 'sched');
      const busy = sched?.programs.filter(({ hitsPerSecond }) => hitsPerSecond > 1000) ?? [];
      return busy.length > 0 && busy.every(({ nsPerHit }) => nsPerHit > 0) ? busy : undefined;
    });
    return programs.map(({ name, nsPerHit }) =>
      name === 'sched_switched'
        ? rowWithTarget(`pipe ping-pong: ${name}`, nsPerHit, 'ns/hit', { isAtLeast: false, bound: 300 })
        : { name: `pipe ping-pong: ${name}`, value: nsPerHit, unit: 'ns/hit' },
    );
  } finally {
    work.kill();
    await agent.stop();
  }
}

function switches(kind: 'pipe' | 'crowd'): string {
  return execFileSync(benchProgram('switches'), [kind, String(workSeconds)], { encoding: 'utf8' });
}

/** Answers a second, and the 50th and 99th percentile of their time in microseconds. */
function asked(port: number, rate: number, seconds = workSeconds): number[] {
  const args = [String(port), '/index.html', String(connections), String(rate), String(seconds)];
  return execFileSync(benchProgram('load'), args, { encoding: 'utf8' }).trim().split(' ').map(Number);
}

function saturated(port: number): number {
  return asked(port, 0)[0] ?? Number.NaN;
}

async function startNginx(): Promise<{ port: number; stop(): void }> {
  const folder = mkdtempSync(join(tmpdir(), 'hotspan-bench-'));
  const port = await freePort();
  writeFileSync(join(folder, 'index.html'), 'some text\n'.repeat(60));
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${folder}/${name};`);
  const config = join(folder, 'nginx.conf');
  writeFileSync(
    config,
    `daemon off; master_process off; user root; pid ${folder}/pid; error_log ${folder}/error.log;
events {}
http { access_log off; keepalive_requests 100000000; ${temporary.join(' ')}
  server { listen 127.0.0.1:${port}; location / { root ${folder}; } } }`,
  );
  const child: ChildProcess = spawn('nginx', ['-e', `${folder}/error.log`, '-p', folder, '-c', config], { stdio: 'ignore' });
  const stop = () => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  await eventually('nginx answers', 10_000, async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/index.html`).catch(() => undefined);
    return answer?.ok === true ? true : undefined;
  });
  return { port, stop };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

if (import.meta.main) console.table(await run());

/** The whole agent on a quiet and on a busy host: its CPU by part, its memory, and what each hit of its programs costs. */

import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { type SourceState, type StatusResponse, startAgent, type TestAgent } from '../../test/live/agent.ts';
import { buildZoo } from '../../test/zoo/zoo.ts';
import { cpuTimes } from './cpu-times.ts';
import { benchProgram } from './programs.ts';
import { type BenchRow, rowWithTarget } from './row.ts';

/** What is compiled and read at the start is not what it costs to run. */
const settleSeconds = 10;
const measureSeconds = 15;

export async function run(): Promise<BenchRow[]> {
  return [...(await quietHost()), ...(await busyHost())];
}

/** Nothing of ours runs beside the agent; what else the host does is told with it. */
async function quietHost(): Promise<BenchRow[]> {
  const agent = await startAgent();
  try {
    return await cost(agent, 'quiet host', 0.5);
  } finally {
    await agent.stop();
  }
}

/** Two spinning processes and a program that opens, reads and closes files without pause, at the default 99 Hz. */
async function busyHost(): Promise<BenchRow[]> {
  const shares = await buildZoo('shares');
  const seconds = String(settleSeconds + measureSeconds + 10);
  const agent = await startAgent();
  const load: ChildProcess[] = [shares, shares, benchProgram('syscalls')].map(program =>
    spawn(program, [seconds], { stdio: 'ignore' }),
  );
  try {
    const rows = await cost(agent, 'busy host', 1.5);
    const sources = await agent.get<SourceState[]>('/api/v1/sources');
    const hits = sources.flatMap(source =>
      source.programs.filter(program => program.hitsPerSecond >= 1).map(program => hitRow(source.name, program)),
    );
    return [...rows, ...hits];
  } finally {
    for (const child of load) child.kill();
    await agent.stop();
  }
}

async function cost(agent: TestAgent, host: string, percentBound: number): Promise<BenchRow[]> {
  await sleep(settleSeconds * 1000);
  const before = cpuTimes(agent.pid);
  await sleep(measureSeconds * 1000);
  const after = cpuTimes(agent.pid);
  const hostMs = after.timeMs - before.timeMs;
  const percent = (ms: number) => (100 * ms) / hostMs / availableParallelism();
  const status = await agent.get<StatusResponse>('/api/v1/status');
  const sources = await agent.get<SourceState[]>('/api/v1/sources');
  const bpfPercent = 100 * sources.reduce((sum, source) => sum + source.cpuShare, 0);
  const row = (name: string, value: number, unit: string) => ({ name: `${host}: ${name}`, value, unit });
  const target = (name: string, value: number, unit: string, bound: number) =>
    rowWithTarget(`${host}: ${name}`, value, unit, { isAtLeast: false, bound });
  return [
    row('CPU of all programs, the agent included', percent(after.hostMs - before.hostMs), '%'),
    target("the agent's threads, of the host", percent(after.agentMs - before.agentMs), '%', percentBound),
    row('its BPF programs, of the host', bpfPercent, '%'),
    target('RSS', status.rssBytes / 2 ** 20, 'MiB', 150),
    row('BPF maps', status.mapBytes / 2 ** 20, 'MiB'),
    row('perf buffers', status.bufferBytes / 2 ** 20, 'MiB'),
  ];
}

function hitRow(source: string, program: SourceState['programs'][number]): BenchRow {
  return { name: `cost per hit: ${source} ${program.name}`, value: program.nsPerHit, unit: 'ns' };
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}

if (import.meta.main) console.table(await run());

/** The whole agent on a busy host: its CPU, memory and cost per hit, and what a syscall-heavy program loses by it. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type SourceState, type StatusResponse, startAgent, type TestAgent } from '../../test/live/agent.ts';
import { buildZoo } from '../../test/zoo/zoo.ts';
import { projectDir } from '../lib/bpf.ts';
import { type BenchRow, median, rowWithTarget } from './row.ts';

/** Pairs of runs without and with the agent, in turn, so that drift of a shared machine falls on both. */
const pairs = 5;
const workSeconds = 4;
const busySeconds = 25;
const stopRounds = 50;

export async function run(): Promise<BenchRow[]> {
  return [...(await busyHost()), ...(await stopTimes()), ...(await syscallRatio())];
}

/** Two spinning processes and a loop of file calls keep both CPUs busy while the agent samples at its default rate. */
async function busyHost(): Promise<BenchRow[]> {
  const shares = await buildZoo('shares');
  const agent = await startAgent();
  const load: ChildProcess[] = [0, 1].map(() => spawn(shares, [String(busySeconds)], { stdio: 'ignore' }));
  try {
    await sleep((busySeconds - 1) * 1000);
    const status = await agent.get<StatusResponse>('/api/v1/status');
    const sources = await agent.get<SourceState[]>('/api/v1/sources');
    return [
      { name: 'busy host: CPU share of the host, BPF included', value: status.cpuShare * 100, unit: '%' },
      { name: 'busy host: RSS', value: status.rssBytes / 2 ** 20, unit: 'MiB' },
      { name: 'busy host: BPF maps', value: status.mapBytes / 2 ** 20, unit: 'MiB' },
      { name: 'busy host: perf buffers', value: status.bufferBytes / 2 ** 20, unit: 'MiB' },
      ...sources.flatMap(source =>
        source.programs.filter(program => program.hitsPerSecond > 0).map(program => hitRow(source.name, program)),
      ),
    ];
  } finally {
    for (const child of load) child.kill();
    await agent.stop();
  }
}

/** From the request to its answer, 50 times for each source; afterwards nothing of it is in the kernel. */
async function stopTimes(): Promise<BenchRow[]> {
  const settings: Readonly<Record<string, object>> = { func: { targets: ['kernel:do_sys_openat2'] } };
  const agent = await startAgent();
  try {
    const rows: BenchRow[] = [];
    for (const { name } of await agent.get<SourceState[]>('/api/v1/sources')) {
      const times: number[] = [];
      for (let round = 0; round < stopRounds; round += 1) {
        await agent.post(`/api/v1/sources/${name}/start`, { settings: settings[name] ?? {} });
        const startMs = performance.now();
        await agent.post(`/api/v1/sources/${name}/stop`);
        times.push(performance.now() - startMs);
      }
      const p95 = times.sort((a, b) => a - b)[Math.ceil(stopRounds * 0.95) - 1] as number;
      rows.push(rowWithTarget(`stop of source ${name}, p95 of ${stopRounds}`, p95, 'ms', { isAtLeast: false, bound: 100 }));
    }
    return rows;
  } finally {
    await agent.stop();
  }
}

function hitRow(source: string, program: SourceState['programs'][number]): BenchRow {
  return { name: `cost per hit: ${source} ${program.name}`, value: program.nsPerHit, unit: 'ns' };
}

/** A B A B: opens, reads and closes per second without and with the agent. */
async function syscallRatio(): Promise<BenchRow[]> {
  const without: number[] = [];
  const withAgent: number[] = [];
  let costs: BenchRow[] = [];
  for (let pair = 0; pair < pairs; pair += 1) {
    without.push(work());
    const agent = await startAgent();
    withAgent.push(work());
    if (pair === 0) costs = await costUnderLoad(agent);
    await agent.stop();
  }
  const ratios = without.map((rate, i) => (withAgent[i] as number) / rate);
  return [
    ...costs,
    { name: 'open+read+close without the agent (median)', value: median(without), unit: '/s' },
    { name: 'open+read+close with the agent (median)', value: median(withAgent), unit: '/s' },
    rowWithTarget(`throughput with / without, median of ${pairs} pairs`, median(ratios), 'ratio', {
      isAtLeast: true,
      bound: 0.9,
    }),
  ];
}

/** Cost per hit of the file programs while they are hit hard: six seconds of load meet a window of the agent's own accounting. */
async function costUnderLoad(agent: TestAgent): Promise<BenchRow[]> {
  const child = spawn(workBinary(), ['12'], { stdio: 'ignore' });
  await sleep(11_500);
  const sources = await agent.get<SourceState[]>('/api/v1/sources');
  child.kill();
  return sources
    .filter(source => source.name === 'file')
    .flatMap(source =>
      source.programs.filter(program => program.hitsPerSecond > 1000).map(program => hitRow('file under load:', program)),
    );
}

/** Rounds per second that the program itself counted. */
function work(): number {
  return Number(execFileSync(workBinary(), [String(workSeconds)], { encoding: 'utf8' }));
}

let built = '';

function workBinary(): string {
  if (built === '') {
    const folder = join(projectDir, '.build', 'bench');
    mkdirSync(folder, { recursive: true });
    const source = join(import.meta.dirname, 'syscalls.c');
    const binary = join(folder, 'syscalls');
    rmSync(binary, { force: true });
    execFileSync('gcc', ['-O2', '-o', binary, source]);
    built = binary;
  }
  return built;
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}

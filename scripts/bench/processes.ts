/**
 * The agent among many processes: its memory while 300 of them run and are sampled, and its CPU while a hundred a second start and exit,
 * each of which it has to list, to walk and to name.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type StatusResponse, startAgent, type TestAgent } from '../../test/live/agent.ts';
import { buildZoo } from '../../test/zoo/zoo.ts';
import { cpuTimes, forksSinceBoot } from './cpu-times.ts';
import { benchProgram } from './programs.ts';
import { type BenchRow, rowWithTarget } from './row.ts';

const runningProcesses = 300;
const startsPerSecond = 100;
/** Far more than the measurement takes. */
const startCount = 6000;
const settleSeconds = 8;
const measureSeconds = 10;

export async function run(): Promise<BenchRow[]> {
  const agent = await startAgent();
  try {
    return [...(await manyRunning(agent)), ...(await manyStarting(agent))];
  } finally {
    await agent.stop();
  }
}

async function manyRunning(agent: TestAgent): Promise<BenchRow[]> {
  const program = benchProgram('wakes');
  const before = await agent.get<StatusResponse>('/api/v1/status');
  const children = Array.from({ length: runningProcesses }, () => spawn(program, { stdio: 'ignore' }));
  try {
    await sleep((settleSeconds + measureSeconds) * 1000);
    const { rssBytes, mapBytes } = await agent.get<StatusResponse>('/api/v1/status');
    const what = `${runningProcesses} processes running`;
    return [
      rowWithTarget(`${what}: RSS`, rssBytes / 2 ** 20, 'MiB', { isAtLeast: false, bound: 150 }),
      { name: `${what}: RSS more than before them`, value: (rssBytes - before.rssBytes) / 2 ** 20, unit: 'MiB' },
      { name: `${what}: BPF maps`, value: mapBytes / 2 ** 20, unit: 'MiB' },
    ];
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}

async function manyStarting(agent: TestAgent): Promise<BenchRow[]> {
  // One after the other, so that the pause sets the rate; each lives for what is left of its 10 ms after fork and exec.
  const lifeMs = String(1000 / startsPerSecond - 2);
  const spawner: ChildProcess = spawn(await buildZoo('spawner'), [String(startCount), lifeMs], { stdio: 'ignore' });
  try {
    await sleep(settleSeconds * 500);
    const [before, forksBefore] = [cpuTimes(agent.pid), forksSinceBoot()];
    await sleep(measureSeconds * 1000);
    const [after, forksAfter] = [cpuTimes(agent.pid), forksSinceBoot()];
    const seconds = (after.timeMs - before.timeMs) / 1000;
    const percent = (after.agentMs - before.agentMs) / seconds / 10 / availableParallelism();
    return [
      { name: 'processes and threads started, on the whole host', value: (forksAfter - forksBefore) / seconds, unit: '1/s' },
      { name: "while they start and exit: the agent's threads, of the host", value: percent, unit: '%' },
    ];
  } finally {
    spawner.kill('SIGKILL');
  }
}

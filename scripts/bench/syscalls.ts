/** What a program that does nothing but file calls loses by the agent: runs without and with it in turn, so that drift falls on both. */

import { execFileSync } from 'node:child_process';
import { startAgent } from '../../test/live/agent.ts';
import { benchProgram } from './programs.ts';
import { type BenchRow, median, rowWithTarget } from './row.ts';

const pairs = 5;
const workSeconds = 3;

export async function run(): Promise<BenchRow[]> {
  const without: number[] = [];
  const withAgent: number[] = [];
  for (let pair = 0; pair < pairs; pair += 1) {
    without.push(work());
    const agent = await startAgent();
    withAgent.push(work());
    await agent.stop();
  }
  const ratios = without.map((rate, i) => (withAgent[i] as number) / rate);
  return [
    { name: 'open+read+close without the agent (median)', value: median(without), unit: '/s' },
    { name: 'open+read+close with the agent (median)', value: median(withAgent), unit: '/s' },
    rowWithTarget(`with / without, median of ${pairs} pairs`, median(ratios), 'ratio', { isAtLeast: true, bound: 0.9 }),
  ];
}

/** Rounds per second that the program itself counted. */
function work(): number {
  return Number(execFileSync(benchProgram('syscalls'), [String(workSeconds)], { encoding: 'utf8' }));
}

if (import.meta.main) console.table(await run());

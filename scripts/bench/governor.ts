/**
 * The budget through a tenfold step of the load: threads that wake each other and call for files, at a rate, at ten times the rate,
 * and at the rate again. The cost is measured from outside: CPU time of the agent's process, and the run time of the programs that it
 * loaded, counted without a pause. Prints a line every two seconds to stderr.
 */

import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { loadAddon } from '../../agent/bpf/addon.ts';
import { type StatusResponse, startAgent, type TestAgent } from '../../test/live/agent.ts';
import { benchProgram } from './programs.ts';
import { type BenchRow, rowWithTarget } from './row.ts';

const budgetPercent = 2;
const slackPercent = 0.5;
const roundsPerSecond = 2000;
/** The agent judges its threads from its thirtieth second on. */
const settleSeconds = 35;
const phases = [
  { name: 'before the step', rate: roundsPerSecond, seconds: 30 },
  { name: 'ten times the load', rate: 10 * roundsPerSecond, seconds: 80 },
  { name: 'after it', rate: roundsPerSecond, seconds: 60 },
] as const;
const sampleSeconds = 2;
/** USER_HZ: the unit of /proc/PID/stat on every Linux. */
const tickMs = 10;

interface Point {
  readonly phase: string;
  /** Since the begin of the phase. */
  readonly second: number;
  readonly threads: number;
  readonly programs: number;
  readonly level: number;
}

export async function run(): Promise<BenchRow[]> {
  const program = benchProgram('governor-load');
  const before = new Set(bpfPrograms().map(({ id }) => id));
  const agent = await startAgent({ budget: budgetPercent, args: ['--set', 'sources.sched.enabled=true'] });
  const counting = loadAddon().enableProgramStats();
  const points: Point[] = [];
  let largest = '';
  try {
    await sleep(settleSeconds * 1000);
    for (const phase of phases) {
      const load = spawn(program, [String(phase.rate), String(phase.seconds)], { stdio: ['ignore', 'pipe', 'inherit'] });
      points.push(...(await watch(agent, phase, before)));
      load.kill();
      if (phase === phases[1]) largest = limitsText(await agent.get<StatusResponse>('/api/v1/status'));
    }
  } finally {
    counting.detach();
    await agent.stop();
  }
  process.stderr.write(`in force at the end of ten times the load: ${largest}\n`);
  return rows(points);
}

async function watch(agent: TestAgent, phase: (typeof phases)[number], before: ReadonlySet<number>): Promise<Point[]> {
  const points: Point[] = [];
  const startMs = performance.now();
  let last = reading(agent.pid, before);
  while (performance.now() - startMs < (phase.seconds - sampleSeconds / 2) * 1000) {
    await sleep(sampleSeconds * 1000);
    const now = reading(agent.pid, before);
    const percent = (ms: number): number => (100 * ms) / (now.timeMs - last.timeMs) / availableParallelism();
    const { governor } = await agent.get<StatusResponse>('/api/v1/status');
    const point = {
      phase: phase.name,
      second: (now.timeMs - startMs) / 1000,
      threads: percent(now.threadsMs - last.threadsMs),
      programs: percent(now.programsMs - last.programsMs),
      level: governor.level,
    };
    process.stderr.write(
      `${phase.name.padEnd(18)} ${point.second.toFixed(0).padStart(3)} s  threads ${point.threads.toFixed(2)} % + programs ${point.programs.toFixed(2)} % = ${(point.threads + point.programs).toFixed(2)} %, by itself ${(100 * governor.costShare).toFixed(2)} %, step ${point.level} of ${governor.levels}\n`,
    );
    points.push(point);
    last = now;
  }
  return points;
}

function rows(points: readonly Point[]): BenchRow[] {
  const bound = budgetPercent + slackPercent;
  const costs = points.map(({ threads, programs }) => threads + programs);
  const window = 10 / sampleSeconds;
  const means = costs.slice(window - 1).map((_, i) => costs.slice(i, i + window).reduce((sum, cost) => sum + cost, 0) / window);
  const of = (phase: string): number[] => costs.filter((_, i) => points[i]?.phase === phase);
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const heavy = of(phases[1].name);
  const changes = points.filter((point, i) => i > 0 && point.level !== points[i - 1]?.level).length;
  return [
    { name: `mean cost, ${phases[0].name}`, value: mean(of(phases[0].name)), unit: '%' },
    { name: `mean cost, first 10 s of ${phases[1].name}`, value: mean(heavy.slice(0, window)), unit: '%' },
    rowWithTarget(`mean cost, ${phases[1].name}`, mean(heavy), '%', { isAtLeast: false, bound }),
    rowWithTarget(`mean cost, ${phases[1].name} from the 10th second`, mean(heavy.slice(window)), '%', {
      isAtLeast: false,
      bound,
    }),
    rowWithTarget('largest mean of 10 s, step included', Math.max(...means), '%', { isAtLeast: false, bound }),
    {
      name: 'seconds above the budget and 0.5 points',
      value: sampleSeconds * costs.filter(cost => cost > bound).length,
      unit: 's',
    },
    { name: 'samples in which the step differs from the last', value: changes, unit: '' },
    { name: 'steps in force at the end', value: points.at(-1)?.level ?? 0, unit: '' },
  ];
}

function limitsText({ governor: { limits, paused } }: StatusResponse): string {
  return [
    ...limits.map(limit => `${limit.source} ${limit.setting} ${limit.inForce} instead of ${limit.asked}`),
    ...paused.map(source => `${source} paused`),
  ].join(', ');
}

function reading(pid: number, before: ReadonlySet<number>): { timeMs: number; threadsMs: number; programsMs: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // Fields 14 and 15 of proc(5).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const mine = bpfPrograms().filter(({ id }) => !before.has(id));
  for (const { id, run_time_ns: ns = 0 } of mine) runTimes.set(id, ns);
  return {
    timeMs: performance.now(),
    threadsMs: (Number(fields[11]) + Number(fields[12])) * tickMs,
    programsMs: [...runTimes.values()].reduce((sum, ns) => sum + ns, 0) / 1e6,
  };
}

/** Last run time of each program, those that are no longer there included. */
const runTimes = new Map<number, number>();

function bpfPrograms(): { id: number; run_time_ns?: number }[] {
  return JSON.parse(execFileSync('bpftool', ['-j', 'prog', 'list'], { encoding: 'utf8' })) as { id: number }[];
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}

if (import.meta.main) console.table(await run());

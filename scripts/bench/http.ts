/** The flame graph of an hour with 100,000 stacks, asked of a running agent over HTTP. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startAgent, type TestAgent } from '../../test/live/agent.ts';
import { type BenchRow, median, rowWithTarget } from './row.ts';
import { fillHour } from './store.ts';

const rounds = 9;
const hourMs = 3_600_000;
/** What the page leaves out at its first look: nodes far narrower than a pixel. */
const shownShare = 2e-5;

export async function run(): Promise<BenchRow[]> {
  const dataDir = mkdtempSync(join(tmpdir(), 'hotspan-bench-'));
  try {
    // Old enough to be summed by minutes, young enough to be kept.
    const fromMs = Math.floor(Date.now() / hourMs) * hourMs - 3 * hourMs;
    fillHour(join(dataDir, 'hotspan.db'), fromMs);
    const quiet = ['cpu', 'exec', 'file'].flatMap(name => ['--set', `sources.${name}.enabled=false`]);
    const agent = await startAgent({ dataDir, args: quiet });
    try {
      const path = `/api/v1/profile?type=cpu&from=${fromMs}&to=${fromMs + hourMs}`;
      const shown = await ask(agent, `${path}&minShare=${shownShare}`);
      const whole = await ask(agent, path);
      return [
        milliseconds('flame graph of 1 h, 100 k stacks, over HTTP as the page asks for it', shown.againMs),
        milliseconds('the same with every node', whole.againMs),
        { name: 'its size', value: whole.bytes / 1e6, unit: 'MB' },
        { name: 'the first time, stacks and names not read yet', value: shown.firstMs, unit: 'ms' },
      ];
    } finally {
      await agent.stop();
    }
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function ask(agent: TestAgent, path: string): Promise<{ firstMs: number; againMs: number; bytes: number }> {
  const times: number[] = [];
  let bytes = 0;
  for (let round = 0; round <= rounds; round += 1) {
    const startMs = performance.now();
    bytes = (await agent.text(path)).length;
    times.push(performance.now() - startMs);
  }
  const [firstMs = 0, ...again] = times;
  return { firstMs, againMs: median(again), bytes };
}

function milliseconds(name: string, value: number): BenchRow {
  return rowWithTarget(name, value, 'ms', { isAtLeast: false, bound: 150 });
}

if (import.meta.main) console.table(await run());

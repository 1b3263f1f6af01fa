/** The flame graph of an hour with 100,000 stacks, asked of a running agent over HTTP as the page asks for it. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startAgent } from '../../test/live/agent.ts';
import { type BenchRow, median, rowWithTarget } from './row.ts';
import { fillHour } from './store.ts';

const rounds = 9;
const hourMs = 3_600_000;

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
      const times: number[] = [];
      let bytes = 0;
      for (let round = 0; round <= rounds; round += 1) {
        const startMs = performance.now();
        bytes = (await agent.text(path)).length;
        times.push(performance.now() - startMs);
      }
      return [
        rowWithTarget('flame graph of 1 h, 100 k stacks, over HTTP', median(times.slice(1)), 'ms', {
          isAtLeast: false,
          bound: 150,
        }),
        { name: 'the first time, stacks and names not read yet', value: times[0] as number, unit: 'ms' },
        { name: 'its size', value: bytes / 1e6, unit: 'MB' },
      ];
    } finally {
      await agent.stop();
    }
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

if (import.meta.main) console.table(await run());

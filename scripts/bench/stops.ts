/** How long a source takes to stop: from the request to its answer, after which nothing of it is in the kernel. */

import { type SourceState, startAgent } from '../../test/live/agent.ts';
import { type BenchRow, rowWithTarget } from './row.ts';

const rounds = 50;

export async function run(): Promise<BenchRow[]> {
  const settings: Readonly<Record<string, object>> = { func: { targets: ['kernel:do_sys_openat2'] } };
  const agent = await startAgent();
  try {
    const rows: BenchRow[] = [];
    for (const { name } of await agent.get<SourceState[]>('/api/v1/sources')) {
      const times: number[] = [];
      for (let round = 0; round < rounds; round += 1) {
        await agent.post(`/api/v1/sources/${name}/start`, { settings: settings[name] ?? {} });
        const startMs = performance.now();
        await agent.post(`/api/v1/sources/${name}/stop`);
        times.push(performance.now() - startMs);
      }
      const p95 = times.sort((a, b) => a - b)[Math.ceil(rounds * 0.95) - 1] as number;
      rows.push(rowWithTarget(`stop of source ${name}, p95 of ${rounds}`, p95, 'ms', { isAtLeast: false, bound: 100 }));
    }
    return rows;
  } finally {
    await agent.stop();
  }
}

if (import.meta.main) console.table(await run());

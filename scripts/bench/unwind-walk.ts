/**
 * How long the programs take for one walk of a user stack by tables: two programs without frame pointers, sampled a thousand times a
 * second as they run, so that what a walk reads is as cold in the caches as it is in real life.
 */

import { walkLive } from '../../native/test/walk/walk-live.ts';
import { buildZoo, startAnimal } from '../../test/zoo/zoo.ts';
import { type BenchRow, median, rowWithTarget } from './row.ts';

const hz = 997;
const seconds = 6;
const stepNs = 50;
const depths = [20, 60] as const;
/** In us. */
const targets = { p50: 3, p99: 15 } as const;

export async function run(): Promise<BenchRow[]> {
  const binary = await buildZoo('deep', { flags: ['-fomit-frame-pointer'] });
  const rows: BenchRow[] = [];
  for (const depth of depths) {
    const animal = await startAnimal(binary, [String(depth)]);
    try {
      const { samples, times } = await walkLive(animal.pid, hz, seconds);
      const frames = median(samples.map(({ addresses }) => addresses.length));
      const what = `walk of ${frames} frames`;
      const walks = times.reduce((sum, count) => sum + count, 0);
      rows.push(
        rowWithTarget(`${what}: p50`, quantileUs(times, 0.5), 'us', { isAtLeast: false, bound: targets.p50 }),
        rowWithTarget(`${what}: p99`, quantileUs(times, 0.99), 'us', { isAtLeast: false, bound: targets.p99 }),
        { name: `${what}: measured`, value: walks, unit: 'walks' },
      );
    } finally {
      animal.child.kill('SIGKILL');
    }
  }
  return rows;
}

/** Upper bound of the step that holds the quantile. */
function quantileUs(times: readonly number[], quantile: number): number {
  const wanted = times.reduce((sum, count) => sum + count, 0) * quantile;
  let seen = 0;
  const step = times.findIndex(count => {
    seen += count;
    return seen >= wanted;
  });
  return ((step + 1) * stepNs) / 1000;
}

/**
 * node test/unwind/live.ts [--seconds 60] [--hz 199] [PATTERN...]: runs every member of the zoo and the real programs at once, records the
 * host, and prints what share of each one's samples reaches the thread's true root, and why the others do not. Root.
 */

import { parseArgs } from 'node:util';
import { MEMBERS, missingTool } from '../zoo/members.ts';
import { type LiveTally, recordLive } from './live-tally.ts';
import { REAL_PROGRAMS } from './real-programs.ts';
import type { Subject } from './subject.ts';
import { startMember } from './truth.ts';

function describe(name: string, { samples, complete, reasons, falseRoots }: LiveTally): string {
  const words = (record: Record<string, number>) => Object.entries(record).map(([key, count]) => `${key} ${count}`);
  const share = samples === 0 ? '-' : `${((100 * complete) / samples).toFixed(2)} %`;
  const others = [...words(reasons), ...words(falseRoots).map(text => `FALSE ROOT ${text}`)].join(', ');
  return [name.padEnd(26), samples, complete, share, others].join(' | ');
}

async function startAll(isWanted: (name: string) => boolean): Promise<Subject[]> {
  const subjects: Subject[] = [];
  for (const member of MEMBERS) {
    if (isWanted(member.name) && missingTool(member) === undefined) subjects.push(await startMember(member));
  }
  for (const [name, start] of Object.entries(REAL_PROGRAMS)) {
    const subject = isWanted(name) ? await start() : 'unwanted';
    if (typeof subject !== 'string') subjects.push(subject);
  }
  return subjects;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { seconds: { type: 'string', default: '60' }, hz: { type: 'string', default: '199' } },
  });
  const subjects = await startAll(name => positionals.length === 0 || positionals.some(pattern => name.includes(pattern)));
  try {
    const pids = new Set(subjects.map(({ pid }) => pid));
    const tallies = await recordLive(pids, Number(values.seconds) * 1000, Number(values.hz));
    const total: LiveTally = { samples: 0, complete: 0, reasons: {}, falseRoots: {} };
    console.log('member | samples | reach the root | share | the others');
    for (const { name, pid } of subjects) {
      const tally = tallies.get(pid);
      if (!tally) {
        console.log(`${name.padEnd(26)} | 0`);
        continue;
      }
      console.log(describe(name, tally));
      total.samples += tally.samples;
      total.complete += tally.complete;
      for (const [reason, count] of Object.entries(tally.reasons)) total.reasons[reason] = (total.reasons[reason] ?? 0) + count;
      for (const [root, count] of Object.entries(tally.falseRoots))
        total.falseRoots[root] = (total.falseRoots[root] ?? 0) + count;
    }
    console.log(describe('all', total));
  } finally {
    for (const subject of subjects) subject.stop();
  }
}

await main();

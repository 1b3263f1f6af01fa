/**
 * node test/unwind/live.ts [--seconds 10] [--hz 199] [--group 8] [--part 1/1] [PATTERN...]: runs the members of the zoo and the real
 * programs in groups, records the host for so long with each, and prints what share of each one's samples reaches the thread's true root,
 * why the others do not, and above which functions they were lost. A part is that share of the groups, for who has not the time for all at
 * once. Root.
 */

import { parseArgs } from 'node:util';
import { MEMBERS, missingTool } from '../zoo/members.ts';
import { emptyTally, type LiveTally, recordLive } from './live-tally.ts';
import { REAL_PROGRAMS } from './real-programs.ts';
import type { Subject } from './subject.ts';
import { startMember } from './truth.ts';

function describe(name: string, { samples, complete, reasons, falseRoots }: LiveTally): string {
  const words = (record: Record<string, number>) => Object.entries(record).map(([key, count]) => `${key} ${count}`);
  const share = samples === 0 ? '-' : `${((100 * complete) / samples).toFixed(2)} %`;
  const others = [...words(reasons), ...words(falseRoots).map(text => `FALSE ROOT ${text}`)].join(', ');
  return [name.padEnd(26), samples, complete, share, others].join(' | ');
}

type Start = readonly [string, () => Promise<Subject | string>];

function startsOf(patterns: readonly string[]): Start[] {
  const members = MEMBERS.filter(member => missingTool(member) === undefined);
  const starts: Start[] = [
    ...members.map(member => [member.name, () => startMember(member)] as const),
    ...Object.entries(REAL_PROGRAMS),
  ];
  return starts.filter(([name]) => patterns.length === 0 || patterns.some(pattern => name.includes(pattern)));
}

function addTo(total: LiveTally, tally: LiveTally): void {
  total.samples += tally.samples;
  total.complete += tally.complete;
  for (const key of ['reasons', 'falseRoots'] as const) {
    for (const [word, count] of Object.entries(tally[key])) total[key][word] = (total[key][word] ?? 0) + count;
  }
}

/** Records one group while it runs, and prints a line for each of its members. */
async function observe(group: readonly Start[], durationMs: number, frequencyHz: number): Promise<LiveTally> {
  const total = emptyTally();
  const subjects: Subject[] = [];
  try {
    for (const [, start] of group) {
      const subject = await start();
      if (typeof subject !== 'string') subjects.push(subject);
    }
    const tallies = await recordLive(new Set(subjects.map(({ pid }) => pid)), durationMs, frequencyHz);
    for (const { name, pid } of subjects) {
      const tally = tallies.get(pid) ?? emptyTally();
      console.log(describe(name, tally));
      for (const [place, count] of Object.entries(tally.places)
        .sort((left, right) => right[1] - left[1])
        .slice(0, 6)) {
        console.log(`    ${count} x ${place}`);
      }
      addTo(total, tally);
    }
  } finally {
    for (const subject of subjects) subject.stop();
  }
  return total;
}

/** The groups of one part, of parts that together are all. */
function groupsOf(starts: readonly Start[], size: number, part: string): (readonly Start[])[] {
  const [, number = '', count = ''] = /^(\d+)\/(\d+)$/.exec(part) ?? [];
  if (!(Number(number) >= 1 && Number(number) <= Number(count)))
    throw new Error(`--part asks for one such as 2/3, not "${part}"`);
  const groups: (readonly Start[])[] = [];
  for (let first = 0; first < starts.length; first += size) groups.push(starts.slice(first, first + size));
  return groups.filter((_, i) => i % Number(count) === Number(number) - 1);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '10' },
      hz: { type: 'string', default: '199' },
      group: { type: 'string', default: '8' },
      part: { type: 'string', default: '1/1' },
    },
  });
  const groups = groupsOf(startsOf(positionals), Number(values.group), values.part);
  const total = emptyTally();
  console.log('member | samples | reach the root | share | the others');
  for (const group of groups) addTo(total, await observe(group, Number(values.seconds) * 1000, Number(values.hz)));
  console.log(describe('all', total));
}

await main();

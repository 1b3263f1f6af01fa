/**
 * node test/unwind/truth.ts [--stops 50] [--seed 1] [--threads 4] [--cores] [--keep FOLDER] [--names] [PATTERN...]: stops every member of
 * the zoo, and real programs under a load of their own, at random points and compares gdb's stacks with those of hotspan's walk. One line a
 * member. With --cores both read a core that gcore makes at each stop, else the process itself. With --keep a core of each stop whose
 * stacks differ is left there. With --names it also compares hotspan's names with addr2line's.
 */

import { mkdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { buildMember, MEMBERS, type Member, missingTool } from '../zoo/members.ts';
import { startAnimal } from '../zoo/zoo.ts';
import { CoreGdb } from './gdb.ts';
import { NameJudge, type NameTally } from './names.ts';
import { REAL_PROGRAMS } from './real-programs.ts';
import { compareSubject, type Subject, type Tally } from './subject.ts';
import { buildWalker, Walker } from './walker.ts';

export async function startMember(member: Member): Promise<Subject> {
  const { binary, symbolFile, args } = await buildMember(member);
  const { child, pid } = await startAnimal(binary, args);
  return { name: member.name, pid, binary, symbolFile, stop: () => child.kill('SIGKILL') };
}

function printTally({ name, stops, stacks, frames, equal, differences, ends, places }: Tally): void {
  const counts = (record: object) => Object.entries(record).map(([key, count]) => `${key} ${count}`);
  const share = frames === 0 ? '-' : ((100 * equal) / frames).toFixed(2);
  const differing = counts(differences).join(', ') || 'none';
  console.log([name.padEnd(26), stops, stacks, frames, equal, `${share} %`, differing, counts(ends).join(', ')].join(' | '));
  const isFault = (place: string) => /^(different|walk-short) /.test(place);
  const byWeight = [...places].sort((a, b) => Number(isFault(b[0])) - Number(isFault(a[0])) || b[1] - a[1]);
  for (const [place, count] of byWeight.slice(0, 8)) {
    console.log(`    ${count} x ${place}`);
  }
}

function printNames({ addresses, right, chains, wrong }: NameTally): void {
  const share = (count: number) => (addresses === 0 ? '-' : `${((100 * count) / addresses).toFixed(1)} %`);
  console.log(
    `    names: ${addresses} addresses, ${right} right (${share(right)}), ${chains} with inlined functions (${share(chains)})`,
  );
  for (const text of [...wrong.keys()].slice(0, 8)) console.log(`    ${text.slice(0, 300)}`);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      stops: { type: 'string', default: '50' },
      seed: { type: 'string', default: '1' },
      threads: { type: 'string', default: '4' },
      cores: { type: 'boolean', default: false },
      keep: { type: 'string', default: '' },
      names: { type: 'boolean', default: false },
    },
  });
  if (values.keep !== '') mkdirSync(values.keep, { recursive: true });
  const gdb = new CoreGdb();
  const options = {
    stops: Number(values.stops),
    seed: Number(values.seed),
    threads: Number(values.threads),
    coreFolder: values.keep,
    isLive: !values.cores,
    ...(values.cores && { cores: { gdb, stops: Number(values.stops) } }),
  };
  const isWanted = (name: string) => positionals.length === 0 || positionals.some(pattern => name.includes(pattern));
  const starts: [string, () => Promise<Subject | string>][] = [
    ...MEMBERS.map(
      member =>
        [member.name, async () => missingTool(member) ?? startMember(member)] as [string, () => Promise<Subject | string>],
    ),
    ...Object.entries(REAL_PROGRAMS),
  ];
  console.log('member | stops | stacks | frames compared | equal | share | stacks that differ | ends of walks');
  const walker = new Walker(await buildWalker());
  for (const [name, start] of starts.filter(([name]) => isWanted(name))) {
    try {
      const subject = await start();
      if (typeof subject === 'string') {
        console.log(`${name.padEnd(26)} | left out: ${subject} is not there`);
        continue;
      }
      const names = values.names ? new NameJudge(subject.binary, subject.symbolFile) : undefined;
      try {
        printTally(await compareSubject(subject, walker, { ...options, ...(names && { names }) }));
        if (names) printNames(names.judge());
      } finally {
        names?.close();
        subject.stop();
      }
    } catch (error) {
      console.log(`${name.padEnd(26)} | failed: ${error instanceof Error ? error.message : error}`);
      process.exitCode = 1;
    }
  }
  walker.stop();
  gdb.stop();
}

if (import.meta.main) await main();

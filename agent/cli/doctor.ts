/** hotspan doctor: what works on this host, how hooks attach, and what to do about the rest. */

import type { DoctorFinding, DoctorReport } from '../server/api.ts';
import { type Command, exitDone, exitFailed, UsageError } from './command.ts';
import { configFlags, configFromFlags } from './config-flags.ts';
import { parseCommandLine } from './flags.ts';
import { requireNode } from './privileges.ts';

const flags = {
  json: { kind: 'switch', help: 'print the report as JSON' },
  ...configFlags(['dataDir']),
} as const;

export const command: Command = {
  name: 'doctor',
  usage: '[FLAGS]',
  about:
    'Tells what works on this host, how each hook would attach and why not better, with a remedy for what is missing.\nExits with 1 when something keeps hotspan from working.',
  flags,
  examples: [
    ['sudo hotspan doctor', 'the whole report'],
    ['sudo hotspan doctor --json | jq .findings', 'for scripts'],
  ],
  run,
};

async function run(args: readonly string[]): Promise<number> {
  const { flags: given, words } = parseCommandLine(flags, args);
  if (words.length > 0) throw new UsageError(`doctor takes no word, but got "${words[0]}"`);
  requireNode();
  const { dataDir } = configFromFlags(given, undefined);
  const { makeDoctorReport } = await import('../doctor.ts');
  const report = await makeDoctorReport({ dataDir });
  process.stdout.write(given.json ? `${JSON.stringify(report, null, 2)}\n` : doctorText(report));
  return report.findings.some(finding => finding.level === 'error') ? exitFailed : exitDone;
}

const marks: Readonly<Record<DoctorFinding['level'], string>> = { ok: 'ok  ', info: 'info', warning: 'WARN', error: 'FAIL' };

export function doctorText({ kernel, findings, sources }: DoctorReport): string {
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  const lines = findings.map(({ subject, level, message, remedy }) => {
    const hint = remedy === '' ? '' : `\n      ${''.padEnd(width)}  -> ${remedy}`;
    return `${marks[level]}  ${subject.padEnd(width)}  ${message}${hint}`;
  });
  const hooks = sources.flatMap(({ name, hooks }) => [`\n${name}`, ...hookLines(hooks)]);
  return [`hotspan on kernel ${kernel}\n`, ...lines, ...hooks, `\n${verdict(findings)}\n`].join('\n');
}

/** Hooks that attach alike, for the same reasons, share a line. */
function hookLines(hooks: DoctorReport['sources'][number]['hooks']): string[] {
  const groups = new Map<string, string[]>();
  for (const { observes, way, reason } of hooks) {
    const how = `${way === 'none' ? 'cannot be attached' : `by ${way}`}${reason === '' ? '' : `\n    ${reason}`}`;
    groups.set(how, [...(groups.get(how) ?? []), observes]);
  }
  return [...groups].map(([how, observed]) => `  ${observed.join(', ')}: ${how}`);
}

function verdict(findings: readonly DoctorFinding[]): string {
  const errors = findings.filter(({ level }) => level === 'error').length;
  const warnings = findings.filter(({ level }) => level === 'warning').length;
  if (errors > 0) return `hotspan cannot work here: ${errors} ${errors === 1 ? 'thing is' : 'things are'} in the way.`;
  return warnings === 0
    ? 'hotspan works here.'
    : `hotspan works here, with ${warnings} ${warnings === 1 ? 'thing' : 'things'} to look at.`;
}

/** Help texts: short, aligned, with examples. */

import { formatDuration } from '../lib/units.ts';
import type { Command } from './command.ts';
import type { FlagSpec, FlagSpecs } from './flags.ts';

export interface CommandSummary {
  readonly name: string;
  readonly summary: string;
}

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows.map(([left, right]) => `  ${left.padEnd(width)}${right}`.trimEnd()).join('\n');
}

function flagColumn(name: string, spec: FlagSpec): string {
  const value = spec.kind === 'switch' ? '' : ` ${spec.placeholder ?? 'VALUE'}`;
  return `${spec.short === undefined ? '' : `-${spec.short}, `}--${name}${value}`;
}

function flagHelp(spec: FlagSpec): string {
  if (!('default' in spec) || spec.default === undefined || spec.default === '') return spec.help;
  return `${spec.help} (${spec.kind === 'duration' ? formatDuration(spec.default).replace(' ', '') : spec.default})`;
}

export function flagsHelp(specs: FlagSpecs): string {
  return columns(Object.entries(specs).map(([name, spec]) => [flagColumn(name, spec), flagHelp(spec)]));
}

export function commandHelp(command: Command): string {
  const examples = columns(command.examples);
  const hasFlags = Object.keys(command.flags).length > 0;
  return `Usage: hotspan ${command.name} ${command.usage}

${command.about}
${hasFlags ? `\n${flagsHelp(command.flags)}\n` : ''}
Examples:
${examples}
`;
}

export function overviewHelp(commands: readonly CommandSummary[]): string {
  return `Usage: hotspan [COMMAND] [FLAGS]

Flame graphs of every process on this host and spans of what they do, with no change to any program.

${columns(commands.map(({ name, summary }) => [name, summary]))}

"hotspan COMMAND --help" tells the flags of a command; "hotspan --version" its version.

Examples:
${columns([
  ['sudo hotspan', 'start the agent; the UI is at http://127.0.0.1:7575'],
  ['sudo hotspan record --duration 10s -o cpu.pb.gz', 'profile the whole host for ten seconds'],
  ['sudo hotspan trace kernel:vfs_read --min 1ms', 'print every slow read as it happens'],
  ['hotspan doctor', 'what works on this host, and what to do about the rest'],
])}
`;
}

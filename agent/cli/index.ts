/** Entry of the command line: finds the subcommand, runs it, and turns what goes wrong into one sentence and an exit code. */

import { nearestWord } from '../lib/suggest.ts';
import { type Command, CommandError, exitDone, exitFailed, exitUsage, UsageError } from './command.ts';
import { type CommandSummary, commandHelp, overviewHelp } from './help.ts';

/** Only the command that is run is loaded. */
const commands: readonly (CommandSummary & { load(): Promise<{ command: Command }> })[] = [
  { name: 'run', summary: 'start the agent and its UI (what "hotspan" alone does)', load: () => import('./run.ts') },
  { name: 'doctor', summary: 'what works on this host, how hooks attach, what is missing', load: () => import('./doctor.ts') },
  { name: 'record', summary: 'profile once into a file, without a server', load: () => import('./record.ts') },
  { name: 'trace', summary: 'print calls of functions as they happen', load: () => import('./trace.ts') },
  { name: 'sources', summary: 'list, start and stop the sources of a running agent', load: () => import('./sources.ts') },
  { name: 'export', summary: 'write a profile or spans from the store of a running agent', load: () => import('./export.ts') },
];

async function main(args: readonly string[]): Promise<number> {
  const [first = 'run', ...rest] = args;
  if (first === '--version' || first === '-V') {
    const { version } = await import('../version.ts');
    process.stdout.write(`hotspan ${version}\n`);
    return exitDone;
  }
  if (first === '--help' || first === '-h' || (first === 'help' && rest.length === 0)) {
    process.stdout.write(overviewHelp(commands));
    return exitDone;
  }
  if (first === 'help') return runCommand(rest[0]!, ['--help']);
  return first.startsWith('-') ? runCommand('run', args) : runCommand(first, rest);
}

async function runCommand(name: string, args: readonly string[]): Promise<number> {
  const entry = commands.find(candidate => candidate.name === name);
  if (entry === undefined) {
    const nearest = nearestWord(
      name,
      commands.map(candidate => candidate.name),
    );
    const known = commands.map(candidate => candidate.name).join(', ');
    throw new UsageError(`unknown command ${name}; ${nearest === undefined ? `known are ${known}` : `did you mean ${nearest}?`}`);
  }
  const { command } = await entry.load();
  const end = args.indexOf('--');
  const asked = end < 0 ? args : args.slice(0, end);
  if (asked.includes('--help') || asked.includes('-h')) {
    process.stdout.write(commandHelp(command));
    return exitDone;
  }
  return command.run(args);
}

/** Names of errors that only a mistake in this program raises; everything else was worded for people. */
const defects: readonly string[] = ['TypeError', 'ReferenceError', 'AssertionError', 'SyntaxError'];

function explain(error: unknown): number {
  if (!(error instanceof Error)) {
    process.stderr.write(`hotspan: ${String(error)}\n`);
    return exitFailed;
  }
  const isUsage = error instanceof UsageError || error.name === 'ConfigError';
  const isDefect = defects.includes(error.name) && !(error instanceof CommandError);
  const text = isDefect ? `this is a defect of hotspan, please report it: ${error.stack}` : error.message;
  for (const line of text.split('\n')) process.stderr.write(isDefect ? `${line}\n` : `hotspan: ${line}\n`);
  return isUsage ? exitUsage : exitFailed;
}

// A reader that has gone ("hotspan export spans | head") is no failure; there is nobody left to write to.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? exitDone : exitFailed);
});

/**
 * Ends the process although something still holds it (a worker that does not end, a timer of a command that failed), but not before
 * a slow reader has had everything. A process that nothing holds has ended before.
 */
function endSoon(): void {
  setTimeout(() => {
    if (process.stdout.writableLength === 0) process.exit();
    endSoon();
  }, 500).unref();
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.exitCode = explain(error);
}
endSoon();

/** hotspan record: profiles once, without a server, into one or more files. */

import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { formatDuration, formatSize } from '../lib/units.ts';
import type { FullProfile } from '../store/full-profile.ts';
import { type Command, CommandError, exitDone, UsageError } from './command.ts';
import { type RecordProfile, recordEvents } from './contracts.ts';
import { parseCommandLine } from './flags.ts';
import { requireNode, requirePrivileges } from './privileges.ts';
import { interruptSignal, progressBar, progressLine } from './terminal.ts';

const flags = {
  duration: { kind: 'duration', placeholder: 'TIME', min: 100e6, max: 3600e9, default: 10e9, help: 'how long to record' },
  pid: { kind: 'number', placeholder: 'PID', min: 1, max: 4_194_304, help: 'only this process' },
  comm: { kind: 'text', placeholder: 'NAME', help: 'only processes of this command name' },
  event: {
    kind: 'choice',
    choices: recordEvents,
    placeholder: 'TYPE',
    default: 'cpu',
    help: 'cpu: where code ran; offcpu: where threads were blocked; runq: where they waited for a CPU; wall: all three; wakeup: who woke them; faults, rss-growth and rss-released: what became resident; mapped, unmapped: address space; go-heap: allocations of Go; block: who asked disks for what',
  },
  hz: { kind: 'number', placeholder: 'N', min: 1, max: 10_000, default: 99, help: 'samples a second on each CPU' },
  out: {
    kind: 'texts',
    short: 'o',
    placeholder: 'FILE',
    help: 'file to write, once or more; .pb.gz, .folded, .speedscope.json or .otlp (hotspan.pb.gz)',
  },
} as const;

export const command: Command = {
  name: 'record',
  usage: '[FLAGS]',
  about:
    'Profiles the host, or one program, once. Ctrl-C ends early and writes what there is. "-o -" writes folded stacks to standard output.',
  flags,
  examples: [
    ['sudo hotspan record --duration 30s -o cpu.pb.gz', 'for "go tool pprof -http : cpu.pb.gz"'],
    ['sudo hotspan record --pid 1234 --hz 499 -o a.folded -o a.pb.gz', 'one process, two files of the same recording'],
    ['sudo hotspan record --event offcpu --pid 1234 -o waits.folded', 'what a process waits for, and where'],
    ['sudo hotspan record --comm nginx -o -', 'folded stacks of a program on standard output'],
  ],
  run,
};

export type OutputFormat = 'pprof' | 'folded' | 'speedscope' | 'otlp';

export interface OutputFile {
  /** '-' for standard output. */
  readonly path: string;
  readonly format: OutputFormat;
}

const suffixes: readonly (readonly [string, OutputFormat])[] = [
  ['.pb.gz', 'pprof'],
  ['.pprof', 'pprof'],
  ['.folded', 'folded'],
  ['.speedscope.json', 'speedscope'],
  ['.otlp', 'otlp'],
];

/** Throws a UsageError for a suffix that says nothing, and for a name that is given twice. */
export function outputFiles(paths: readonly string[]): readonly OutputFile[] {
  const names = paths.length === 0 ? ['hotspan.pb.gz'] : paths;
  return names.map((path, index) => {
    if (names.indexOf(path) !== index) throw new UsageError(`-o ${path} is given twice`);
    if (path === '-') return { path, format: 'folded' };
    const format = suffixes.find(([suffix]) => path.endsWith(suffix))?.[1];
    if (format === undefined) {
      throw new UsageError(`the suffix of ${path} tells no format; end it in .pb.gz, .folded, .speedscope.json or .otlp`);
    }
    return { path, format };
  });
}

async function run(args: readonly string[]): Promise<number> {
  const { flags: given, words } = parseCommandLine(flags, args);
  if (words.length > 0) throw new UsageError(`record takes no word, but got "${words[0]}"; name a file with -o`);
  if (given.pid !== undefined && given.comm !== undefined)
    throw new UsageError('--pid and --comm exclude each other; give one of them');
  // comm has 15 characters in the kernel: a longer name would match nothing.
  if (given.comm !== undefined && Buffer.byteLength(given.comm) > 15) {
    throw new UsageError(`the kernel keeps 15 characters of a command's name; write --comm ${given.comm.slice(0, 15)}`);
  }
  const files = outputFiles(given.out);
  for (const file of files) checkWritable(file);
  requireNode();
  requirePrivileges();
  if (given.pid !== undefined) requireProcess(given.pid);

  const { signal } = interruptSignal();
  const progress = progressLine();
  const durationMs = given.duration / 1e6;
  const { recordProfile }: { recordProfile: RecordProfile } = await import('../record.ts');
  const options = { durationMs, pid: given.pid, comm: given.comm, event: given.event, frequencyHz: given.hz, signal };
  const profile = await recordProfile(options, ({ elapsedMs, samples, lost }) => {
    const losses = lost === 0 ? '' : `, ${lost} lost`;
    progress.show(`${progressBar(elapsedMs / durationMs)}  ${samples} samples${losses}`);
  });
  progress.clear();
  const written = [];
  for (const file of files) written.push(writeProfile(file, await encode(file.format, profile)));
  process.stderr.write(summary(profile, written));
  return exitDone;
}

/** Refuses before the recording what would fail after it. */
function checkWritable({ path }: OutputFile): void {
  if (path === '-') return;
  const temporary = `${path}.part`;
  try {
    writeFileSync(temporary, '');
    rmSync(temporary);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new CommandError(`cannot write in ${dirname(path)} (${code}); choose another place with -o`, { cause });
  }
}

function requireProcess(pid: number): void {
  try {
    process.kill(pid, 0);
  } catch (cause) {
    throw new CommandError(`there is no process ${pid}; find it with ps, or record it by name with --comm`, { cause });
  }
}

async function encode(format: OutputFormat, profile: FullProfile): Promise<Buffer> {
  switch (format) {
    case 'pprof':
      return (await import('../export/pprof.ts')).pprofFile(profile);
    case 'folded':
      return Buffer.from((await import('../export/folded.ts')).foldedText(profile));
    case 'otlp': {
      const [{ otlpProfiles }, { Resources }] = await Promise.all([
        import('../export/otlp-profiles.ts'),
        import('../export/otlp-resource.ts'),
      ]);
      return otlpProfiles([profile], new Resources({}));
    }
    case 'speedscope':
      return Buffer.from((await import('../export/speedscope.ts')).speedscopeJson(profile));
  }
}

/** Written beside and moved into place: a file of that name is either the old one or a whole new one. */
function writeProfile({ path }: OutputFile, content: Buffer): string {
  if (path === '-') {
    process.stdout.write(content);
    return 'standard output';
  }
  const temporary = `${path}.part`;
  try {
    writeFileSync(temporary, content);
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw new CommandError(`cannot write ${path}: ${(cause as Error).message}; free some space or choose another place`, {
      cause,
    });
  }
  return `${path} (${formatSize(content.length)})`;
}

function summary(profile: FullProfile, written: readonly string[]): string {
  const { samples, lost } = profile;
  const hint =
    samples === 0 ? `; nothing that was asked for ${profile.type === 'cpu' ? 'used a CPU' : 'did so'} in that time` : '';
  return `${samples} samples, ${amount(profile)}, ${lost} lost${hint}\nwrote ${written.join(', ')}\n`;
}

function amount({ type, unit, total }: FullProfile): string {
  if (unit === 'bytes') return `${formatSize(total)} of ${type}`;
  if (unit === 'count') return `${total} ${type}`;
  return `${formatDuration(total)} of ${type === 'cpu' ? 'CPU time' : type}`;
}

/** hotspan trace: prints calls of kernel and user functions as they happen. */

import type { SpanDetail } from '../store/rows.ts';
import { type Command, exitDone, UsageError } from './command.ts';
import type { TraceSummary, TraceTargets } from './contracts.ts';
import { parseCommandLine } from './flags.ts';
import { otlpSpanLine } from './otlp-span.ts';
import { requireNode, requirePrivileges } from './privileges.ts';
import { SpanPrinter, spanHeader } from './span-text.ts';
import { interruptSignal } from './terminal.ts';

const flags = {
  min: {
    kind: 'duration',
    placeholder: 'TIME',
    min: 0,
    max: 3600e9,
    default: 0,
    help: 'only calls that take at least this long',
  },
  stack: { kind: 'switch', help: 'print the stack of each call' },
  pid: { kind: 'number', placeholder: 'PID', min: 1, max: 4_194_304, help: 'only this process' },
  duration: { kind: 'duration', placeholder: 'TIME', min: 100e6, max: 86_400e9, help: 'end by itself after this time' },
  count: { kind: 'number', placeholder: 'N', min: 1, max: 1e9, help: 'end by itself after this many calls' },
  json: { kind: 'switch', help: 'one span a line, with the field names of OTLP/JSON' },
} as const;

export const command: Command = {
  name: 'trace',
  usage: 'TARGET... [FLAGS]',
  about:
    'Prints calls of functions as they happen, each under its caller. A TARGET is kernel:FUNCTION or uprobe:/PATH:SYMBOL;\n* and ? stand for any characters in its name.',
  flags,
  examples: [
    ['sudo hotspan trace kernel:do_sys_openat2', 'every open of a file, with its result'],
    ['sudo hotspan trace kernel:vfs_read --min 1ms --stack', 'slow reads and where they come from'],
    ["sudo hotspan trace 'uprobe:/usr/sbin/nginx:ngx_http_*' --count 100", "a hundred calls of a program's functions"],
  ],
  run,
};

async function run(args: readonly string[]): Promise<number> {
  const { flags: given, words: targets } = parseCommandLine(flags, args);
  if (targets.length === 0) throw new UsageError('trace needs a target, such as kernel:vfs_read');
  await checkTargets(targets);
  requireNode();
  requirePrivileges();
  const interrupt = interruptSignal();
  const { traceTargets }: { traceTargets: TraceTargets } = await import('../trace.ts');
  const printer = new SpanPrinter({ withStack: given.stack, write: text => process.stdout.write(text) });
  const flushing = setInterval(() => printer.flush(), 250).unref();
  if (given.duration !== undefined) setTimeout(() => interrupt.abort(), given.duration / 1e6).unref();

  let printed = 0;
  const show = (span: SpanDetail) => {
    // What was under way when the last wanted call came is not printed any more.
    if (given.count !== undefined && printed >= given.count) return;
    printed += 1;
    if (given.json) process.stdout.write(`${otlpSpanLine(span)}\n`);
    else printer.add(span);
    if (printed === given.count) interrupt.abort();
  };
  const summary = await traceTargets(
    {
      targets,
      minNs: given.min,
      withStack: given.stack,
      pid: given.pid,
      signal: interrupt.signal,
      onStarted: how => {
        process.stderr.write(`tracing ${how}; Ctrl-C ends it\n`);
        if (!given.json) process.stdout.write(spanHeader);
      },
    },
    show,
  );
  clearInterval(flushing);
  printer.flush(true);
  process.stderr.write(summaryText(summary, printed));
  return exitDone;
}

/** Source func knows the form of targets; what it refuses here is wrong use. */
async function checkTargets(targets: readonly string[]): Promise<void> {
  const { parseTarget } = await import('../sources/func/target.ts');
  try {
    for (const target of targets) parseTarget(target);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UsageError(error.message);
  }
}

/** seen = printed + everything else, each with its reason. */
export function summaryText({ seen, reported, lost }: TraceSummary, printed: number): string {
  const rest = Object.entries({ 'past --count': reported - printed, ...lost }).filter(([, count]) => count > 0);
  const others =
    rest.length === 0 ? 'none lost' : `not printed: ${rest.map(([reason, count]) => `${count} ${reason}`).join(', ')}`;
  return `${seen} calls seen, ${printed} printed, ${others}\n`;
}

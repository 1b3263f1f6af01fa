/** hotspan export: a profile or spans from the store of the running agent, to a file or standard output. */

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';
import type { SpansResult } from '../server/api.ts';
import { HttpError } from '../server/http-error.ts';
import { parseTime } from '../server/parameters.ts';
import { AgentClient, clientFlags } from './client.ts';
import { type Command, CommandError, exitDone, UsageError } from './command.ts';
import { configFlags, configFromFlags } from './config-flags.ts';
import { parseCommandLine } from './flags.ts';
import { otlpSpanLine } from './otlp-span.ts';
import { progressLine } from './terminal.ts';

const flags = {
  from: {
    kind: 'text',
    placeholder: 'TIME',
    default: 'now-15m',
    help: 'start: now-15m, Unix milliseconds or 2026-01-31T12:00:00Z',
  },
  to: { kind: 'text', placeholder: 'TIME', default: 'now', help: 'end, not included' },
  service: { kind: 'text', placeholder: 'NAME', help: 'only this service' },
  filter: {
    kind: 'text',
    placeholder: 'TEXT',
    default: '',
    help: 'filter as in the UI, such as \'process="nginx" duration>1ms\'',
  },
  type: { kind: 'text', placeholder: 'TYPE', default: 'cpu', help: 'type of the profile' },
  format: {
    kind: 'text',
    placeholder: 'NAME',
    help: 'profile: pprof, folded, speedscope, otlp or json (pprof); spans: otlp, one span a line',
  },
  out: { kind: 'text', short: 'o', placeholder: 'FILE', default: '-', help: 'file to write, - for standard output' },
  ...configFlags(['listen', 'token', 'tokenFile', 'tlsCert']),
  ...clientFlags,
} as const;

export const command: Command = {
  name: 'export',
  usage: 'profile|spans [FLAGS]',
  about: 'Writes what a running agent has stored.',
  flags,
  examples: [
    ['hotspan export profile --from now-1h -o cpu.pb.gz', 'the last hour for "go tool pprof"'],
    ['hotspan export profile --service nginx --format folded', 'folded stacks on standard output'],
    ["hotspan export spans --filter 'duration>10ms' -o slow.jsonl", 'slow spans with OTLP/JSON field names'],
  ],
  run,
};

const profileFormats = ['pprof', 'folded', 'speedscope', 'otlp', 'json'];

async function run(args: readonly string[]): Promise<number> {
  const { flags: given, words } = parseCommandLine(flags, args);
  const [what, extra] = words;
  if (what !== 'profile' && what !== 'spans')
    throw new UsageError(`export takes profile or spans${what === undefined ? '' : `, not "${what}"`}`);
  if (extra !== undefined) throw new UsageError(`export ${what} got a word too many: "${extra}"`);
  const formats = what === 'profile' ? profileFormats : ['otlp'];
  const format = given.format ?? formats[0]!;
  if (!formats.includes(format)) throw new UsageError(`--format of ${what} is ${formats.join(', ')}, not "${format}"`);
  // Quotes cannot be escaped in a filter, and no service has one in its name.
  if (given.service?.includes('"')) throw new UsageError('--service cannot hold a quotation mark');
  const filter = [given.filter, given.service === undefined ? '' : `service="${given.service}"`]
    .filter(part => part !== '')
    .join(' ');

  const client = new AgentClient({
    config: configFromFlags(given, undefined),
    clientCert: given['client-cert'],
    clientKey: given['client-key'],
  });
  // Times are fixed here: "now" would move from page to page.
  const nowMs = Date.now();
  const range = { from: timeOf('from', given.from, nowMs), to: timeOf('to', given.to, nowMs), filter };
  if (what === 'profile') await exportProfile(client, { ...range, type: given.type, format }, given.out);
  else await exportSpans(client, range, given.out);
  return exitDone;
}

function timeOf(name: string, text: string, nowMs: number): string {
  try {
    return String(parseTime(name, text, nowMs));
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    throw new UsageError(`--${name} is "${text}"; ${error.remedy}`);
  }
}

async function exportProfile(client: AgentClient, query: Record<string, string>, path: string): Promise<void> {
  const content = await client.request('GET', `/api/v1/profile?${new URLSearchParams(query)}`);
  if ((query.format === 'pprof' || query.format === 'otlp') && path === '-' && process.stdout.isTTY) {
    throw new UsageError(`${query.format} is not for a terminal; write it to a file with -o FILE, or use --format folded`);
  }
  const output = openOutput(path);
  await output.write(content);
  await output.end();
}

/** Page by page, so that neither side holds them all. */
async function exportSpans(
  client: AgentClient,
  range: { from: string; to: string; filter: string },
  path: string,
): Promise<void> {
  const progress = progressLine();
  let output: Output | undefined;
  let cursor = '';
  let count = 0;
  do {
    const query = new URLSearchParams({ ...range, order: 'start', desc: 'false', limit: '1000', cursor });
    const page = await client.getJson<SpansResult>(`/api/v1/spans?${query}`);
    // Opened after the first answer: a wrong filter must not leave an empty file.
    output ??= openOutput(path);
    await output.write(page.spans.map(span => `${otlpSpanLine(span)}\n`).join(''));
    count += page.spans.length;
    progress.show(`${count} of ${page.isCountExact ? '' : 'more than '}${page.count} spans`);
    cursor = page.next;
  } while (cursor !== '');
  await output.end();
  progress.clear();
}

interface Output {
  write(content: Buffer | string): Promise<void>;
  end(): Promise<void>;
}

/** Waits for a slow reader or disk. Failures are told with the path. */
function openOutput(path: string): Output {
  if (path === '-') return { write: content => writeTo(process.stdout, content), end: () => Promise.resolve() };
  const stream = createWriteStream(path);
  let failure: Error | undefined;
  const failed = once(stream, 'error').then(([error]) => {
    failure = new CommandError(`cannot write ${path}: ${(error as Error).message}; choose another file with -o`, {
      cause: error,
    });
  });
  const check = () => {
    if (failure !== undefined) throw failure;
  };
  return {
    write: async content => {
      await Promise.race([writeTo(stream, content), failed]);
      check();
    },
    end: async () => {
      stream.end();
      await Promise.race([once(stream, 'close'), failed]);
      check();
    },
  };
}

function writeTo(stream: Writable, content: Buffer | string): Promise<void> {
  return new Promise(resolve => {
    // The error event carries the failure; here it only matters that writing is over.
    stream.write(content, () => resolve());
  });
}

/** hotspan sources: lists, starts and stops the sources of the running agent. */

import { parseSetting, ValueError } from '../config/values.ts';
import { didYouMean } from '../lib/suggest.ts';
import { formatSize } from '../lib/units.ts';
import type { SourceState } from '../server/api.ts';
import { AgentClient, clientFlags } from './client.ts';
import { type Command, exitDone, UsageError } from './command.ts';
import { configFlags, configFromFlags } from './config-flags.ts';
import { parseCommandLine } from './flags.ts';
import { table } from './terminal.ts';

const flags = {
  json: { kind: 'switch', help: 'print what the API answers' },
  ...configFlags(['listen', 'token', 'tokenFile', 'tlsCert']),
  ...clientFlags,
} as const;

export const command: Command = {
  name: 'sources',
  usage: '[list | start NAME [KEY=VALUE...] | stop NAME] [FLAGS]',
  about: 'Lists, starts and stops the sources of a running agent. Starting a running source changes its settings.',
  flags,
  examples: [
    ['hotspan sources', 'what runs, how it is attached, what it costs'],
    ['hotspan sources start cpu hz=199', 'start sampling, or change its rate'],
    ['hotspan sources stop file', 'detach and unload it'],
  ],
  run,
};

async function run(args: readonly string[]): Promise<number> {
  const line = parseCommandLine(flags, args);
  const [action = 'list', name, ...settings] = line.words;
  if (!['list', 'start', 'stop'].includes(action)) {
    throw new UsageError(
      `sources cannot ${action}${didYouMean(action, ['list', 'start', 'stop'])}; use list, start NAME or stop NAME`,
    );
  }
  if (action !== 'list' && name === undefined) throw new UsageError(`sources ${action} needs the name of a source, such as cpu`);
  if ((action === 'list' && name !== undefined) || (action === 'stop' && settings.length > 0)) {
    throw new UsageError(`sources ${action} got a word too many: "${action === 'list' ? name : settings[0]}"`);
  }
  const client = new AgentClient({
    config: configFromFlags(line.flags, undefined),
    clientCert: line.flags['client-cert'],
    clientKey: line.flags['client-key'],
  });
  const states = await client.getJson<SourceState[]>('/api/v1/sources');
  if (action === 'list') {
    process.stdout.write(line.flags.json ? `${JSON.stringify(states)}\n` : describe(states));
    return exitDone;
  }
  const state = known(states, name!);
  const body = action === 'start' ? { settings: parseSettings(state, settings) } : {};
  const after = await client.postJson<SourceState>(`/api/v1/sources/${encodeURIComponent(state.name)}/${action}`, body);
  process.stdout.write(line.flags.json ? `${JSON.stringify(after)}\n` : outcome(after));
  return after.state === 'failed' ? 1 : exitDone;
}

function known(states: readonly SourceState[], name: string): SourceState {
  const state = states.find(candidate => candidate.name === name);
  const names = states.map(candidate => candidate.name);
  if (state === undefined)
    throw new UsageError(`there is no source ${name}${didYouMean(name, names)}; the agent has ${names.join(', ')}`);
  return state;
}

/** KEY=VALUE words by the source's own specs, so that "min=1ms" is understood whatever the unit of the setting is. */
function parseSettings(state: SourceState, words: readonly string[]): Record<string, number | string | readonly string[]> {
  const keys = state.settingSpecs.map(spec => spec.key);
  const settings: Record<string, number | string | readonly string[]> = {};
  for (const word of words) {
    const equals = word.indexOf('=');
    const key = word.slice(0, Math.max(0, equals));
    const spec = state.settingSpecs.find(candidate => candidate.key === key);
    if (equals < 1) throw new UsageError(`a setting is KEY=VALUE, not "${word}"; ${state.name} has ${keys.join(', ') || 'none'}`);
    if (spec === undefined) {
      throw new UsageError(`${state.name} has no setting ${key}${didYouMean(key, keys)}; it has ${keys.join(', ') || 'none'}`);
    }
    try {
      settings[key] = parseSetting(spec, word.slice(equals + 1));
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      throw new UsageError(`${key} ${error.message}`);
    }
  }
  return settings;
}

function attachedBy(state: SourceState): string {
  return [...new Set(state.hooks.map(hook => hook.way))].join(', ');
}

function describe(states: readonly SourceState[]): string {
  const rows = states.map(state => [
    state.name,
    state.state,
    String(Math.round(state.hitsPerSecond)),
    String(Math.round(state.nsPerHit)),
    `${(state.cpuShare * 100).toFixed(2)} %`,
    formatSize(state.mapBytes + state.bufferBytes),
    attachedBy(state),
    state.message === '' ? state.title : state.message,
  ]);
  return table(['SOURCE', 'STATE', 'HITS/S', 'NS/HIT', 'CPU', 'MEMORY', 'ATTACHED BY', ''], rows);
}

function outcome(state: SourceState): string {
  const how = attachedBy(state);
  const refused = state.hooks.flatMap(hook =>
    hook.refused.map(({ way, reason }) => `  not by ${way}: ${reason.replace(/\.$/, '')}\n`),
  );
  return `${state.name} is ${state.state}${how === '' ? '' : `, attached by ${how}`}${state.message === '' ? '' : `: ${state.message}`}\n${[...new Set(refused)].join('')}`;
}

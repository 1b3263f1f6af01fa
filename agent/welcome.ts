/** What a person at a terminal reads once the agent runs: where the UI is, what is observed and how, and how to end it. */

import type { SourceState } from './server/api.ts';

export interface WelcomeFacts {
  /** Address of the UI. */
  readonly url: string;
  readonly sources: readonly SourceState[];
  /** Whether a token is asked for there. */
  readonly hasToken: boolean;
  readonly databasePath: string;
}

/** A block of short lines; what a source is refused is told with its cause. */
export function welcome({ url, sources, hasToken, databasePath }: WelcomeFacts): string {
  const width = Math.max(...sources.map(source => source.name.length));
  const lines = sources.map(source => `  ${source.name.padEnd(width)}  ${describe(source)}`);
  const token = hasToken ? ' (asks for the token)' : '';
  return `\nhotspan is running: ${url}${token}\n\n${lines.join('\n')}\n\n  Stored in ${databasePath}. Ctrl-C stores what is in flight, detaches and ends.\n\n`;
}

function describe(source: SourceState): string {
  if (source.state === 'failed') return `off: ${source.message}`;
  if (source.state === 'stopped')
    return `off until it is started on the Probes page or by "hotspan sources start ${source.name}"`;
  const ways = [...new Set(source.hooks.map(hook => hook.way.replace('_', ' ')))];
  const problems = source.message === '' ? '' : `; ${source.message}`;
  return `${source.title} (by ${ways.join(' and ')})${problems}`;
}

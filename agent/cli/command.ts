/** What a subcommand is, and the two ways in which one ends badly. */

import type { FlagSpecs } from './flags.ts';

/** Exit codes of every command. */
export const exitDone = 0;
export const exitFailed = 1;
export const exitUsage = 2;

/** Wrong use: the message says what and how to do it right. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** An expected failure: one sentence with cause and remedy. Exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

export interface Command {
  readonly name: string;
  /** What follows the name in the usage line. */
  readonly usage: string;
  /** One or two lines. */
  readonly about: string;
  readonly flags: FlagSpecs;
  /** Each a command line and what it does. */
  readonly examples: readonly (readonly [string, string])[];
  /** Gets what follows the name; gives the exit code. */
  run(args: readonly string[]): Promise<number>;
}

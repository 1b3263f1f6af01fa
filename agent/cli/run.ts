/** hotspan run: the agent and its UI, until a signal ends it. */

import { accessSync, constants } from 'node:fs';
import { makeFolders } from '../lib/make-folders.ts';
import { type Command, CommandError, UsageError } from './command.ts';
import { configFlags, configFromFlags } from './config-flags.ts';
import type { RunAgent } from './contracts.ts';
import { parseCommandLine } from './flags.ts';
import { requireNode, requirePrivileges } from './privileges.ts';

const flags = configFlags();

export const command: Command = {
  name: 'run',
  usage: '[FLAGS]',
  about:
    'Starts the agent and serves its UI until Ctrl-C or SIGTERM. SIGHUP reads the configuration file again.\nEvery flag is also a key of the file and a variable: --retention-age is retention.age and HOTSPAN_RETENTION_AGE.',
  flags,
  examples: [
    ['sudo hotspan run', 'observe this host; the UI is at http://127.0.0.1:7575'],
    ['sudo hotspan run --otlp-endpoint http://localhost:4318', 'also send spans and metrics to a collector'],
    ['sudo hotspan run --set sources.cpu.enabled=false', 'without CPU profiles'],
  ],
  run,
};

async function run(args: readonly string[]): Promise<number> {
  const line = parseCommandLine(flags, args);
  if (line.words.length > 0) throw new UsageError(`run takes no word, but got "${line.words[0]}"; see "hotspan run --help"`);
  requireNode();
  const { kits } = await import('../sources/index.ts');
  const config = configFromFlags(line.flags, Object.values(kits));
  requirePrivileges();
  requireDataDir(config.dataDir);
  const { runAgent }: { runAgent: RunAgent } = await import('../main.ts');
  return runAgent(config);
}

/** Makes the folder, readable by its owner alone: command lines and file names of everybody's processes will be in it. */
function requireDataDir(path: string): void {
  try {
    makeFolders(path, 0o700);
    accessSync(path, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    const reasons: Record<string, string> = {
      EACCES: 'this user may not write there',
      EROFS: 'its file system is read-only',
      ENOSPC: 'the disk is full',
      EEXIST: 'it is a file',
      ENOENT: 'no folder can be made there',
      ENOTDIR: 'a part of the path is a file',
    };
    throw new CommandError(
      `cannot use the data directory ${path} (${code}): ${reasons[code] ?? (cause as Error).message}; choose another with --data-dir`,
      { cause },
    );
  }
}

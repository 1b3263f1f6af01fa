/** Notices changes of the configuration file. */

import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Config } from './config.ts';

/** Editors write in several steps; what follows within 100 ms is the same change. */
const settleMs = 100;

/**
 * Calls back once the file has changed and come to rest. The folder is watched, not the file: editors and Kubernetes put a new
 * file in the old one's place. Without a file nothing is watched. `onFailure` hears why the watch ended; SIGHUP still reloads then.
 */
export function watchConfigFile(config: Config, onChange: () => void, onFailure?: (error: Error) => void): { close(): void } {
  if (config.file === '') return { close: () => {} };
  const name = basename(config.file);
  let timer: NodeJS.Timeout | undefined;
  const watcher = tryWatch(dirname(config.file), onFailure, changed => {
    // A mounted Kubernetes volume changes its file by moving the link "..data" beside it.
    if (changed !== name && changed !== '..data') return;
    clearTimeout(timer);
    timer = setTimeout(onChange, settleMs);
  });
  watcher?.on('error', error => onFailure?.(error));
  return {
    close: () => {
      clearTimeout(timer);
      watcher?.close();
    },
  };
}

/** A host may be out of watches (ENOSPC, EMFILE): that is told, and no reason not to run. */
function tryWatch(
  folder: string,
  onFailure: ((error: Error) => void) | undefined,
  onEvent: (changed: string | null) => void,
): FSWatcher | undefined {
  try {
    return watch(folder, { persistent: false }, (_event, changed) => onEvent(changed));
  } catch (error) {
    onFailure?.(error as Error);
    return undefined;
  }
}

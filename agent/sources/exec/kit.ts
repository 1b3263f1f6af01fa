/** How source exec is started: hooks first, then /proc, so that no process falls between the two. */

import { statSync } from 'node:fs';
import type { NativeSymbolizer } from '../../bpf/native.ts';
import { GenerationMap } from '../../lib/generation-map.ts';
import { startSource } from '../runtime.ts';
import type { SourceKit } from '../source.ts';
import { type BuildIdReader, ExecSource, type ExecutableOf, execHooks } from './exec.ts';
import { scanProcesses } from './proc-scan.ts';

/** 256 KiB per CPU: image records have 200 to 1,600 bytes, so a burst of several hundred forks within one drain fits. */
const pagesPerCpu = 64;

/** Distinct executables whose build id is kept. */
const maxBuildIds = 4096;

export const execKit: SourceKit<'exec'> = {
  name: 'exec',
  title: 'Processes: fork, exec and exit, with command line, executable and container',
  isDefault: true,
  settings: [],
  hooks: execHooks,
  start(host, settings) {
    const source = new ExecSource(cachedBuildIds(host.symbolizer));
    return startSource(
      host,
      {
        source,
        settingSpecs: [],
        pagesPerCpu,
        isOneRunPerEvent: true,
        announce: sink => source.addScanned(scanProcesses('/proc'), sink),
      },
      settings,
    );
  },
};

/**
 * One read per file, from the process while it lives, else by its path. What can be read from neither is tried again with the
 * file's next process.
 */
export function cachedBuildIds(symbolizer: Pick<NativeSymbolizer, 'executableBuildId' | 'fileBuildId'>): BuildIdReader {
  const known = new GenerationMap<string, string>(maxBuildIds);
  return of => {
    if (of.fileKey === '') return '';
    const cached = known.get(of.fileKey);
    if (cached !== undefined) return cached;
    const inode = of.fileKey.slice(of.fileKey.indexOf(':') + 1);
    const path = pathsOf(of).find(candidate => inodeAt(candidate) === inode);
    if (path === undefined) return symbolizer.executableBuildId(of.pid);
    const buildId = symbolizer.fileBuildId(path);
    known.set(of.fileKey, buildId);
    return buildId;
  };
}

/** Where the executable's file may be had. A child of a container's process mostly has its parent's root. */
function pathsOf({ pid, parentPid, executable }: ExecutableOf): string[] {
  return [`/proc/${pid}/exe`, `/proc/${parentPid}/root${executable}`, executable];
}

/**
 * Inode of the file at a path; '' where it cannot be had. Path and inode together identify a file well enough; the device would say
 * less, because on stacked file systems (containers) stat() tells another than the kernel has.
 */
function inodeAt(path: string): string {
  try {
    return String(statSync(path, { bigint: true }).ino);
  } catch {
    // Whatever the reason (the process has gone, another root, a cut path): the file is not there for us.
    return '';
  }
}

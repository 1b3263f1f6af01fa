/** How source exec is started: hooks first, then /proc, so that no process falls between the two. */

import type { NativeSymbolizer } from '../../bpf/native.ts';
import { GenerationMap } from '../../lib/generation-map.ts';
import { startSource } from '../runtime.ts';
import type { SourceKit } from '../source.ts';
import { type BuildIds, ExecSource, execHooks } from './exec.ts';
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

/** One read per file. What cannot be read any more, because process and file have gone, is tried again with the file's next process. */
export function cachedBuildIds(symbolizer: Pick<NativeSymbolizer, 'executableBuildId' | 'imageBuildId'>): BuildIds {
  const known = new GenerationMap<string, string>(maxBuildIds);
  return {
    ofProcess: pid => symbolizer.executableBuildId(pid),
    ofImage: ({ pid, parentPid, executable, device, inode }) => {
      // The kernel's own device and inode: no file system is asked, which one in user space could leave waiting.
      const key = `${device}:${inode}`;
      const cached = known.get(key);
      if (cached !== undefined) return cached;
      const buildId = symbolizer.imageBuildId(pid, parentPid, executable, inode);
      if (buildId !== undefined) known.set(key, buildId);
      return buildId ?? '';
    },
  };
}

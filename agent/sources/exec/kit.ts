/** How source exec is started: hooks first, then /proc, so that no process falls between the two. */

import { existsSync } from 'node:fs';
import type { NativeSymbolizer } from '../../bpf/native.ts';
import { GenerationMap } from '../../lib/generation-map.ts';
import { startSource } from '../runtime.ts';
import type { SourceKit } from '../source.ts';
import { type BuildIdReader, ExecSource } from './exec.ts';
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
  start(host, settings) {
    const source = new ExecSource(cachedBuildIds(host.symbolizer));
    return startSource(
      host,
      { source, settingSpecs: [], pagesPerCpu, announce: sink => source.addScanned(scanProcesses('/proc'), sink) },
      settings,
    );
  },
};

/** One read per file. What could not be read because the process has gone is tried again with the file's next process. */
export function cachedBuildIds(symbolizer: Pick<NativeSymbolizer, 'executableBuildId'>): BuildIdReader {
  const known = new GenerationMap<string, string>(maxBuildIds);
  return (pid, fileKey) => {
    const cached = known.get(fileKey);
    if (cached !== undefined) return cached;
    const buildId = symbolizer.executableBuildId(pid);
    if (buildId !== '' || existsSync(`/proc/${pid}`)) known.set(fileKey, buildId);
    return buildId;
  };
}

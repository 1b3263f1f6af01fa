/** `hotspan record`: a profile of some seconds, without a server. The same pipeline as the agent's, on a store of its own that is thrown away. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadAddon } from './bpf/addon.ts';
import { BpfError } from './bpf/errors.ts';
import type { RecordEvent, RecordOptions, RecordProgress } from './cli/contracts.ts';
import type { SourceName } from './events/index.ts';
import { objectDir } from './paths.ts';
import { Pipeline } from './pipeline.ts';
import { kits } from './sources/index.ts';
import type { SourceSettings } from './sources/source.ts';
import type { FullProfile } from './store/full-profile.ts';
import { openStoreReader } from './store/reader.ts';
import { openStoreWriter } from './store/writer.ts';

const progressMs = 250;

/** What has to run for a profile type. */
const sourcesOf: Readonly<Record<RecordEvent, readonly SourceName[]>> = {
  cpu: ['cpu'],
  wall: ['cpu', 'sched'],
  offcpu: ['sched'],
  runq: ['sched'],
  wakeup: ['sched'],
  faults: ['fault'],
  'rss-growth': ['fault'],
  'rss-released': ['fault'],
  mapped: ['mem'],
  unmapped: ['mem'],
  'go-heap': ['mem'],
  block: ['block'],
  lock: ['lock'],
  lockhold: ['lock'],
};

/** A source that can watch one process alone is told which. */
function settingsOf(source: SourceName, { frequencyHz, pid }: RecordOptions): SourceSettings {
  if (source === 'cpu') return { hz: frequencyHz };
  return kits[source].settings.some(({ key }) => key === 'pid') ? { pid: pid ?? 0 } : {};
}

/** For the unwind tables of what runs already: some tenths of a second on most hosts, seconds on one that has no time. A stack whose table comes later waits for it. */
const maxPreparationMs = 10_000;

/** Records until the duration is over or the signal is aborted. Throws a BpfError where sampling cannot be attached. */
export async function recordProfile(
  options: RecordOptions,
  onProgress: (progress: RecordProgress) => void,
): Promise<FullProfile> {
  const folder = mkdtempSync(join(tmpdir(), 'hotspan-record-'));
  try {
    const path = join(folder, 'record.db');
    const range = await capture(path, options, onProgress);
    const reader = openStoreReader(path);
    try {
      return reader.fullProfile({ ...range, type: options.event, filter: filterOf(options), minShare: 0 });
    } finally {
      reader.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function capture(
  path: string,
  options: RecordOptions,
  onProgress: (progress: RecordProgress) => void,
): Promise<{ fromMs: number; toMs: number }> {
  const warnings: string[] = [];
  const pipeline = new Pipeline({
    native: loadAddon(),
    store: openStoreWriter({ path }),
    objectDir,
    ownPid: process.pid,
    hasJvmPerfMaps: false,
    budget: 0,
    warn: message => warnings.push(message),
  });
  try {
    // Processes first: a sample's owner is then known when the sample comes.
    await startProcesses(pipeline, warnings);
    await pipeline.capture.unwinding.ready(maxPreparationMs);
    const sources = sourcesOf[options.event];
    for (const source of sources) {
      await pipeline.startSource(source, settingsOf(source, options));
    }
    pipeline.begin();
    const fromMs = Date.now();
    await elapse(options, elapsedMs => onProgress({ elapsedMs, ...counts(pipeline, sources) }));
    for (const source of sources) await pipeline.stopSource(source);
    return { fromMs: fromMs - 1000, toMs: Date.now() + 1000 };
  } finally {
    await pipeline.close();
    for (const warning of warnings) process.stderr.write(`hotspan: ${warning}\n`);
  }
}

/** Without source exec a process is looked up in /proc at its first sample, which is too late only for the shortest. */
async function startProcesses(pipeline: Pipeline, warnings: string[]): Promise<void> {
  try {
    await pipeline.startSource('exec', {});
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    warnings.push(`short processes may be known by their command's name alone: ${error.message}`);
  }
}

function counts(pipeline: Pipeline, sources: readonly SourceName[]): { samples: number; lost: number } {
  const samples = sources.reduce((sum, source) => sum + (pipeline.capture.books.get(source)?.stored ?? 0), 0);
  return { samples, lost: pipeline.status().lost };
}

function filterOf({ pid, comm }: RecordOptions): string {
  if (pid !== undefined) return `pid=${pid}`;
  return comm === undefined ? '' : `process=${JSON.stringify(comm)}`;
}

/** Resolves when the time is over or the signal comes; ticks about four times a second. */
function elapse({ durationMs, signal }: RecordOptions, onTick: (elapsedMs: number) => void): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise(resolve => {
    const startMs = performance.now();
    const timer = setInterval(() => onTick(performance.now() - startMs), progressMs);
    const end = setTimeout(finish, durationMs);
    signal.addEventListener('abort', finish, { once: true });
    function finish(): void {
      clearInterval(timer);
      clearTimeout(end);
      resolve();
    }
  });
}

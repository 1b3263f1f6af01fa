/** Entry of the pipeline worker: opens the store for writing and the addon, runs the pipeline, answers the main thread. */

import { parentPort, workerData } from 'node:worker_threads';
import { loadAddon } from './bpf/addon.ts';
import { fetchDebugFiles } from './debuginfod.ts';
import type { SourceName } from './events/index.ts';
import { serve } from './lib/rpc.ts';
import { Pipeline } from './pipeline.ts';
import type { PipelineApi, PipelineNotice, PipelineWorkerData } from './pipeline-protocol.ts';
import { kits } from './sources/index.ts';
import { openStoreWriter } from './store/writer.ts';

/** Completions shown at once. */
const maxCompletions = 50;

function start(data: PipelineWorkerData): PipelineApi {
  const warn = (message: string) => {
    const notice: PipelineNotice = { notice: 'warning', message };
    parentPort?.postMessage(notice);
  };
  const { databasePath, retention, maxPendingBytes } = data;
  const store = openStoreWriter({ path: databasePath, retention, maxPendingBytes, warn });
  const native = loadAddon();
  const { objectDir, ownPid, hasJvmPerfMaps, unwind, budget } = data;
  const base = { native, store, objectDir, ownPid, hasJvmPerfMaps, unwind, budget, warn };
  const pipeline = new Pipeline(data.bufferPages === undefined ? base : { ...base, bufferPages: data.bufferPages });
  pipeline.begin();
  const { debuginfod } = data;
  const fetching = debuginfod === undefined ? undefined : fetchDebugFiles(pipeline.capture.symbolizer, { ...debuginfod, warn });
  return {
    startSource: async (name, settings) => {
      await pipeline.startSource(known(name), settings);
      return pipeline.sourceState(known(name));
    },
    stopSource: async name => {
      await pipeline.stopSource(known(name));
      return pipeline.sourceState(known(name));
    },
    updateSource: async (name, settings) => {
      await pipeline.updateSource(known(name), settings);
      return pipeline.sourceState(known(name));
    },
    sources: () => pipeline.sourceStates(),
    status: () => pipeline.status(),
    totals: () => pipeline.totals(),
    completeTargets: text => completeTargets(pipeline, text),
    sync: () => pipeline.sync(),
    releaseMemory: () => {
      globalThis.gc?.();
      native.releaseMemory();
    },
    setBudget: share => pipeline.setBudget(share),
    setRetention: limits => store.setRetention(limits),
    close: async () => {
      await fetching?.stop();
      await pipeline.close();
    },
  };
}

function known(name: string): SourceName {
  if (name in kits) return name as SourceName;
  throw new RangeError(`there is no source "${name}"; the sources are ${Object.keys(kits).join(', ')}`);
}

function completeTargets(pipeline: Pipeline, text: string): { target: string; what: string }[] {
  const user = /^uprobe:(.*):([^:]*)$/.exec(text);
  if (user !== null) {
    const [, path = '', pattern = ''] = user;
    const symbols = pipeline.capture.symbolizer.findSymbols(path, `${pattern}*`, maxCompletions);
    return symbols.map(symbol => ({ target: `uprobe:${path}:${symbol.name}`, what: `function of ${path}` }));
  }
  const pattern = text.startsWith('kernel:') ? text.slice('kernel:'.length) : text;
  const found = pipeline.capture.symbolizer.findKernelFunctions(pattern.includes('*') ? pattern : `${pattern}*`, maxCompletions);
  return found.map(symbol => ({ target: `kernel:${symbol.name}`, what: 'kernel function' }));
}

if (parentPort !== null) serve(parentPort, start(workerData as PipelineWorkerData));

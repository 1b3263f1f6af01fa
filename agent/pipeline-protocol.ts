/** What the main thread and the pipeline worker say to each other. */

import type { PipelineStatus, PipelineTotals } from './pipeline.ts';
import type { SourceState, TargetCompletion } from './server/api.ts';
import type { SourceSettings } from './sources/source.ts';
import type { UnwindOptions } from './unwinding.ts';

export interface PipelineWorkerData {
  readonly databasePath: string;
  readonly objectDir: string;
  readonly ownPid: number;
  readonly bufferPages?: number;
  readonly hasJvmPerfMaps: boolean;
  readonly unwind: UnwindOptions;
  /** Share of the host's CPU that the agent may use, 0-1; 0: no limit. */
  readonly budget: number;
  /** Memory for spans that wait while the store cannot be written. */
  readonly maxPendingBytes: number;
  readonly retention: { readonly maxBytes: number; readonly maxAgeMs: number };
  /** Servers to fetch debug information from, and where it is kept. */
  readonly debuginfod?: { readonly urls: readonly string[]; readonly cacheDir: string };
}

/** Methods of the worker, as served over rpc. */
export interface PipelineApi {
  startSource(name: string, settings: SourceSettings): Promise<SourceState>;
  stopSource(name: string): Promise<SourceState>;
  updateSource(name: string, settings: SourceSettings): Promise<SourceState>;
  sources(): SourceState[];
  status(): PipelineStatus;
  /** Counters for the metrics export. */
  totals(): PipelineTotals;
  completeTargets(text: string): TargetCompletion[];
  sync(): Promise<void>;
  /** Gives back what only the start needed. */
  releaseMemory(): void;
  setBudget(share: number): void;
  setRetention(limits: PipelineWorkerData['retention']): void;
  close(): Promise<void>;
}

/** Sent by the worker unasked. */
export interface PipelineNotice {
  readonly notice: 'warning';
  readonly message: string;
}

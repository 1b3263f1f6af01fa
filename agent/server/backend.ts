/** What the server asks of the rest of the agent. main.ts puts the pipeline, the query worker and the exporters behind it. */

import type { SpansQuery, StoreReader, TimeRange } from '../store/rows.ts';
import type { DoctorReport, SourceState, StatusResponse, TargetCompletion } from './api.ts';

/** Queries of the store that the server hands on; `close` is not the server's to call. */
export type QueryMethod = Exclude<keyof StoreReader, 'close'>;

/** The query worker: results arrive as JSON bytes and are sent on as they are. */
export interface QuerySource {
  /** JSON of what the reader's method returns; "null" where it returns undefined. */
  json<M extends QueryMethod>(method: M, args: Parameters<StoreReader[M]>): Promise<Buffer>;
}

export type ProfileFormat = 'pprof' | 'folded' | 'speedscope' | 'otlp';

export type SettingValues = Record<string, number | string | string[]>;

/**
 * Errors: a RangeError or SyntaxError is the caller's mistake (400); an error with a text field `remedy` tells it; a BpfError
 * means that the kernel refused (409); all else is a fault of the agent (500).
 */
export interface Backend {
  status(): Promise<StatusResponse>;
  sources(): Promise<SourceState[]>;
  /** Resolves when the source runs. Starting a running one applies the settings. */
  startSource(name: string, settings: SettingValues): Promise<SourceState>;
  stopSource(name: string): Promise<SourceState>;
  setSettings(name: string, settings: SettingValues): Promise<SourceState>;
  completeTargets(text: string): Promise<TargetCompletion[]>;
  doctor(): Promise<DoctorReport>;
  /** Prometheus text exposition format, version 0.0.4. */
  metricsText(): Promise<string>;
  /** The file of a profile; pprof is gzipped. */
  profileFile(format: ProfileFormat, query: Parameters<StoreReader['profile']>[0]): Promise<Buffer>;
  readonly query: QuerySource;
  /** Grows with every commit of the store. */
  storeVersion(): number;
}

export type { SpansQuery, TimeRange };

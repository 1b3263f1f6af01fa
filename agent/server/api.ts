/**
 * The HTTP contract with the UI and with scripts: /api/v1. Query results come from the store as they are. Times in requests:
 * `from` and `to` are Unix milliseconds or `now`, `now-15m` (s, m, h, d); default the last 15 minutes.
 *
 * GET  /api/v1/status                 StatusResponse
 * GET  /api/v1/sources                SourceState[]
 * POST /api/v1/sources/NAME/start     body: {settings?}            -> SourceState
 * POST /api/v1/sources/NAME/stop                                   -> SourceState
 * POST /api/v1/sources/NAME/settings  body: {settings}             -> SourceState (applied without a restart)
 * GET  /api/v1/probes/complete?target=kernel:vfs_*                 -> TargetCompletion[]
 * GET  /api/v1/series?name&from&to&filter&groupBy&points           -> SeriesResult
 * GET  /api/v1/profile?type&from&to&filter&minShare&without&format -> ProfileResult (json) | pprof | folded | speedscope | otlp
 * GET  /api/v1/threads?from&to&filter&points&limit&order          -> ThreadsResult
 * GET  /api/v1/spans?from&to&filter&order&desc&limit&cursor        -> SpansResult
 * GET  /api/v1/spans/heatmap?from&to&filter&columns&rows           -> HeatmapResult
 * GET  /api/v1/traces/ID                                           -> TraceResult
 * GET  /api/v1/services?from&to&filter                             -> ServiceRow[]
 * GET  /api/v1/processes?from&to&filter                            -> ProcessSummary[]
 * GET  /api/v1/values?key&prefix&from&to                           -> string[]
 * GET  /api/v1/operations?from&to                                  -> OperationRow[]
 * GET  /api/v1/distribution?source&prefix&operation&from&to&columns -> DistributionResult
 * GET  /api/v1/ledger?from&to                                      -> LedgerResult
 * GET  /api/v1/doctor                                              -> DoctorReport
 * GET  /api/v1/openapi.json
 * WS   /api/v1/live                                                -> LiveMessage, one a second
 * GET  /metrics, /healthz, /readyz
 * An error is {error: {message, remedy}} with a 4xx or 5xx status.
 */

export type {
  AttributeValue,
  DistributionResult,
  FrameKind,
  HeatmapResult,
  LedgerResult,
  OperationRow,
  ProcessSummary,
  ProfileResult,
  SeriesResult,
  ServiceRow,
  SpanDetail,
  SpanSummary,
  SpansResult,
  ThreadsResult,
  ThreadTimeline,
  TimeKind,
  TraceResult,
} from '../store/rows.ts';

export interface ApiError {
  error: { message: string; remedy: string };
}

/** The agent's own cost and loss: the right end of the top bar and the Agent page. */
export interface StatusResponse {
  version: string;
  host: string;
  kernel: string;
  startedMs: number;
  nowMs: number;
  cpus: number;
  /** Share of the whole host's CPU (0-1) over the last 10 s, BPF programs included; by part in percent of one core. */
  cpuShare: number;
  cpuByPart: { part: string; percentOfCore: number }[];
  rssBytes: number;
  /** Kernel memory: BPF maps and perf buffers. */
  mapBytes: number;
  bufferBytes: number;
  memoryByPart: { part: string; bytes: number }[];
  /** Events lost since the start, all sources. */
  lost: number;
  store: {
    path: string;
    bytes: number;
    limitBytes: number;
    oldestMs: number;
    growthBytesPerHour: number;
    state: 'ok' | 'read-only' | 'full';
    message: string;
  };
  exporters: ExporterState[];
  governor: GovernorState;
}

/** How far the agent holds itself back to keep its budget of CPU. */
export interface GovernorState {
  /** Share of the whole host's CPU (0-1) that it may use; 0: no limit. */
  budgetShare: number;
  /** What the agent is judged by: its programs and threads over the last 10 s, without what answers to queries cost. */
  costShare: number;
  /** Steps in force of all there are; 0: everything is as it was asked for. */
  level: number;
  levels: number;
  /** Unix milliseconds of the last change; 0 where there was none. */
  changedMs: number;
  /** Since the start of the agent. */
  stepsUp: number;
  stepsDown: number;
  secondsHeldBack: number;
  /** Sources that do not run because of it. */
  paused: string[];
  /** Settings in force instead of those that were asked for. */
  limits: { source: string; setting: string; unit: string; asked: number; inForce: number }[];
}

export interface ExporterState {
  name: string;
  endpoint: string;
  state: 'off' | 'ok' | 'retrying' | 'failing';
  queued: number;
  sent: number;
  dropped: number;
  message: string;
}

export interface SettingSpec {
  key: string;
  kind: 'number' | 'duration' | 'text' | 'list';
  unit: string;
  help: string;
  default: number | string | readonly string[];
  min?: number;
  max?: number;
}

export interface SourceState {
  name: string;
  title: string;
  state: 'running' | 'stopped' | 'failed';
  /** Why it failed, or cannot run here; '' otherwise. */
  message: string;
  settings: Record<string, number | string | readonly string[]>;
  settingSpecs: readonly SettingSpec[];
  /** How each hook is attached and why not better. */
  hooks: { observes: string; way: string; refused: { way: string; reason: string }[] }[];
  programs: { name: string; id: number; hitsPerSecond: number; nsPerHit: number; cpuShare: number; memoryBytes: number }[];
  hitsPerSecond: number;
  nsPerHit: number;
  /** Share of the whole host's CPU (0-1). */
  cpuShare: number;
  mapBytes: number;
  bufferBytes: number;
  /** Since the source's start. */
  counts: Record<string, number>;
  startedMs: number;
}

export interface TargetCompletion {
  target: string;
  /** "kernel function", "function of /usr/sbin/nginx" */
  what: string;
}

export interface DoctorFinding {
  /** "kprobes", "BTF", "capabilities" */
  subject: string;
  level: 'ok' | 'info' | 'warning' | 'error';
  message: string;
  /** '' where nothing needs doing. */
  remedy: string;
}

export interface DoctorReport {
  kernel: string;
  findings: DoctorFinding[];
  /** Each source's hooks and the way each would be attached here. */
  sources: { name: string; hooks: { observes: string; way: string; reason: string }[] }[];
}

export interface LiveMessage {
  nowMs: number;
  status: StatusResponse;
  sources: SourceState[];
  /** Grows with every commit of the store: views refetch when it changes. */
  storeVersion: number;
}

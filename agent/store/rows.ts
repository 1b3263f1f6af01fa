/**
 * What the store takes and gives: rows and query results. The store knows nothing of sources or BPF. server/api.ts re-exports
 * the results for the UI.
 */

/** Identity of a process over pid reuse. */
export interface ProcessRow {
  pid: number;
  /** Unix time in ns of the process's start, the other half of its identity. */
  startNs: bigint;
  parentPid: number;
  comm: string;
  executable: string;
  commandLine: string;
  buildId: string;
  cgroupPath: string;
  containerId: string;
  /** service.name: what the process is called in spans and the UI. */
  service: string;
  /** 0n while it lives. */
  exitNs: bigint;
  /** Wait status; -1 while it lives or where not known. */
  exitStatus: number;
}

/** What code a frame is of. */
export type CodeKind = 'kernel' | 'native' | 'go' | 'v8js' | 'jvm' | 'cpython' | 'rust' | 'unresolved';

/** What a part of wall-clock time was spent on: kinds of frames that are no code and stand on top of a stack. */
export type TimeKind = 'on-cpu' | 'runnable' | 'lock' | 'disk' | 'network' | 'idle' | 'page-fault' | 'waiting';

export type FrameKind = CodeKind | TimeKind;

/** The files of stores hold their order: add at the end only. */
export const timeKinds: readonly TimeKind[] = [
  ...(['on-cpu', 'runnable', 'lock', 'disk', 'network', 'idle', 'page-fault', 'waiting'] as const),
];

/** A code location; (module, buildId, address) is its identity. Lines innermost first, at least one. */
export interface FrameRow {
  kind: FrameKind;
  module: string;
  buildId: string;
  address: bigint;
  lines: readonly { name: string; file: string; line: number }[];
  isGuess: boolean;
}

export interface SampleRow {
  profileType: string;
  /** Unix milliseconds. */
  timeMs: number;
  /** Store id from Writer.process. */
  processId: number;
  tid: number;
  threadName: string;
  /** Store id from Writer.stack. */
  stackId: number;
  count: number;
  /** In the profile type's unit (nanoseconds for cpu). */
  value: number;
}

export type AttributeValue = string | number | boolean;

export interface SpanRow {
  /** 16 and 8 bytes. */
  traceId: Buffer;
  spanId: Buffer;
  /** 8 bytes, or undefined for a root. */
  parentSpanId: Buffer | undefined;
  source: string;
  name: string;
  /** Unix nanoseconds of the start. */
  startNs: bigint;
  durationNs: number;
  /** OTLP span kind: 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  kind: number;
  /** error.type, '' for none. */
  error: string;
  processId: number;
  tid: number;
  threadName: string;
  /** Store id, 0 for none. */
  stackId: number;
  attributes: Readonly<Record<string, AttributeValue>>;
}

/** A point of a counter or gauge that the UI draws over time: host CPU, own RSS, span rates. */
export interface MetricRow {
  name: string;
  /** Sorted "key=value" pairs joined by commas; '' for none. */
  labels: string;
  timeMs: number;
  value: number;
}

/** In-kernel sums of one operation over one second. */
export interface OperationRow {
  source: string;
  operation: string;
  timeMs: number;
  calls: number;
  errors: number;
  bytes: number;
  totalNs: number;
  /** Count per power of two of nanoseconds, 40 entries. */
  buckets: readonly number[];
}

/**
 * The one writer, on the pipeline's thread. Everything is kept in memory until flush, which is called at least once a second and
 * commits one transaction. Bounded: what does not fit is dropped and counted (dropped()).
 */
export interface StoreWriter {
  frame(row: FrameRow): number;
  /**
   * Interns a stack; frames are store ids, root first. 0 for an empty stack. An id may be used for an hour after it was given out:
   * who keeps ids longer asks again, so that stacks can be dropped with the samples that used them.
   */
  stack(frames: ArrayLike<number>): number;
  /** Inserts, or updates the row with the same (pid, startNs). */
  process(row: ProcessRow): number;
  /** False when there was no room and it was given up; the ledger has it then. */
  sample(row: SampleRow): boolean;
  span(row: SpanRow): boolean;
  metric(row: MetricRow): void;
  operation(row: OperationRow): void;
  /** Adds to the ledger: what happened to `count` things of a source. Stages: seen, lost:<reason>, dropped:<reason>, stored, exported, ... */
  ledger(source: string, stage: string, count: number, timeMs: number): void;
  /** Commits. Throws a StoreError on a full disk or broken database; nothing in memory is lost by that, flush may be called again. */
  flush(): void;
  /** Deletes by age and size; called about once a minute; works in slices of at most 50 ms. */
  retain(): void;
  /** New limits for retain(). */
  setRetention(limits: { readonly maxBytes: number; readonly maxAgeMs: number }): void;
  /** Rows given up because memory for unflushed rows ran out, by table. */
  dropped(): Readonly<Record<string, number>>;
  sizeBytes(): number;
  /** Unix milliseconds of the oldest row; undefined where there is none. */
  oldestMs(): number | undefined;
  close(): void;
}

/** Half-open [fromMs, toMs), Unix milliseconds. */
export interface TimeRange {
  fromMs: number;
  toMs: number;
}

/**
 * Filter text, the same on every page and in the API: space-separated terms key op "value", op one of = != =~ !~ (regular
 * expression, unanchored), quotes optional where the value has no space. Keys for profiles and spans: service, process (comm of
 * the process), pid, thread, tid, container, executable. Further keys for spans: name, source, error, duration (with > and <, units ns us
 * ms s), trace, and any attribute name. A bare word matches service, process, thread or name as a substring.
 */
export type FilterText = string;

export interface ProfileQuery extends TimeRange {
  type: string;
  filter: FilterText;
  /** Nodes below this share of the total are merged into their parent's "(small)" child. 0 keeps all. */
  minShare: number;
  /** Kinds of time to leave out. */
  without?: readonly string[];
}

/**
 * A merged call tree, columnar: node i has parent[i] (index, -1 for roots; parents come before children), function index fn[i],
 * and own value self[i]; totals are sums over children. Siblings are sorted by function name.
 */
export interface ProfileResult extends TimeRange {
  type: string;
  unit: string;
  /** Sum of values and number of samples, of waits their number. */
  total: number;
  samples: number;
  /** Value of the kinds of time that were to be left out. */
  withheld: number;
  /** Samples whose user stack did not end in a thread's root, by reason. Empty where not known. */
  incomplete: Record<string, number>;
  parent: number[];
  fn: number[];
  self: number[];
  /** Own waits of each node, where there are any: `samples` without those of time on the CPU. */
  waits?: number[];
  functions: { name: string[]; module: string[]; kind: FrameKind[]; file: string[]; line: number[]; isGuess: boolean[] };
  /** Lost in this range, from the ledger. */
  lost: number;
}

export interface SeriesQuery extends TimeRange {
  /** Profile type ('cpu', shown in cores; 'wall' and what `sched` gives, in threads), a metric's name, or 'spans' and 'span.errors' (per second). */
  name: string;
  filter: FilterText;
  /** '' for one line, or a key of the filter to group by; of a profile type also 'kind', what its time went to. At most 20 groups, the rest as "(other)". */
  groupBy: string;
  /** Wanted number of points; the step is rounded up to 1, 5, 10, 30, 60, 300, 3600 s. */
  points: number;
}

export interface SeriesResult extends TimeRange {
  name: string;
  unit: string;
  stepMs: number;
  /** One value per step from fromMs rounded down to the step; null where nothing was measured. Unit per second for sums. */
  groups: { label: string; values: (number | null)[] }[];
}

export interface ThreadsQuery extends TimeRange {
  filter: FilterText;
  /** Wanted number of steps; a step is rounded up to 1, 5, 10, 30, 60, 300, 3600 s or a day. */
  points: number;
  /** Threads at most. */
  limit: number;
  /** What there is most of first: activity, or a kind of time; `process`: by activity, those of a process together. */
  order?: 'active' | 'process' | TimeKind;
}

/** What threads did over time, from the profile type `threads`. */
export interface ThreadsResult extends TimeRange {
  stepMs: number;
  steps: number;
  /** In the order that was asked for. */
  threads: ThreadTimeline[];
  /** Threads that are left out, less active than those. */
  more: number;
}

export interface ThreadTimeline {
  service: string;
  process: string;
  pid: number;
  tid: number;
  thread: string;
  /** Nanoseconds on the CPU, waiting for one, for a disk or for a page. */
  activeNs: number;
  /** Kinds of time that it spent any on, most first: nanoseconds in all, and per step from fromMs on. */
  kinds: { kind: TimeKind; totalNs: number; values: number[] }[];
}

export interface SpanSummary {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  source: string;
  name: string;
  service: string;
  process: string;
  pid: number;
  tid: number;
  thread: string;
  /** Unix milliseconds with fraction; startNs is the exact decimal string. */
  startMs: number;
  startNs: string;
  durationNs: number;
  kind: number;
  error: string;
  attributes: Record<string, AttributeValue>;
}

export interface SpanDetail extends SpanSummary {
  /** Leaf first; empty where no stack was taken. */
  stack: { name: string; module: string; kind: FrameKind; file: string; line: number; isGuess: boolean }[];
}

export interface SpansQuery extends TimeRange {
  filter: FilterText;
  order: 'start' | 'duration';
  isDescending: boolean;
  limit: number;
  /** From the previous page's `next`. */
  cursor: string;
}

export interface SpansResult {
  spans: SpanSummary[];
  /** '' at the end. */
  next: string;
  /** Spans in the range that match, counted up to 1,000,000; isCountExact says whether counting stopped there. */
  count: number;
  isCountExact: boolean;
}

/** Spans by time and latency. counts[y * columns + x]; y-th row: latency in [minNs * ratio^y, minNs * ratio^(y+1)). */
export interface HeatmapResult extends TimeRange {
  columns: number;
  rows: number;
  minNs: number;
  ratio: number;
  counts: number[];
  errors: number[];
}

export interface DistributionQuery extends TimeRange {
  /** Names of sources, separated by commas; '' for all. */
  source: string;
  /** What the names of the operations begin with. */
  prefix: string;
  /** One of them; '' or one that is not there: the one that took the most time. */
  operation: string;
  /** Wanted number of steps of time; a step is rounded up to 1, 5, 10, 30, 60, 300, 3600 s or a day. */
  columns: number;
}

/**
 * How long an operation took, over time, from the histograms that the kernel keeps of all calls: rows are powers of two, errors are
 * not told apart. The last step may reach beyond the range.
 */
export interface DistributionResult extends HeatmapResult {
  /** Whose it is; '' where nothing was counted in the range. */
  source: string;
  operation: string;
  /** All that there are in the range, those that took the most time first. */
  operations: { source: string; operation: string; calls: number; totalNs: number }[];
}

export interface TraceResult {
  traceId: string;
  spans: SpanDetail[];
}

/** One line of the Overview: a service with what it did in the range. */
export interface ServiceRow {
  service: string;
  processes: number;
  /** CPU seconds used in the range, by samples. */
  cpuSeconds: number;
  /** CPU share per step, for the sparkline. */
  cpuSeries: number[];
  /** Threads per step by kind of time, in the same steps; empty where it was not recorded. */
  timeSeries: { kind: TimeKind; values: number[] }[];
  /** All that is stored: calls, and lives of processes. */
  spans: number;
  errors: number;
  /** Spans that are calls. A process that lives for a day says nothing of how fast a service answers. */
  calls: number;
  /** Durations of the calls; 0 where there are none. */
  p50Ns: number;
  p99Ns: number;
}

export interface ProcessSummary {
  pid: number;
  parentPid: number;
  comm: string;
  service: string;
  executable: string;
  commandLine: string;
  buildId: string;
  containerId: string;
  startMs: number;
  /** null while it lives. */
  exitMs: number | null;
  exitStatus: number;
}

/** seen = stored + sum(lost) + inFlight for every source, over the store's life or a range. */
export interface LedgerResult {
  sources: {
    source: string;
    seen: number;
    stored: number;
    inFlight: number;
    lost: { reason: string; count: number; meaning: string }[];
    /** seen - stored - lost - inFlight; not 0 is a defect. */
    unexplained: number;
  }[];
  /** Other counts: export queues, retention. */
  other: { source: string; stage: string; count: number }[];
}

export interface StoreReader {
  profile(query: ProfileQuery): ProfileResult;
  series(query: SeriesQuery): SeriesResult;
  threads(query: ThreadsQuery): ThreadsResult;
  spans(query: SpansQuery): SpansResult;
  heatmap(query: TimeRange & { filter: FilterText; columns: number; rows: number }): HeatmapResult;
  trace(traceId: string): TraceResult | undefined;
  services(range: TimeRange & { filter: FilterText }): ServiceRow[];
  processes(range: TimeRange & { filter: FilterText }): ProcessSummary[];
  ledger(range: TimeRange): LedgerResult;
  /** Values that a filter key has had, most frequent first, at most 100, for completion. Of key '' the keys themselves. */
  values(key: string, prefix: string, range: TimeRange): string[];
  /** One row per operation and step of the range, at most 240 steps; timeMs is where the step begins. */
  operations(range: TimeRange): OperationRow[];
  distribution(query: DistributionQuery): DistributionResult;
  /** Oldest and newest data, row counts and bytes by table. */
  extent(): { oldestMs: number; newestMs: number; bytes: number; tables: Record<string, number> };
  close(): void;
}

/**
 * The pipeline: captured records into rows of the store, the ledger, metrics of the host and of the agent itself. Runs in its own
 * worker thread (pipeline-worker.ts); everything it does for others goes through the methods here.
 */

import { loadavg } from 'node:os';
import type { NativeAddon } from './bpf/native.ts';
import { Capture, type CaptureOutput, type LocationStack } from './capture.ts';
import type { SourceBooks } from './capture-books.ts';
import type { SourceName } from './events/index.ts';
import { Governor } from './governor.ts';
import { HostMeter } from './host-meter.ts';
import { JvmPerfMaps } from './jvm-perf-maps.ts';
import { LedgerWriter } from './ledger-writer.ts';
import { Clock } from './lib/clock.ts';
import { OperationMeter } from './operation-meter.ts';
import { ProcessTable } from './process-table.ts';
import { ProgramMeter } from './program-meter.ts';
import type { GovernorState, SourceState } from './server/api.ts';
import { SourceControl } from './source-control.ts';
import type { Sample, SourceSettings, Span } from './sources/source.ts';
import { SpanIds } from './span-ids.ts';
import { type CapturedFrame, firstObjectId } from './stack-resolver.ts';
import type { OperationRow, SpanRow, StoreWriter } from './store/rows.ts';
import type { UnwindOptions } from './unwinding.ts';

export interface PipelineOptions {
  readonly native: NativeAddon;
  readonly store: StoreWriter;
  readonly objectDir: string;
  readonly ownPid: number;
  readonly bufferPages?: number;
  /** Ask JVMs for names. */
  readonly hasJvmPerfMaps: boolean;
  /** Share of the host's CPU that the agent may use, 0-1; 0: no limit. */
  readonly budget: number;
  /** Time at the start whose cost decides nothing. */
  readonly quietMs?: number;
  readonly unwind?: UnwindOptions;
  readonly warn: (message: string) => void;
}

/** Half a second: a kill -9 loses at most what came since the last commit, and a second is what was promised. */
const flushIntervalMs = 500;
const secondMs = 1000;
const minuteMs = 60_000;
const stackIdsMs = 30 * 60_000;

export class Pipeline {
  readonly capture: Capture;
  private readonly store: StoreWriter;
  private readonly options: PipelineOptions;
  private readonly clock: Clock;
  private readonly processes: ProcessTable;
  private readonly programMeter: ProgramMeter;
  private readonly operationMeter = new OperationMeter();
  private readonly hostMeter = new HostMeter();
  /** Store ids of the symbolizer's locations. */
  private frameIds = new Uint32Array(1 << 14);
  /** And of frames that are called by what was observed. */
  private readonly objectIds = new Map<number, number>();
  /** Recent (location stack -> store's stack id), so that a hot stack is interned once. */
  private readonly stackIds = new Map<string, number>();
  private readonly ids = new SpanIds();
  private readonly sources: SourceControl;
  private readonly governor: Governor;
  private readonly ledger: LedgerWriter;
  /** Handed to the store, which had no room; it has told the ledger itself. */
  private readonly refusedByStore = new Map<SourceName, number>();
  private readonly timers: NodeJS.Timeout[] = [];
  private storeMessage = '';
  private oldestMs: number | undefined;
  private version = 0;

  constructor(options: PipelineOptions) {
    this.options = options;
    this.store = options.store;
    this.ledger = new LedgerWriter(options.store);
    this.clock = new Clock(() => options.native.clockPair());
    this.processes = new ProcessTable(options.store, this.clock);
    const { native, objectDir, ownPid, bufferPages, unwind, warn } = options;
    const jvmPerfMaps = options.hasJvmPerfMaps ? new JvmPerfMaps(warn) : undefined;
    const base = {
      native,
      objectDir,
      ownPid,
      warn,
      output: this.output(),
      jvmPerfMaps,
      ...(unwind === undefined ? {} : { unwind }),
    };
    this.capture = new Capture(bufferPages === undefined ? base : { ...base, bufferPages });
    this.programMeter = new ProgramMeter(this.capture, native);
    void this.programMeter.calibrate();
    const { capture, store, programMeter: meter } = this;
    this.sources = new SourceControl({ capture, meter, counts: (name, books) => this.counts(name, books), warn });
    const { budget, quietMs } = options;
    this.governor = new Governor({ capture, meter, store, sources: this.sources, budget, quietMs });
  }

  /** Starts the timers. Sources are started by startSource. */
  begin(): void {
    this.timers.push(
      setInterval(() => this.flush(), flushIntervalMs),
      setInterval(() => this.everySecond(), secondMs),
      setInterval(() => this.retain(), minuteMs),
      // The store keeps an unused stack for an hour; an id that was remembered longer may be gone.
      setInterval(() => this.stackIds.clear(), stackIdsMs),
    );
  }

  async startSource(name: SourceName, settings: SourceSettings): Promise<void> {
    await this.governor.makeRoomFor(name);
    await this.sources.start(name, settings);
  }

  async stopSource(name: SourceName): Promise<void> {
    await this.sources.stop(name);
    this.flush();
  }

  updateSource(name: SourceName, settings: SourceSettings): Promise<void> {
    return this.sources.update(name, settings);
  }

  sourceStates(): SourceState[] {
    return this.sources.states();
  }

  sourceState(name: SourceName): SourceState {
    return this.sources.state(name);
  }

  setBudget(share: number): void {
    this.governor.setBudget(share);
  }

  private counts(name: SourceName, books: SourceBooks): Record<string, number> {
    const refused = this.refusedByStore.get(name) ?? 0;
    return {
      seen: books.seen(),
      stored: books.stored - refused,
      inFlight: books.inFlight(),
      ...Object.fromEntries(this.lost(name, books)),
    };
  }

  private lost(name: SourceName, books: SourceBooks): Map<string, number> {
    const lost = books.lost();
    const refused = this.refusedByStore.get(name) ?? 0;
    if (refused > 0) lost.set('store_full', refused);
    return lost;
  }

  status(): PipelineStatus {
    let lost = 0;
    for (const [name, books] of this.capture.books) {
      for (const [reason, count] of this.lost(name, books)) if (!wantedByNoOne.has(reason)) lost += count;
    }
    const states = this.sourceStates();
    const cpu = process.threadCpuUsage();
    return {
      version: this.version,
      lost,
      mapBytes: states.reduce((sum, state) => sum + state.mapBytes, this.capture.unwinding.stats()?.mapBytes ?? 0),
      bufferBytes: states.reduce((sum, state) => sum + state.bufferBytes, 0),
      bpfCpuShare: states.reduce((sum, state) => sum + state.cpuShare, 0),
      symbolizerBytes: this.capture.symbolizer.memory().bytes,
      storeBytes: this.store.sizeBytes(),
      storeMessage: this.storeMessage,
      storeOldestMs: this.oldestMs ?? 0,
      threadCpuMicros: cpu.user + cpu.system,
      heapBytes: process.memoryUsage().heapTotal,
      processes: this.processes.size,
      clockSteps: this.clock.steps,
      governor: this.governor.state(),
    };
  }

  /** Counters since the start of the agent, for the metrics export. */
  totals(): PipelineTotals {
    this.capture.readCounters();
    const sources = [...this.capture.books].map(([name, books]) => ({
      source: name,
      seen: books.seen(),
      stored: books.stored - (this.refusedByStore.get(name) ?? 0),
      inFlight: books.inFlight(),
      lost: Object.fromEntries(this.lost(name, books)),
    }));
    return { sources, operations: this.operationMeter.totals() };
  }

  /** Hands what was seen so far to the store and commits it. */
  async sync(): Promise<void> {
    await this.capture.flush();
    this.flush();
  }

  async close(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    await this.sources.settle();
    for (const name of this.capture.runningNames()) await this.capture.stop(name);
    await this.sync();
    this.programMeter.close();
    await this.capture.close();
    this.store.close();
  }

  private output(): CaptureOutput {
    return {
      frame: info => this.frame(info),
      sample: (source, sample, stack) => this.sample(source, sample, stack),
      span: (source, span, stack) => this.span(source, span, stack),
      processStarted: process => this.processes.started(process),
      processExited: exit => this.processes.exited(exit),
    };
  }

  private frame(info: CapturedFrame): void {
    if (info.id >= firstObjectId) {
      this.objectIds.set(info.id, this.store.frame(info));
      return;
    }
    if (info.id >= this.frameIds.length) {
      const grown = new Uint32Array(Math.max(this.frameIds.length * 2, info.id + 1));
      grown.set(this.frameIds);
      this.frameIds = grown;
    }
    this.frameIds[info.id] = this.store.frame(info);
  }

  private stackId(stack: LocationStack): number {
    if (stack.length === 0) return 0;
    const key = Buffer.from(stack.buffer, stack.byteOffset, stack.byteLength).toString('latin1');
    let id = this.stackIds.get(key);
    if (id === undefined) {
      id = this.store.stack(stack.map(id => this.frameIds[id] ?? this.objectIds.get(id) ?? 0));
      if (this.stackIds.size >= maxCachedStacks) this.stackIds.clear();
      this.stackIds.set(key, id);
    }
    return id;
  }

  private sample(source: SourceName, sample: Sample, stack: LocationStack): void {
    const isTaken = this.store.sample({
      profileType: sample.profileType,
      timeMs: this.clock.unixMs(sample.timeNs),
      processId: this.processes.idOf(sample.pid, sample.comm),
      tid: sample.tid,
      threadName: sample.comm,
      stackId: this.stackId(stack),
      count: sample.count ?? 1,
      value: sample.value,
    });
    if (!isTaken) this.refused(source);
  }

  private span(source: SourceName, span: Span, stack: LocationStack): void {
    const { traceId, spanId, parentSpanId, attributes } = this.ids.of(span);
    const row: SpanRow = {
      traceId,
      spanId,
      parentSpanId,
      source,
      name: span.name,
      startNs: this.clock.unixNs(span.startNs),
      durationNs: span.durationNs,
      kind: 1,
      error: span.error,
      processId: this.processes.idOf(span.pid, span.comm),
      tid: span.tid,
      threadName: span.comm,
      stackId: this.stackId(stack),
      attributes,
    };
    if (!this.store.span(row)) this.refused(source);
  }

  private refused(source: SourceName): void {
    this.refusedByStore.set(source, (this.refusedByStore.get(source) ?? 0) + 1);
  }

  private flush(): void {
    this.guarded(() => {
      this.capture.readCounters();
      this.ledger.write(this.capture.books, Date.now());
      this.store.flush();
      this.oldestMs ??= this.store.oldestMs();
      this.version += 1;
      if (this.storeMessage !== '') this.storeRecovered();
    });
  }

  private storeRecovered(): void {
    this.storeMessage = '';
    const givenUp = [...this.refusedByStore.values()].reduce((sum, count) => sum + count, 0);
    const losses = givenUp === 0 ? 'nothing was lost' : `${givenUp} samples and spans were given up since the start`;
    this.options.warn(`the store can be written again; ${losses}`);
  }

  private retain(): void {
    this.guarded(() => {
      this.store.retain();
      this.oldestMs = this.store.oldestMs();
    });
  }

  /** A store that cannot write keeps its rows and is tried again; the agent goes on, and says once what hinders it. */
  private guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== this.storeMessage) this.options.warn(message);
      this.storeMessage = message;
    }
  }

  private everySecond(): void {
    const nowMs = Date.now();
    this.clock.follow();
    this.capture.expire(this.clock.nowNs());
    this.processes.expire(nowMs);
    this.programMeter.tick();
    this.governor.everySecond(nowMs);
    for (const name of this.capture.runningNames()) {
      const sums = this.capture.running(name)?.running.sums() ?? [];
      for (const row of this.operationMeter.take(name, sums, nowMs)) this.store.operation(row);
    }
    for (const row of this.hostMeter.take(nowMs, loadavg()[0] ?? 0)) this.store.metric(row);
  }
}

/** What the pipeline tells of itself, for the status of the whole agent. */
export interface PipelineStatus {
  /** Grows with each commit. */
  version: number;
  lost: number;
  mapBytes: number;
  bufferBytes: number;
  bpfCpuShare: number;
  symbolizerBytes: number;
  storeBytes: number;
  /** Why the store does not take rows now; '' when it does. */
  storeMessage: string;
  /** Unix milliseconds of the oldest row, at most a minute old; 0 where there is none. */
  storeOldestMs: number;
  /** CPU time of the pipeline's thread since its start, and its JavaScript heap. */
  threadCpuMicros: number;
  heapBytes: number;
  processes: number;
  clockSteps: number;
  governor: GovernorState;
}

/** Counters since the start of the agent. */
export interface PipelineTotals {
  sources: { source: string; seen: number; stored: number; inFlight: number; lost: Record<string, number> }[];
  /** Per operation, over restarts of its source. */
  operations: Omit<OperationRow, 'timeMs'>[];
}

const maxCachedStacks = 50_000;

/** Not losses in a person's sense: nobody asked for them, and they are in the counts and histograms. */
export const wantedByNoOne: ReadonlySet<string> = new Set(['filtered', 'below_min', 'no_entry']);

/**
 * From kernel to resolved records: owns the addon's reader and symbolizer and the running sources, decodes their records, has them
 * assembled, and hands on samples and spans once every frame of their stacks has a name. `run` puts the pipeline behind it;
 * `record` and `trace` put their own output behind it.
 */

import type { KernelFeatures, NativeAddon, NativePerfReader, NativeSymbolizer, PerfBatch } from './bpf/native.ts';
import { SourceBooks } from './capture-books.ts';
import { decoders, type SourceName } from './events/index.ts';
import type { JvmPerfMaps } from './jvm-perf-maps.ts';
import { kits } from './sources/index.ts';
import type {
  ProcessExit,
  ProcessStart,
  RunningSource,
  Sample,
  Sink,
  SourceHost,
  SourceKit,
  SourceSettings,
  Span,
  StackBytes,
} from './sources/source.ts';
import { type CapturedFrame, StackResolver } from './stack-resolver.ts';
import { defaultUnwindBytes, incompleteReason, Unwinding, type UnwindOptions } from './unwinding.ts';

/** A stack as the symbolizer's location ids, root first: user frames, then kernel frames. Empty where none was taken. */
export type LocationStack = Uint32Array;

/** Where captured things go. Called on the capture's thread; must not throw. */
export interface CaptureOutput {
  /** A location, before the first stack that holds it. Called again when a better name was found. */
  frame(info: CapturedFrame): void;
  sample(source: SourceName, sample: Sample, stack: LocationStack): void;
  span(source: SourceName, span: Span, stack: LocationStack): void;
  processStarted(process: ProcessStart): void;
  processExited(exit: ProcessExit): void;
}

export interface CaptureOptions {
  readonly native: NativeAddon;
  readonly objectDir: string;
  readonly output: CaptureOutput;
  /** Overrides each source's own pages per CPU. */
  readonly bufferPages?: number;
  /** Processes to leave out of file and function spans: the agent itself. */
  readonly ownPid: number;
  readonly symbolCacheBytes?: number;
  /** Where JVMs may be asked for names. */
  readonly jvmPerfMaps?: JvmPerfMaps | undefined;
  readonly unwind?: UnwindOptions;
  /** Told what does not work here while the rest does. */
  readonly warn?: (message: string) => void;
}

/** 10 ms between drains: 100 wake-ups a second, and nothing waits longer than a person can see. */
const drainIntervalMs = 10;

interface Started {
  readonly kit: SourceKit;
  readonly running: RunningSource;
  readonly sink: Sink;
  /** For what is of no record, but of sums made in the kernel. */
  readonly collectedSink: Sink;
  readonly index: number;
  readonly startedMs: number;
}

export class Capture {
  readonly features: KernelFeatures;
  readonly symbolizer: NativeSymbolizer;
  readonly reader: NativePerfReader;
  readonly unwinding: Unwinding;
  /** Per source and since its first start: what was received and what became of it. */
  readonly books = new Map<SourceName, SourceBooks>();
  private readonly options: CaptureOptions;
  private readonly resolver: StackResolver;
  private readonly started = new Map<SourceName, Started>();
  private readonly byIndex: (Started | undefined)[] = [];
  /** Serialises starts and stops of one source: a second click waits for the first. */
  private readonly turns = new Map<SourceName, Promise<unknown>>();

  constructor(options: CaptureOptions) {
    this.options = options;
    this.features = options.native.probeFeatures();
    this.symbolizer = options.native.createSymbolizer({ maxBytes: options.symbolCacheBytes ?? 48 << 20 });
    this.resolver = new StackResolver(this.symbolizer, {
      frame: info => {
        options.jvmPerfMaps?.frame(info);
        options.output.frame(info);
      },
    });
    this.unwinding = new Unwinding(
      options.native,
      options.unwind ?? { maxBytes: defaultUnwindBytes, cacheDir: '' },
      options.warn ?? (() => {}),
    );
    this.reader = options.native.createPerfReader({ intervalMs: drainIntervalMs, maxRecords: 8192, maxBytes: 1 << 20 }, batch =>
      this.receive(batch),
    );
  }

  /** Starts a source; one that runs already gets the settings. Throws a BpfError when it cannot attach here. */
  start(name: SourceName, settings: SourceSettings): Promise<void> {
    return this.inTurn(name, async () => {
      const current = this.started.get(name);
      if (current !== undefined) {
        await current.running.update(settings);
        return;
      }
      const kit = kits[name] as SourceKit;
      const index = Object.keys(kits).indexOf(name);
      const running = await kit.start(this.hostFor(index), settings);
      const books = this.bookOf(name);
      const [sink, collectedSink] = [this.sinkFor(name, books), this.collectedSinkFor(name, books)];
      const entry: Started = { kit, running, sink, collectedSink, index, startedMs: Date.now() };
      this.started.set(name, entry);
      this.byIndex[index] = entry;
      this.announceKnownProcesses(running, entry.sink);
    });
  }

  /** Stops a source: afterwards none of its programs, maps or links is left. Stopping a stopped source does nothing. */
  stop(name: SourceName): Promise<void> {
    return this.inTurn(name, async () => {
      const entry = this.started.get(name);
      if (entry === undefined) return;
      await entry.running.stop();
      // What waits for its other half waits in vain.
      this.expireOne(name, entry, Number.POSITIVE_INFINITY);
      this.bookOf(name).close(entry.running.counts());
      this.started.delete(name);
      this.byIndex[entry.index] = undefined;
      if (this.started.size === 0) this.unwinding.release();
    });
  }

  update(name: SourceName, settings: SourceSettings): Promise<void> {
    return this.inTurn(name, async () => this.started.get(name)?.running.update(settings));
  }

  running(name: SourceName): { running: RunningSource; startedMs: number } | undefined {
    return this.started.get(name);
  }

  runningNames(): SourceName[] {
    return [...this.started.keys()];
  }

  /** Takes the kernel's counters of every running source into its books. */
  readCounters(): void {
    for (const [name, entry] of this.started) this.bookOf(name).read(entry.running.counts());
  }

  /** Gives up on halves that never met, and takes what the kernel summed; call about once a second with the kernel's time. */
  expire(nowNs: number): void {
    for (const [name, entry] of this.started) {
      this.expireOne(name, entry, nowNs);
      entry.running.collect?.(entry.collectedSink, nowNs);
    }
    this.resolver.describeSoon();
  }

  private expireOne(name: SourceName, { running, sink }: Started, nowNs: number): void {
    const books = this.bookOf(name);
    running.source.expire?.(nowNs, { ...sink, drop: (reason, count) => books.giveUp(reason, count) });
  }

  pendingStacks(): number {
    return this.resolver.pending + this.unwinding.pending;
  }

  /** Waits until all that was written before the call has been handed to the output, names included. */
  async flush(): Promise<void> {
    await this.reader.flush();
    await this.settle();
  }

  /** Stops everything and frees it. What was captured is handed to the output first. */
  async close(): Promise<void> {
    for (const name of this.runningNames()) await this.stop(name);
    await this.settle();
    await this.options.jvmPerfMaps?.settle();
    this.reader.close();
    this.unwinding.close();
    this.symbolizer.close();
  }

  private async settle(): Promise<void> {
    await this.unwinding.settle();
    await this.resolver.settle();
  }

  private async inTurn<T>(name: SourceName, action: () => Promise<T>): Promise<T> {
    const before = this.turns.get(name) ?? Promise.resolve();
    const turn = before.then(action, action);
    // The next in turn runs whether this one failed or not; its own caller gets the error.
    this.turns.set(
      name,
      turn.catch(() => undefined),
    );
    return turn;
  }

  private hostFor(sourceIndex: number): SourceHost {
    const { objectDir, ownPid, bufferPages } = this.options;
    const host = {
      native: this.unwinding.shared(),
      reader: this.reader,
      symbolizer: this.symbolizer,
      features: this.features,
      sourceIndex,
      objectDir,
      ownPid,
    };
    return bufferPages === undefined ? host : { ...host, bufferPages };
  }

  private bookOf(name: SourceName): SourceBooks {
    let books = this.books.get(name);
    if (books === undefined) {
      books = new SourceBooks();
      this.books.set(name, books);
    }
    return books;
  }

  /** Sources that know what was there before them (exec) say so once they are attached, so that nothing falls between. */
  private announceKnownProcesses(running: RunningSource, sink: Sink): void {
    running.announce?.(sink);
  }

  private receive(batch: PerfBatch): void {
    const { count, data, offsets, lengths, sources } = batch;
    for (let i = 0; i < count; i += 1) {
      const entry = this.byIndex[sources[i] as number];
      // A source's last records come while it stops, so its entry is still there; without one the record has no owner.
      if (entry === undefined) continue;
      this.receiveOne(entry, data, offsets[i] as number, lengths[i] as number);
    }
    this.resolver.describeSoon();
  }

  private receiveOne(entry: Started, data: Buffer, offset: number, length: number): void {
    const name = entry.kit.name;
    const books = this.bookOf(name);
    books.received += 1;
    const event = decoders[name](data, offset, length);
    if (event === undefined) {
      books.drop('malformed', 1);
      return;
    }
    books.decoded += 1;
    books.inHand = 1;
    entry.running.source.assemble(event as never, entry.sink);
    // What was neither dropped nor handed on with a stack still to be named is done with.
    books.stored += books.inHand;
    books.inHand = 0;
  }

  private sinkFor(name: SourceName, books: SourceBooks): Sink {
    const { output } = this.options;
    return {
      sample: sample => {
        this.withStack(books, sample, stack => output.sample(name, sample, stack));
      },
      span: span => {
        const { pid, startNs, durationNs, stack: bytes } = span;
        this.withStack(books, { pid, timeNs: startNs + durationNs, stack: bytes }, stack => output.span(name, span, stack));
      },
      processStarted: process => {
        this.symbolizer.processChanged(process.pid);
        output.processStarted(process);
      },
      processExited: exit => {
        this.symbolizer.processExited(exit.pid);
        output.processExited(exit);
      },
      drop: (reason, count) => books.drop(reason, count),
    };
  }

  /** Samples of sums are in no record, and so in none of the source's books but for those that are lost. */
  private collectedSinkFor(name: SourceName, books: SourceBooks): Sink {
    const aside = new SourceBooks();
    aside.drop = (reason, count) => books.loseOutside(reason, count);
    const deliver = (sample: Sample, stack: LocationStack): void => this.options.output.sample(name, sample, stack);
    return {
      ...this.sinkFor(name, books),
      sample: sample => {
        this.withStack(aside, sample, stack => {
          const waited = this.resolver.withMark(stack, sample.mark);
          if (sample.waker === undefined) {
            deliver(sample, waited);
            return;
          }
          const waker = { ...sample.waker, timeNs: sample.timeNs };
          this.withStack(aside, waker, wakes => deliver(sample, this.resolver.wokenBy(waited, wakes, waker.mark)));
        });
      },
    };
  }

  private withStack(books: SourceBooks, { pid, timeNs, stack }: Stacked, deliver: (stack: LocationStack) => void): void {
    if (stack === undefined || stack.kernel.length + stack.user.length === 0) {
      const end = stack?.end ?? 'none';
      if (incompleteReason(end) !== '') books.countIncomplete(end);
      deliver(this.resolver.shown(new Uint32Array(0), end));
      return;
    }
    if (!this.unwinding.canResume(stack)) {
      this.nameStack(books, { pid, timeNs, stack }, deliver);
      return;
    }
    books.inHand = 0;
    books.pending += 1;
    // Asked for now, while the process is there.
    this.resolver.locate(pid, stack);
    void this.unwinding.resume(pid, timeNs, stack).then(resumed => {
      books.pending -= 1;
      books.inHand = 1;
      this.nameStack(books, { pid, timeNs, stack: resumed }, deliver);
      books.stored += books.inHand;
      books.inHand = 0;
      this.resolver.describeSoon();
    });
  }

  private nameStack(
    books: SourceBooks,
    { pid, timeNs, stack }: Stacked & { stack: StackBytes },
    deliver: (stack: LocationStack) => void,
  ): void {
    const { end } = stack;
    this.unwinding.noteEnd(pid, timeNs, stack);
    if (incompleteReason(end) !== '') books.countIncomplete(end);
    const located = this.resolver.locate(pid, stack);
    this.options.jvmPerfMaps?.observe(pid, located);
    if (this.resolver.isNamed(located)) {
      deliver(this.resolver.shown(located, end));
      return;
    }
    const isQueued = this.resolver.queue(located, () => {
      books.pending -= 1;
      books.stored += 1;
      deliver(this.resolver.shown(located, end));
    });
    books.inHand = 0;
    if (isQueued) books.pending += 1;
    else books.drop('symbols_behind', 1);
  }
}

/** What has a stack: whose, and when it was taken. */
interface Stacked {
  readonly pid: number;
  readonly timeNs: number;
  readonly stack: StackBytes | undefined;
}

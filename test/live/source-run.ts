/** Runs one source by itself, without agent, store and server: what its programs saw, and all that it makes of it. */

import { join } from 'node:path';
import { loadAddon } from '../../agent/bpf/addon.ts';
import type { Feature, KernelFeatures, NativeObject, NativeSymbolizer, PerfBatch } from '../../agent/bpf/native.ts';
import { decoders } from '../../agent/events/index.ts';
import type {
  ProcessExit,
  ProcessStart,
  RunningSource,
  Sample,
  Sink,
  SourceKit,
  SourceSettings,
  Span,
  StackBytes,
} from '../../agent/sources/source.ts';

export const projectDir = join(import.meta.dirname, '../..');

/** In the VMs of the matrix, which emulate each instruction: counts and values hold there as anywhere, times and rates do not. */
export const isEmulated = process.env.HOTSPAN_VM !== undefined;

/** Ways that a test can rule out, to have the next one taken. */
export type Way = 'fentry' | 'kprobe' | 'tracepoint' | 'rawTracepoint' | 'btfTracepoint';

export interface SourceRunOptions {
  readonly settings?: SourceSettings;
  /** Ways that are treated as if the kernel did not have them. */
  readonly without?: readonly Way[];
  readonly bufferPages?: number;
  /** Makes maps of the source smaller than they are: name and entries. */
  readonly maxEntries?: Readonly<Record<string, number>>;
}

export interface SourceRun {
  readonly running: RunningSource;
  readonly spans: readonly Span[];
  readonly samples: readonly Sample[];
  readonly started: readonly ProcessStart[];
  readonly exited: readonly ProcessExit[];
  /** What the source itself gave up, by its reason. */
  readonly drops: Readonly<Record<string, number>>;
  readonly symbolizer: NativeSymbolizer;
  /** Records that the decoder refused. */
  malformed(): number;
  /** Records handed over by the reader. */
  received(): number;
  /** Has the source make samples of what its programs summed, as the agent does once a second. */
  collect(): void;
  /** Resolves when all that was written so far has become spans. */
  flush(): Promise<void>;
  /** Stops the source and gives its last counts. */
  stop(): Promise<Readonly<Record<string, number>>>;
}

const addon = loadAddon();
export const features: KernelFeatures = addon.probeFeatures();
const ruledOut: Feature = { isAvailable: false, reason: 'the test does without it' };

/** Every way of the ladder that this kernel has, each with what must be ruled out to get it. */
export function waysHere(): { way: Way; without: readonly Way[] }[] {
  const ladder: readonly Way[] = ['fentry', 'kprobe', 'tracepoint'];
  return ladder.map((way, i) => ({ way, without: ladder.slice(0, i) })).filter(({ way }) => features[way].isAvailable);
}

export async function runSource(kit: SourceKit, options: SourceRunOptions = {}): Promise<SourceRun> {
  const spans: Span[] = [];
  let malformed = 0;
  let received = 0;
  let running: RunningSource | undefined;
  const samples: Sample[] = [];
  const started: ProcessStart[] = [];
  const exited: ProcessExit[] = [];
  const drops: Record<string, number> = {};
  const sink: Sink = {
    span: span => void spans.push(span.stack === undefined ? span : { ...span, stack: copyOf(span.stack) }),
    sample: sample => void samples.push({ ...sample, stack: copyOf(sample.stack) }),
    processStarted: process => void started.push(process),
    processExited: exit => void exited.push(exit),
    drop: (reason, count) => {
      drops[reason] = (drops[reason] ?? 0) + count;
    },
  };
  const onBatch = (batch: PerfBatch): void => {
    for (let i = 0; i < batch.count; i += 1) {
      received += 1;
      const event = decoders[kit.name](batch.data, batch.offsets[i]!, batch.lengths[i]!);
      if (event === undefined) malformed += 1;
      else running?.source.assemble(event as never, sink);
    }
  };
  const reader = addon.createPerfReader({ intervalMs: 5, maxRecords: 512, maxBytes: 1 << 20 }, onBatch);
  const symbolizer = addon.createSymbolizer({ maxBytes: 1 << 26 });
  const close = (): void => {
    reader.close();
    symbolizer.close();
  };
  try {
    running = await kit.start(
      {
        native: { ...addon, openObject: path => withMaxEntries(addon.openObject(path), options.maxEntries ?? {}) },
        reader,
        symbolizer,
        features: { ...features, ...Object.fromEntries((options.without ?? []).map(way => [way, ruledOut])) },
        sourceIndex: 0,
        objectDir: join(projectDir, '.build/bpf'),
        ownPid: process.pid,
        ...(options.bufferPages === undefined ? {} : { bufferPages: options.bufferPages }),
      },
      options.settings ?? {},
    );
  } catch (error) {
    close();
    throw error;
  }
  const attached = running;
  attached.announce?.(sink);
  return {
    running: attached,
    spans,
    samples,
    started,
    exited,
    drops,
    symbolizer,
    malformed: () => malformed,
    received: () => received,
    collect: () => attached.collect?.(sink, Number(addon.clockPair().monotonicNs)),
    // What waits for its other half gets no more time.
    flush: () => reader.flush().then(() => attached.source.expire?.(Number.POSITIVE_INFINITY, sink)),
    stop: async () => {
      await attached.stop();
      close();
      return attached.counts();
    },
  };
}

function withMaxEntries(object: NativeObject, maxEntries: Readonly<Record<string, number>>): NativeObject {
  for (const [map, count] of Object.entries(maxEntries)) object.setMaxEntries(map, count);
  return object;
}

function copyOf({ kernel, user, end, raw }: StackBytes): StackBytes {
  return { kernel: kernel.slice(), user: user.slice(), end, raw: raw.slice() };
}

/** Everything counted under another name than seen: what was emitted, left out and lost. */
export function accountedFor(counts: Readonly<Record<string, number>>): number {
  return Object.entries(counts).reduce((sum, [reason, count]) => (reason === 'seen' ? sum : sum + count), 0);
}

/** `hotspan trace`: calls of functions as they happen, without a store or a server. */

import { loadAddon } from './bpf/addon.ts';
import { Capture, type CaptureOutput, type LocationStack } from './capture.ts';
import type { TraceOptions, TraceSummary } from './cli/contracts.ts';
import { Clock } from './lib/clock.ts';
import { objectDir } from './paths.ts';
import { defaultsOf } from './sources/index.ts';
import type { Span } from './sources/source.ts';
import { SpanIds } from './span-ids.ts';
import type { CapturedFrame } from './stack-resolver.ts';
import type { SpanDetail } from './store/rows.ts';

/** Names of frames are kept while they may come again; a long trace of a JIT would otherwise grow without bound. */
const maxFrames = 200_000;

const tickMs = 200;

/** Resolves after the signal, when the last span was reported and everything is detached. Throws a BpfError where nothing attaches. */
export async function traceTargets(options: TraceOptions, onSpan: (span: SpanDetail) => void): Promise<TraceSummary> {
  const native = loadAddon();
  const clock = new Clock(() => native.clockPair());
  const report = new SpanReport(clock, options.withStack, onSpan);
  const capture = new Capture({ native, objectDir, ownPid: process.pid, output: report });
  try {
    await capture.start('func', {
      ...defaultsOf('func'),
      targets: options.targets,
      min: options.minNs / 1000,
      stack: options.withStack ? 1 : 0,
      pid: options.pid ?? 0,
    });
    options.onStarted(describeHooks(capture));
    const timer = setInterval(() => {
      clock.follow();
      capture.expire(clock.nowNs());
    }, tickMs);
    await aborted(options.signal);
    clearInterval(timer);
    await capture.stop('func');
    await capture.flush();
    const books = capture.books.get('func');
    return { seen: books?.seen() ?? 0, reported: report.reported, lost: Object.fromEntries(books?.lost() ?? []) };
  } finally {
    await capture.close();
  }
}

/** "3 functions by fentry, 1 by kprobe", and what could not be traced. */
function describeHooks(capture: Capture): string {
  const running = capture.running('func')?.running;
  const counts = new Map<string, number>();
  for (const { observes, way } of running?.hooks ?? []) {
    // The source has hooks of its own besides those of the targets.
    if (/^(kernel|uprobe):/.test(observes)) counts.set(way, (counts.get(way) ?? 0) + 1);
  }
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const parts = [...counts].map(([way, count]) => (counts.size === 1 ? way : `${count} by ${way}`));
  const problems = (running?.problems?.() ?? []).map(problem => `\n  not traced: ${problem}`).join('');
  return `${total} ${total === 1 ? 'function' : 'functions'} by ${parts.join(', ')}${problems}`;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise(resolve => signal.addEventListener('abort', () => resolve(), { once: true }));
}

class SpanReport implements CaptureOutput {
  reported = 0;
  private readonly clock: Clock;
  private readonly withStack: boolean;
  private readonly onSpan: (span: SpanDetail) => void;
  private readonly frames = new Map<number, CapturedFrame>();
  private readonly ids = new SpanIds();

  constructor(clock: Clock, withStack: boolean, onSpan: (span: SpanDetail) => void) {
    this.clock = clock;
    this.withStack = withStack;
    this.onSpan = onSpan;
  }

  frame(info: CapturedFrame): void {
    if (this.frames.size >= maxFrames) this.frames.clear();
    this.frames.set(info.id, info);
  }

  span(source: string, span: Span, stack: LocationStack): void {
    this.reported += 1;
    const { traceId, spanId, parentSpanId, attributes } = this.ids.of(span);
    const startNs = this.clock.unixNs(span.startNs);
    this.onSpan({
      traceId: traceId.toString('hex'),
      spanId: spanId.toString('hex'),
      parentSpanId: parentSpanId?.toString('hex') ?? '',
      source,
      name: span.name,
      service: span.comm,
      process: span.comm,
      pid: span.pid,
      tid: span.tid,
      thread: span.comm,
      startMs: Number(startNs / 1000n) / 1000,
      startNs: String(startNs),
      durationNs: span.durationNs,
      kind: 1,
      error: span.error,
      attributes,
      stack: this.withStack ? this.lines(stack) : [],
    });
  }

  // Sources other than func do not run here.
  sample(): void {}
  processStarted(): void {}
  processExited(): void {}

  /** Leaf first, inlined functions as frames of their own. */
  private lines(stack: LocationStack): SpanDetail['stack'] {
    const lines: SpanDetail['stack'] = [];
    for (let i = stack.length - 1; i >= 0; i -= 1) {
      const info = this.frames.get(stack[i] as number);
      if (info === undefined) continue;
      const { module, kind, isGuess } = info;
      for (const line of info.lines) lines.push({ ...line, module, kind, isGuess });
    }
    return lines;
  }
}

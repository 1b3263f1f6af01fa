/**
 * What each BPF program costs: by the kernel's own account (bpf_stats), and what that leaves out, as it was measured on this host: the
 * call of the program, and that every system call takes longer while the tracepoint of any of them is in use. Counting costs two
 * clock reads a run, so it is switched on for a tenth of each second, at another moment of each; figures are means over the last
 * windows. Where a window shows more than is wished for, a second one follows at once, so that what is to be done about it need not
 * wait.
 */

import { availableParallelism } from 'node:os';
import { BpfError } from './bpf/errors.ts';
import type { DispatchCost, NativeAddon, NativeLink, ProgramStats } from './bpf/native.ts';
import type { Capture } from './capture.ts';
import type { SourceName } from './events/index.ts';

export interface ProgramCost {
  name: string;
  id: number;
  hitsPerSecond: number;
  nsPerHit: number;
  /** Of the whole host, 0-1, with what it takes to call it. */
  cpuShare: number;
  memoryBytes: number;
}

export interface SourceCost {
  programs: ProgramCost[];
  hitsPerSecond: number;
  nsPerHit: number;
  /** With the source's part of what all system calls take longer. */
  cpuShare: number;
}

const windowMs = 100;
/** A window begins up to this long after its tick, so that what the host does once a second is neither always in it nor never. */
const spreadMs = 800;
/** From a window that showed too much to the second one. */
const secondLookMs = 100;
/** Of one window alone a busy timer more or less is seen. */
const keptWindows = 5;
const nothing: SourceCost = { programs: [], hitsPerSecond: 0, nsPerHit: 0, cpuShare: 0 };
const noDispatch: DispatchCost = { tracepointNs: 0, rawNs: 0, callNs: 0 };

/** BPF_PROG_TYPE_* of linux/bpf.h. */
const programType = { tracepoint: 5, rawTracepoint: 17, tracing: 26 } as const;

/** What a program did in one window. */
interface ProgramWindow {
  readonly stats: ProgramStats;
  readonly seconds: number;
  readonly hits: number;
  readonly spentNs: number;
  /** To call it so often. */
  readonly dispatchNs: number;
}

export class ProgramMeter {
  private readonly capture: Capture;
  private readonly native: NativeAddon;
  /** By source, then program id: its last windows. */
  private readonly windows = new Map<SourceName, Map<number, ProgramWindow[]>>();
  private timer: NodeJS.Timeout | undefined;
  private link: NativeLink | undefined;
  private openedMs = 0;
  private readonly atOpen = new Map<number, ProgramStats>();
  private dispatch = noDispatch;
  private calls: { readonly link: NativeLink; readonly before: number } | undefined;
  /** System calls of the whole host a second, in the last window. */
  private callsPerSecond = 0;
  private alarm: { readonly share: number; readonly raise: (share: number) => void } | undefined;
  /** What the window before showed, where this one looks whether it was right. */
  private doubted = 0;

  constructor(capture: Capture, native: NativeAddon) {
    this.capture = capture;
    this.native = native;
  }

  /** Measures what calling a program takes here; before sources are started, which would be in the measurement. */
  async calibrate(): Promise<void> {
    this.dispatch = await this.native.measureDispatch();
  }

  /** `raise` is called with what two windows, one soon after the other, have both shown, where that is above `share` of the host. */
  alarmAbove(share: number, raise: (share: number) => void): void {
    this.alarm = { share, raise };
  }

  /** Means over the last windows. */
  costOf(name: SourceName): SourceCost {
    if (this.capture.running(name) === undefined) return nothing;
    const programs = [...(this.windows.get(name)?.values() ?? [])].map(costOf);
    const hitsPerSecond = sum(programs, program => program.hitsPerSecond);
    const nsPerSecond = sum(programs, program => program.hitsPerSecond * program.nsPerHit);
    return {
      programs,
      hitsPerSecond,
      nsPerHit: hitsPerSecond === 0 ? 0 : nsPerSecond / hitsPerSecond,
      cpuShare: sum(programs, program => program.cpuShare) + this.callsShareOf(name),
    };
  }

  /** Of a source's programs in the last window alone, a share of the whole host, 0-1. */
  lastShareOf(name: SourceName): number {
    if (this.capture.running(name) === undefined) return 0;
    return sum([...(this.windows.get(name)?.values() ?? [])], windows => shareOf(windows.slice(-1))) + this.callsShareOf(name);
  }

  /** Of all sources. */
  lastShare(): number {
    return sum(this.capture.runningNames(), name => this.lastShareOf(name));
  }

  /** The slower way of every system call, in equal parts for all sources because of which it is taken. */
  private callsShareOf(name: SourceName): number {
    const tracing = this.callTracing();
    if (!tracing.includes(name)) return 0;
    return (this.callsPerSecond * this.dispatch.callNs) / (1e9 * availableParallelism() * tracing.length);
  }

  private callTracing(): SourceName[] {
    return this.capture.runningNames().filter(name => {
      const running = this.capture.running(name)?.running;
      return running?.hooks.some(({ slowsCalls }) => slowsCalls) === true;
    });
  }

  /** Call once a second. */
  tick(): void {
    if (this.timer !== undefined || !this.capture.features.bpfStats.isAvailable) return;
    this.timer = setTimeout(() => this.openWindow(), Math.random() * spreadMs);
  }

  close(): void {
    clearTimeout(this.timer);
    this.calls?.link.detach();
    this.calls = undefined;
    this.link?.detach();
    this.link = undefined;
  }

  private openWindow(): void {
    this.atOpen.clear();
    for (const name of this.capture.runningNames()) {
      for (const program of this.capture.running(name)?.running.programs() ?? []) this.atOpen.set(program.id, program);
    }
    this.link = this.native.enableProgramStats();
    this.openedMs = performance.now();
    this.countCalls();
    this.timer = setTimeout(() => this.closeWindow(), windowMs);
  }

  private countCalls(): void {
    if (this.dispatch.callNs === 0 || this.callTracing().length === 0) return;
    try {
      this.calls = { link: this.native.countSystemCalls(), before: this.native.systemCallsCounted() };
    } catch (error) {
      // The kernel has no room for it at the moment: this window goes without, and the agent goes on.
      if (!(error instanceof BpfError)) throw error;
    }
  }

  private closeWindow(): void {
    const seconds = (performance.now() - this.openedMs) / 1000;
    this.callsPerSecond = this.calls === undefined ? 0 : (this.native.systemCallsCounted() - this.calls.before) / seconds;
    this.calls?.link.detach();
    this.calls = undefined;
    this.link?.detach();
    this.link = undefined;
    this.timer = undefined;
    for (const name of this.windows.keys()) if (this.capture.running(name) === undefined) this.windows.delete(name);
    for (const name of this.capture.runningNames()) {
      const before = this.windows.get(name);
      const programs = this.capture.running(name)?.running.programs() ?? [];
      const kept = programs.map((now): [number, ProgramWindow[]] => {
        const earlier = before?.get(now.id) ?? [];
        return [now.id, [...earlier, this.windowOf(now, seconds)].slice(-keptWindows)];
      });
      this.windows.set(name, new Map(kept));
    }
    this.lookTwice();
  }

  private lookTwice(): void {
    const share = this.lastShare();
    const { alarm, doubted } = this;
    this.doubted = 0;
    if (alarm === undefined || share <= alarm.share) return;
    if (doubted > 0) {
      alarm.raise(Math.min(share, doubted));
      return;
    }
    this.doubted = share;
    this.timer = setTimeout(() => this.openWindow(), secondLookMs);
  }

  /** A program that was loaded meanwhile has counted nothing before. */
  private windowOf(now: ProgramStats, seconds: number): ProgramWindow {
    const before = this.atOpen.get(now.id);
    const hits = now.runCount - (before?.runCount ?? 0);
    const dispatchNs = hits * this.dispatchOf(now.type);
    return { stats: now, seconds, hits, spentNs: now.runTimeNs - (before?.runTimeNs ?? 0), dispatchNs };
  }

  private dispatchOf(type: number): number {
    const { tracepoint, rawTracepoint, tracing } = programType;
    if (type === tracepoint) return this.dispatch.tracepointNs;
    return type === rawTracepoint || type === tracing ? this.dispatch.rawNs : 0;
  }
}

function costOf(windows: readonly ProgramWindow[]): ProgramCost {
  const { name, id, memoryBytes } = (windows.at(-1) as ProgramWindow).stats;
  const hits = sum(windows, window => window.hits);
  return {
    name,
    id,
    hitsPerSecond: hits / sum(windows, window => window.seconds),
    nsPerHit: hits === 0 ? 0 : sum(windows, window => window.spentNs) / hits,
    cpuShare: shareOf(windows),
    memoryBytes,
  };
}

function shareOf(windows: readonly ProgramWindow[]): number {
  const seconds = sum(windows, window => window.seconds);
  return seconds === 0
    ? 0
    : sum(windows, window => window.spentNs + window.dispatchNs) / (seconds * 1e9 * availableParallelism());
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((total, value) => total + of(value), 0);
}

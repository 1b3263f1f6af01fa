/**
 * What each BPF program costs, by the kernel's own account (bpf_stats). Counting costs two clock reads a run, so it is switched on
 * for a tenth of each second, at another moment of each; figures are means over the last windows.
 */

import { availableParallelism } from 'node:os';
import type { NativeAddon, NativeLink, ProgramStats } from './bpf/native.ts';
import type { Capture } from './capture.ts';
import type { SourceName } from './events/index.ts';

export interface ProgramCost {
  name: string;
  id: number;
  hitsPerSecond: number;
  nsPerHit: number;
  /** Of the whole host, 0-1. */
  cpuShare: number;
  memoryBytes: number;
}

export interface SourceCost {
  programs: ProgramCost[];
  hitsPerSecond: number;
  nsPerHit: number;
  cpuShare: number;
}

const windowMs = 100;
/** A window begins up to this long after its tick, so that what the host does once a second is neither always in it nor never. */
const spreadMs = 800;
/** Of one window alone a busy timer more or less is seen. */
const keptWindows = 5;
const nothing: SourceCost = { programs: [], hitsPerSecond: 0, nsPerHit: 0, cpuShare: 0 };

/** What a program did in one window. */
interface ProgramWindow {
  readonly stats: ProgramStats;
  readonly seconds: number;
  readonly hits: number;
  readonly spentNs: number;
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

  constructor(capture: Capture, native: NativeAddon) {
    this.capture = capture;
    this.native = native;
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
      cpuShare: sum(programs, program => program.cpuShare),
    };
  }

  /** Of a source's programs in the last window alone, a share of the whole host, 0-1. */
  lastShareOf(name: SourceName): number {
    if (this.capture.running(name) === undefined) return 0;
    return sum([...(this.windows.get(name)?.values() ?? [])], windows => shareOf(windows.slice(-1)));
  }

  /** Call once a second. */
  tick(): void {
    if (this.timer !== undefined || !this.capture.features.bpfStats.isAvailable) return;
    this.timer = setTimeout(() => this.openWindow(), Math.random() * spreadMs);
  }

  close(): void {
    clearTimeout(this.timer);
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
    this.timer = setTimeout(() => this.closeWindow(), windowMs);
  }

  private closeWindow(): void {
    const seconds = (performance.now() - this.openedMs) / 1000;
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
  }

  /** A program that was loaded meanwhile has counted nothing before. */
  private windowOf(now: ProgramStats, seconds: number): ProgramWindow {
    const before = this.atOpen.get(now.id);
    const hits = now.runCount - (before?.runCount ?? 0);
    return { stats: now, seconds, hits, spentNs: now.runTimeNs - (before?.runTimeNs ?? 0) };
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
  return seconds === 0 ? 0 : sum(windows, window => window.spentNs) / (seconds * 1e9 * availableParallelism());
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((total, value) => total + of(value), 0);
}

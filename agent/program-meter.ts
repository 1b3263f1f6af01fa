/**
 * What each BPF program costs, by the kernel's own account (bpf_stats). Counting costs two clock reads a run, so it is switched on
 * for one second in five and the figures of that second stand until the next.
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

const periodTicks = 5;
const nothing: SourceCost = { programs: [], hitsPerSecond: 0, nsPerHit: 0, cpuShare: 0 };

export class ProgramMeter {
  private readonly capture: Capture;
  private readonly native: NativeAddon;
  private readonly costs = new Map<SourceName, SourceCost>();
  private ticks = 0;
  private link: NativeLink | undefined;
  private openedMs = 0;
  private readonly atOpen = new Map<number, ProgramStats>();

  constructor(capture: Capture, native: NativeAddon) {
    this.capture = capture;
    this.native = native;
  }

  costOf(name: SourceName): SourceCost {
    return this.capture.running(name) === undefined ? nothing : (this.costs.get(name) ?? nothing);
  }

  /** Call once a second. */
  tick(nowMs: number): void {
    if (this.link !== undefined) this.closeWindow(nowMs);
    else if (this.ticks % periodTicks === 0) this.openWindow(nowMs);
    this.ticks += 1;
  }

  close(): void {
    this.link?.detach();
    this.link = undefined;
  }

  private openWindow(nowMs: number): void {
    if (!this.capture.features.bpfStats.isAvailable) return;
    this.atOpen.clear();
    for (const name of this.capture.runningNames()) {
      for (const program of this.capture.running(name)?.running.programs() ?? []) this.atOpen.set(program.id, program);
    }
    this.link = this.native.enableProgramStats();
    this.openedMs = nowMs;
  }

  private closeWindow(nowMs: number): void {
    this.link?.detach();
    this.link = undefined;
    const seconds = (nowMs - this.openedMs) / 1000;
    if (seconds <= 0) return;
    for (const name of this.capture.runningNames()) {
      const programs = (this.capture.running(name)?.running.programs() ?? []).map(program =>
        this.costOfProgram(program, seconds),
      );
      const hitsPerSecond = programs.reduce((sum, program) => sum + program.hitsPerSecond, 0);
      const nsPerSecond = programs.reduce((sum, program) => sum + program.hitsPerSecond * program.nsPerHit, 0);
      this.costs.set(name, {
        programs,
        hitsPerSecond,
        nsPerHit: hitsPerSecond === 0 ? 0 : nsPerSecond / hitsPerSecond,
        cpuShare: programs.reduce((sum, program) => sum + program.cpuShare, 0),
      });
    }
  }

  private costOfProgram(now: ProgramStats, seconds: number): ProgramCost {
    const before = this.atOpen.get(now.id);
    const hits = now.runCount - (before?.runCount ?? 0);
    const spentNs = now.runTimeNs - (before?.runTimeNs ?? 0);
    return {
      name: now.name,
      id: now.id,
      hitsPerSecond: hits / seconds,
      nsPerHit: hits === 0 ? 0 : spentNs / hits,
      cpuShare: spentNs / (seconds * 1e9 * availableParallelism()),
      memoryBytes: now.memoryBytes,
    };
  }
}

/**
 * Names for what JVMs compile: where samples hit compiled Java code without a name, the JVM is asked to write its perf-map, which the
 * symbolizer then reads. Only where the key jvm-perf-map is set, because this writes files into other processes' directories.
 */

import { askJvm, startTicks } from './jvm-attach.ts';
import type { CapturedFrame } from './stack-resolver.ts';

/** At most so often is one JVM asked: it holds its code cache's lock while it writes. */
const intervalMs = 60_000;
/** Bounds of what is remembered; beyond them it is forgotten and learned anew. */
const maxLocations = 100_000;
const maxJvms = 4096;
/** JVMs that wait to be asked; they are asked one after the other. */
const maxQueue = 64;

interface Known {
  ticks: string;
  askedMs: number;
  /** It was asked once and could not or would not: it is not asked again. */
  isHopeless: boolean;
}

export class JvmPerfMaps {
  private readonly warn: (message: string) => void;
  /** Locations in compiled Java code that have no name. */
  private readonly unnamed = new Set<number>();
  private readonly jvms = new Map<number, Known>();
  private readonly queue: number[] = [];
  private asking: Promise<void> | undefined;
  /** How often a JVM has written its map. */
  written = 0;

  constructor(warn: (message: string) => void) {
    this.warn = warn;
  }

  /** Each frame that got its name, or did not. */
  frame(info: CapturedFrame): void {
    if (info.kind !== 'jvm' || !info.isGuess) return;
    if (this.unnamed.size >= maxLocations) this.unnamed.clear();
    this.unnamed.add(info.id);
  }

  /** Each located stack. Cheap as long as no JVM has code without names. */
  observe(pid: number, stack: Uint32Array): void {
    if (this.unnamed.size === 0) return;
    const now = Date.now();
    const known = this.jvms.get(pid);
    if (known !== undefined && now - known.askedMs < intervalMs) return;
    if (!stack.some(id => this.unnamed.has(id)) || this.queue.length >= maxQueue) return;
    if (this.jvms.size >= maxJvms) this.jvms.clear();
    this.jvms.set(pid, { ticks: known?.ticks ?? '', askedMs: now, isHopeless: known?.isHopeless ?? false });
    this.queue.push(pid);
    this.asking ??= this.askAll().finally(() => {
      this.asking = undefined;
    });
  }

  /** Resolves when nobody is being asked. */
  async settle(): Promise<void> {
    this.queue.length = 0;
    await this.asking;
  }

  private async askAll(): Promise<void> {
    for (let pid = this.queue.shift(); pid !== undefined; pid = this.queue.shift()) await this.ask(pid);
  }

  private async ask(pid: number): Promise<void> {
    const known = this.jvms.get(pid);
    try {
      const ticks = await startTicks(pid);
      if (known === undefined || (known.isHopeless && known.ticks === ticks)) return;
      known.ticks = ticks;
      known.isHopeless = false;
      await askJvm(pid, 'Compiler.perfmap');
      this.written += 1;
    } catch (error) {
      // A JVM that ended meanwhile is no news.
      if (known === undefined || (error as NodeJS.ErrnoException).code === 'ENOENT') return;
      known.isHopeless = true;
      const reason = error instanceof Error ? error.message : String(error);
      this.warn(`Java code of process ${pid} stays without names: its JVM wrote no perf-map (${reason}); JDK 17 or later can`);
    }
  }
}

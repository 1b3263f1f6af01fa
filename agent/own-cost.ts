/** What the agent itself costs: CPU by part over the last ten seconds, memory by part. BPF programs count with the rest. */

import { availableParallelism } from 'node:os';
import type { PipelineStatus } from './pipeline.ts';

/** Figures are means over this many seconds: one second alone jumps with every garbage collection. */
const windowSeconds = 10;

interface Reading {
  readonly timeMs: number;
  readonly processMicros: number;
  readonly mainMicros: number;
  readonly pipelineMicros: number;
}

export interface OwnCost {
  /** Of the whole host, 0-1. */
  cpuShare: number;
  cpuByPart: { part: string; percentOfCore: number }[];
  rssBytes: number;
  memoryByPart: { part: string; bytes: number }[];
}

export class CostMeter {
  private readonly readings: Reading[] = [];

  /** Call once a second. */
  take(pipeline: PipelineStatus): OwnCost {
    const own = process.cpuUsage();
    const main = process.threadCpuUsage();
    this.readings.push({
      timeMs: performance.now(),
      processMicros: own.user + own.system,
      mainMicros: main.user + main.system,
      pipelineMicros: pipeline.threadCpuMicros,
    });
    if (this.readings.length > windowSeconds + 1) this.readings.shift();
    const memory = process.memoryUsage();
    const { cpuShare, cpuByPart } = this.cpu(pipeline.bpfCpuShare);
    const named = memory.heapTotal + pipeline.heapBytes + pipeline.symbolizerBytes;
    return {
      cpuShare,
      cpuByPart,
      rssBytes: memory.rss,
      memoryByPart: [
        { part: 'main thread heap', bytes: memory.heapTotal },
        { part: 'pipeline heap', bytes: pipeline.heapBytes },
        { part: 'symbols', bytes: pipeline.symbolizerBytes },
        { part: 'other (queries, export, code, SQLite)', bytes: Math.max(0, memory.rss - named) },
        { part: 'kernel: BPF maps', bytes: pipeline.mapBytes },
        { part: 'kernel: perf buffers', bytes: pipeline.bufferBytes },
      ],
    };
  }

  private cpu(bpfShare: number): Pick<OwnCost, 'cpuShare' | 'cpuByPart'> {
    const first = this.readings[0];
    const last = this.readings.at(-1);
    if (first === undefined || last === undefined || last.timeMs <= first.timeMs) return { cpuShare: 0, cpuByPart: [] };
    const micros = (last.timeMs - first.timeMs) * 1000;
    const percent = (key: 'processMicros' | 'mainMicros' | 'pipelineMicros') => (100 * (last[key] - first[key])) / micros;
    const total = percent('processMicros');
    const main = percent('mainMicros');
    const pipeline = percent('pipelineMicros');
    const cpus = availableParallelism();
    return {
      cpuShare: total / 100 / cpus + bpfShare,
      cpuByPart: [
        { part: 'pipeline (decode, assemble, store)', percentOfCore: pipeline },
        { part: 'main (HTTP, live)', percentOfCore: main },
        { part: 'other threads (queries, export, reader, symbols, GC)', percentOfCore: Math.max(0, total - main - pipeline) },
        { part: 'kernel: BPF programs', percentOfCore: bpfShare * cpus * 100 },
      ],
    };
  }
}

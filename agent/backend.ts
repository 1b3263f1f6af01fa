/** What the HTTP server asks for, answered by the workers behind it: pipeline, queries, exporters. */

import { availableParallelism, hostname, release } from 'node:os';
import type { Config } from './config/config.ts';
import { makeDoctorReport } from './doctor.ts';
import type { MetricSnapshot } from './export/metric-snapshot.ts';
import { prometheusText } from './export/prometheus.ts';
import type { Remote } from './lib/rpc.ts';
import { CostMeter, type OwnCost } from './own-cost.ts';
import { metricSnapshot } from './own-metrics.ts';
import type { PipelineStatus } from './pipeline.ts';
import type { PipelineApi } from './pipeline-protocol.ts';
import type { DoctorReport, ExporterState, SourceState, StatusResponse, TargetCompletion } from './server/api.ts';
import type { Backend, ProfileFormat, SettingValues } from './server/backend.ts';
import type { QueryClient } from './store/query-client.ts';
import type { ProfileQuery } from './store/rows.ts';
import { version } from './version.ts';

export interface BackendParts {
  readonly config: Config;
  readonly databasePath: string;
  readonly pipeline: Remote<PipelineApi>;
  readonly query: QueryClient;
  /** Size of the store above which the oldest goes; may change while the agent runs. */
  readonly limitBytes: () => number;
  /** States of the exporters; empty where nothing is exported. */
  readonly exporters: () => Promise<ExporterState[]>;
}

/** Growth is told over this long; a shorter time says more about the last flush than about the trend. */
const growthWindowMs = 600_000;

export class AgentBackend implements Backend {
  readonly query: QueryClient;
  private readonly parts: BackendParts;
  private readonly meter = new CostMeter();
  private readonly startedMs = Date.now();
  private readonly sizes: { timeMs: number; bytes: number }[] = [];
  private latest: StatusResponse | undefined;
  private version = 0;

  constructor(parts: BackendParts) {
    this.parts = parts;
    this.query = parts.query;
  }

  /** Reads the cost of the agent once; main.ts calls it every second, so that rates have their window whether someone looks or not. */
  async refresh(): Promise<void> {
    const [pipeline, exporters] = await Promise.all([this.parts.pipeline.status(), this.parts.exporters()]);
    this.version = pipeline.version;
    this.latest = this.compose(pipeline, exporters, this.meter.take(pipeline));
  }

  async status(): Promise<StatusResponse> {
    if (this.latest === undefined) await this.refresh();
    return this.latest as StatusResponse;
  }

  storeVersion(): number {
    return this.version;
  }

  sources(): Promise<SourceState[]> {
    return this.parts.pipeline.sources();
  }

  startSource(name: string, settings: SettingValues): Promise<SourceState> {
    return this.parts.pipeline.startSource(name, settings);
  }

  stopSource(name: string): Promise<SourceState> {
    return this.parts.pipeline.stopSource(name);
  }

  setSettings(name: string, settings: SettingValues): Promise<SourceState> {
    return this.parts.pipeline.updateSource(name, settings);
  }

  completeTargets(text: string): Promise<TargetCompletion[]> {
    return this.parts.pipeline.completeTargets(text);
  }

  doctor(): Promise<DoctorReport> {
    return makeDoctorReport({ dataDir: this.parts.config.dataDir });
  }

  async metricsText(): Promise<string> {
    return prometheusText(await this.snapshot());
  }

  async snapshot(): Promise<MetricSnapshot> {
    const [totals, status] = await Promise.all([this.parts.pipeline.totals(), this.status()]);
    return metricSnapshot(totals, { ...status, nowMs: Date.now() });
  }

  profileFile(format: ProfileFormat, query: ProfileQuery): Promise<Buffer> {
    return this.query.profileFile(format, query);
  }

  private compose(pipeline: PipelineStatus, exporters: ExporterState[], cost: OwnCost): StatusResponse {
    const nowMs = Date.now();
    const { databasePath, limitBytes } = this.parts;
    return {
      version,
      host: hostname(),
      kernel: release(),
      startedMs: this.startedMs,
      nowMs,
      cpus: availableParallelism(),
      cpuShare: cost.cpuShare,
      cpuByPart: cost.cpuByPart,
      rssBytes: cost.rssBytes,
      mapBytes: pipeline.mapBytes,
      bufferBytes: pipeline.bufferBytes,
      memoryByPart: cost.memoryByPart,
      lost: pipeline.lost,
      store: {
        path: databasePath,
        bytes: pipeline.storeBytes,
        limitBytes: limitBytes(),
        oldestMs: pipeline.storeOldestMs,
        growthBytesPerHour: this.growth(nowMs, pipeline.storeBytes),
        state: pipeline.storeMessage === '' ? 'ok' : 'full',
        message: pipeline.storeMessage,
      },
      exporters,
      governor: pipeline.governor,
    };
  }

  private growth(nowMs: number, bytes: number): number {
    this.sizes.push({ timeMs: nowMs, bytes });
    while ((this.sizes[0]?.timeMs ?? nowMs) < nowMs - growthWindowMs) this.sizes.shift();
    const first = this.sizes[0];
    if (first === undefined || nowMs - first.timeMs < 10_000) return 0;
    return ((bytes - first.bytes) / (nowMs - first.timeMs)) * 3_600_000;
  }
}

/** Builds the agent from its parts, keeps it running, and takes it down without leaving anything attached. Knows all parts. */

import { constants } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { AgentBackend } from './backend.ts';
import { type Config, reloadConfig } from './config/index.ts';
import { Exporting } from './exporting.ts';
import { createLog, type Log } from './lib/log.ts';
import { connect, type Remote } from './lib/rpc.ts';
import { objectDir, uiDir } from './paths.ts';
import type { PipelineApi, PipelineNotice, PipelineWorkerData } from './pipeline-protocol.ts';
import { type RunningServer, type ServerOptions, startServer } from './server/server.ts';
import { QueryClient } from './store/query-client.ts';
import { version } from './version.ts';

const metricIntervalMs = 10_000;
const statusIntervalMs = 1000;

/** Runs until SIGTERM or SIGINT. Gives the exit code. */
export async function runAgent(config: Config): Promise<number> {
  const log = createLog({ level: config.logLevel, format: config.logFormat });
  const agent = new Agent(config, log);
  // Before the start: a signal may come the moment that the agent says it runs.
  const ended = agent.untilSignal();
  try {
    await agent.start();
  } catch (error) {
    await agent.stop();
    throw error;
  }
  return ended;
}

class Agent {
  private config: Config;
  private readonly log: Log;
  private readonly databasePath: string;
  private worker: Worker | undefined;
  private pipeline: Remote<PipelineApi> | undefined;
  private query: QueryClient | undefined;
  private exporting: Exporting | undefined;
  private server: RunningServer | undefined;
  private backend: AgentBackend | undefined;
  private readonly timers: NodeJS.Timeout[] = [];
  private onPipelineEnd: () => void = () => {};

  constructor(config: Config, log: Log) {
    this.config = config;
    this.log = log;
    this.databasePath = join(config.dataDir, 'hotspan.db');
  }

  async start(): Promise<void> {
    const { config, log } = this;
    for (const warning of config.warnings) log.warning(warning);
    this.pipeline = this.startPipeline();
    // The store exists once the pipeline answers; only then can it be read.
    await this.pipeline.status();
    this.query = new QueryClient(this.databasePath);
    this.exporting = Exporting.start(config, this.databasePath, message => log.warning(message));
    this.backend = new AgentBackend({
      config,
      databasePath: this.databasePath,
      pipeline: this.pipeline,
      query: this.query,
      exporters: () => this.exporting?.states() ?? Promise.resolve([]),
    });
    this.server = await startServer(this.serverOptions(), this.backend);
    await this.startSources();
    await this.backend.refresh();
    this.timers.push(
      setInterval(() => this.background('status', this.backend?.refresh()), statusIntervalMs),
      setInterval(() => this.background('metrics export', this.sendMetrics()), metricIntervalMs),
    );
    this.worker?.once('exit', () => this.onPipelineEnd());
    log.info('hotspan is running', { ui: this.server.url, store: this.databasePath });
  }

  /** Resolves with the exit code once a signal has ended the agent. A second signal ends it at once. */
  untilSignal(): Promise<number> {
    return new Promise(resolve => {
      let isStopping = false;
      const stop = (signal: NodeJS.Signals) => {
        if (isStopping) process.exit(128 + constants.signals[signal]);
        isStopping = true;
        this.log.info(`${signal}: storing what is in flight and detaching`);
        this.stop().then(
          () => resolve(0),
          error => {
            this.log.error(error instanceof Error ? error.message : String(error));
            resolve(1);
          },
        );
      };
      process.on('SIGTERM', stop);
      process.on('SIGINT', stop);
      process.on('SIGHUP', () => this.background('reload', this.reload()));
      this.onPipelineEnd = () => {
        if (isStopping) return;
        isStopping = true;
        this.log.error('the pipeline has ended; the agent stops, and its next start goes on with the store as it is');
        this.stop().finally(() => resolve(1));
      };
    });
  }

  async stop(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    await this.server?.close();
    // The pipeline first: what it still stores can then be exported.
    if (this.pipeline !== undefined) await settled(this.pipeline.close());
    await settled(this.exporting?.close());
    await settled(this.query?.close());
    await this.worker?.terminate();
  }

  private serverOptions(): ServerOptions {
    const { config, log } = this;
    const hasTls = config.tlsCert !== '';
    return {
      listen: config.listen,
      token: config.token,
      tls: hasTls ? { cert: config.tlsCert, key: config.tlsKey, clientCa: config.tlsClientCa } : undefined,
      allowedHosts: config.allowedHosts,
      uiFolder: uiDir,
      version,
      onFault: (error, path) => log.error(`${path}: ${error instanceof Error ? error.message : String(error)}`),
    };
  }

  private startPipeline(): Remote<PipelineApi> {
    const { config, log } = this;
    const base = {
      databasePath: this.databasePath,
      objectDir,
      ownPid: process.pid,
      retention: { maxBytes: config.retentionBytes, maxAgeMs: config.retentionAgeMs },
    };
    const data: PipelineWorkerData = config.bufferPages === 0 ? base : { ...base, bufferPages: config.bufferPages };
    const worker = new Worker(new URL('./pipeline-worker.ts', import.meta.url), { workerData: data, name: 'hotspan-pipeline' });
    this.worker = worker;
    let failure: Error | undefined;
    worker.on('error', error => {
      failure = error;
    });
    worker.on('message', (message: Partial<PipelineNotice>) => {
      if (message.notice === 'warning') log.warning(message.message ?? '');
    });
    return connect<PipelineApi>(worker, () => failure ?? new Error('the pipeline has ended'));
  }

  /** A source that cannot run here is off and says why; the agent goes on with the others. */
  private async startSources(): Promise<void> {
    for (const [name, source] of Object.entries(this.config.sources)) {
      if (!source.isEnabled) continue;
      try {
        await this.pipeline?.startSource(name, source.settings);
      } catch (error) {
        this.log.warning(`source ${name} is off: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }

  private async sendMetrics(): Promise<void> {
    if (this.exporting === undefined || this.backend === undefined) return;
    await this.exporting.sendMetrics(await this.backend.snapshot());
  }

  /** Takes over what can change without a restart and names what cannot. */
  private async reload(): Promise<void> {
    const { config, changes } = reloadConfig(this.config);
    for (const change of changes) {
      if (change.needsRestart) this.log.warning(`${change.name} changed; restart hotspan for it to be felt`);
    }
    for (const [name, source] of Object.entries(config.sources)) {
      const before = this.config.sources[name];
      if (before === undefined) continue;
      if (source.isEnabled && !before.isEnabled) await this.pipeline?.startSource(name, source.settings);
      else if (!source.isEnabled && before.isEnabled) await this.pipeline?.stopSource(name);
      else if (JSON.stringify(source.settings) !== JSON.stringify(before.settings))
        await this.pipeline?.updateSource(name, source.settings);
    }
    this.config = config;
    this.log.info(
      changes.length === 0 ? 'reloaded; nothing changed' : `reloaded; changed: ${changes.map(change => change.name).join(', ')}`,
    );
  }

  private background(what: string, work: Promise<void> | undefined): void {
    work?.catch(error => this.log.warning(`${what}: ${error instanceof Error ? error.message : String(error)}`));
  }
}

/** At a stop one part's failure must not keep the others from being stopped; it was logged where it happened. */
async function settled(work: Promise<unknown> | undefined): Promise<void> {
  await Promise.allSettled([work]);
}

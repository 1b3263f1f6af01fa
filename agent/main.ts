/** Builds the agent from its parts, keeps it running, and takes it down without leaving anything attached. Knows all parts. */

import { constants } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { AgentBackend } from './backend.ts';
import { type Config, ConfigError, reloadConfig, watchConfigFile } from './config/index.ts';
import { debuginfodUrls } from './debuginfod.ts';
import { Exporting } from './exporting.ts';
import { createLog, type Log } from './lib/log.ts';
import { connect, type Remote } from './lib/rpc.ts';
import { objectDir, uiDir } from './paths.ts';
import type { PipelineApi, PipelineNotice, PipelineWorkerData } from './pipeline-protocol.ts';
import { applyReload } from './reload.ts';
import { type RunningServer, type ServerOptions, startServer } from './server/server.ts';
import { QueryClient } from './store/query-client.ts';
import { version } from './version.ts';
import { welcome } from './welcome.ts';

const metricIntervalMs = 10_000;
const statusIntervalMs = 1000;
/** By then the tables and names of what runs on the host are made, most of what is ever loaded at once. */
const settledMs = 5000;

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
  /** What its thread died of. */
  private pipelineFailure: Error | undefined;
  private query: QueryClient | undefined;
  private exporting: Exporting | undefined;
  private server: RunningServer | undefined;
  private backend: AgentBackend | undefined;
  private readonly timers: NodeJS.Timeout[] = [];
  private configWatch: { close(): void } | undefined;
  private starting: Promise<void> | undefined;
  private stopping: Promise<readonly string[]> | undefined;
  /** The end of the last reload: the next one waits for it. */
  private reloaded: Promise<void> = Promise.resolve();
  private onPipelineEnd: () => void = () => {};

  constructor(config: Config, log: Log) {
    this.config = config;
    this.log = log;
    this.databasePath = join(config.dataDir, 'hotspan.db');
  }

  start(): Promise<void> {
    this.starting = this.build();
    return this.starting;
  }

  private async build(): Promise<void> {
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
      limitBytes: () => this.config.retentionBytes,
      exporters: () => this.exporting?.states() ?? Promise.resolve([]),
    });
    this.server = await startServer(this.serverOptions(), this.backend);
    await this.startSources();
    await this.backend.refresh();
    // A signal came meanwhile, and stop() waits for this to end.
    if (this.stopping !== undefined) return;
    this.timers.push(
      setInterval(() => this.background('status', this.backend?.refresh()), statusIntervalMs),
      setInterval(() => this.background('metrics export', this.sendMetrics()), metricIntervalMs),
      setTimeout(() => this.background('release of memory', this.releaseMemory()), settledMs),
    );
    this.worker?.once('exit', () => this.onPipelineEnd());
    this.configWatch = watchConfigFile(
      config,
      () => this.reload(),
      error => log.warning(`${config.file} is not watched any more (${error.message}); after a change send SIGHUP`),
    );
    await this.announce(this.server.url);
  }

  /** People at a terminal get a block of their own, whatever the log's level is; who reads the log gets a line. */
  private async announce(url: string): Promise<void> {
    const { config, databasePath } = this;
    const isTerminal = process.stdout.isTTY === true;
    if (!isTerminal || process.stderr.isTTY !== true) this.log.info('hotspan is running', { ui: url, store: databasePath });
    if (!isTerminal || this.pipeline === undefined) return;
    const sources = await this.pipeline.sources();
    process.stdout.write(welcome({ url, sources, hasToken: config.token !== '', databasePath }));
  }

  /** Resolves with the exit code once a signal has ended the agent. A second signal ends it at once. */
  untilSignal(): Promise<number> {
    return new Promise(resolve => {
      let isStopping = false;
      const stop = (signal: NodeJS.Signals) => {
        if (isStopping) process.exit(128 + constants.signals[signal]);
        isStopping = true;
        this.log.info(`${signal}: storing what is in flight and detaching`);
        this.stop().then(failures => {
          for (const failure of failures) this.log.error(`not everything could be brought to an end: ${failure}`);
          resolve(failures.length === 0 ? 0 : 1);
        });
      };
      process.on('SIGTERM', stop);
      process.on('SIGINT', stop);
      process.on('SIGHUP', () => this.reload());
      this.onPipelineEnd = () => {
        if (isStopping) return;
        isStopping = true;
        const why = this.pipelineFailure === undefined ? '' : ` (${this.pipelineFailure.message})`;
        this.log.error(`the pipeline has ended${why}; the agent stops, and its next start goes on with the store as it is`);
        this.stop().finally(() => resolve(1));
      };
    });
  }

  /** Resolves with what could not be brought to an end, one sentence each. Never rejects. */
  stop(): Promise<readonly string[]> {
    this.stopping ??= this.takeDown();
    return this.stopping;
  }

  private async takeDown(): Promise<readonly string[]> {
    // A source that is being attached must be there to be detached. Whoever called start() hears how it failed.
    await Promise.allSettled([this.starting]);
    for (const timer of this.timers) clearInterval(timer);
    this.configWatch?.close();
    await this.reloaded;
    // The pipeline before those who read: what it still stores can then be exported.
    const parts = [this.server, this.pipeline, this.exporting, this.query];
    const failures: string[] = [];
    for (const part of parts) {
      // One part's failure must not keep the others from being stopped.
      await part?.close().catch((error: unknown) => failures.push(error instanceof Error ? error.message : String(error)));
    }
    await this.worker?.terminate();
    return failures;
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
      maxPendingBytes: config.pendingBytes,
      hasJvmPerfMaps: config.jvmPerfMap,
      budget: config.budgetPercent / 100,
      unwind: { maxBytes: config.unwindBytes, cacheDir: join(config.dataDir, 'unwind') },
      retention: { maxBytes: config.retentionBytes, maxAgeMs: config.retentionAgeMs },
    };
    const urls = debuginfodUrls(config.debuginfodUrls);
    const data: PipelineWorkerData = {
      ...base,
      ...(config.bufferPages === 0 ? {} : { bufferPages: config.bufferPages }),
      ...(urls.length === 0 ? {} : { debuginfod: { urls, cacheDir: join(config.dataDir, 'debuginfod') } }),
    };
    const worker = new Worker(new URL('./pipeline-worker.ts', import.meta.url), { workerData: data, name: 'hotspan-pipeline' });
    this.worker = worker;
    worker.on('error', error => {
      this.pipelineFailure = error;
    });
    worker.on('message', (message: Partial<PipelineNotice>) => {
      if (message.notice === 'warning') log.warning(message.message ?? '');
    });
    return connect<PipelineApi>(worker, () => this.pipelineFailure ?? new Error('the pipeline has ended'));
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

  /** V8 lets its heap shrink only where little happens, and code that ran at the start stays mapped: together a third of all. */
  private async releaseMemory(): Promise<void> {
    globalThis.gc?.();
    await this.pipeline?.releaseMemory();
  }

  private async sendMetrics(): Promise<void> {
    if (this.exporting === undefined || this.backend === undefined) return;
    await this.exporting.sendMetrics(await this.backend.snapshot());
  }

  /** One after the other: a file may change again, and a signal come, before the last change has been taken over. */
  private reload(): void {
    this.reloaded = this.reloaded
      .then(() => this.reloadOnce())
      .catch(error => {
        const problems: readonly string[] =
          error instanceof ConfigError ? error.problems : [error instanceof Error ? error.message : String(error)];
        for (const problem of problems) this.log.error(`not reloaded: ${problem}`);
      });
  }

  private async reloadOnce(): Promise<void> {
    if (this.pipeline === undefined || this.stopping !== undefined) return;
    const before = this.config;
    const { config, changes } = reloadConfig(before);
    this.config = config;
    await applyReload({ log: this.log, pipeline: this.pipeline }, before, config, changes);
    this.log.info(
      changes.length === 0 ? 'reloaded; nothing changed' : `reloaded; changed: ${changes.map(change => change.name).join(', ')}`,
    );
  }

  private background(what: string, work: Promise<void> | undefined): void {
    work?.catch(error => {
      // What was asked of parts that are being stopped has no answer any more.
      if (this.stopping === undefined) this.log.warning(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    });
  }
}

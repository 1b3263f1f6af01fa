/** The export worker seen from the main thread: started when a collector is configured, told metrics, its progress kept on disk. */

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { Config } from './config/config.ts';
import type { ExportApi, ExportWorkerData } from './export/export-worker.ts';
import type { MetricSnapshot } from './export/metric-snapshot.ts';
import { connect, type Remote } from './lib/rpc.ts';
import type { ExporterState } from './server/api.ts';

/** Spans that may wait in the store for an absent collector; about an hour at 280 spans a second. */
const maxBacklog = 1_000_000;

export class Exporting {
  private readonly worker: Worker;
  private readonly api: Remote<ExportApi>;
  private readonly cursorPath: string;
  private savedCursor: number;

  /** Undefined where nothing is to be exported. */
  static start(config: Config, databasePath: string, warn: (message: string) => void): Exporting | undefined {
    const { otlpEndpoint, otlpTracesEndpoint, otlpMetricsEndpoint, otlpProfilesEndpoint } = config;
    const hasTarget = [otlpEndpoint, otlpTracesEndpoint, otlpMetricsEndpoint, otlpProfilesEndpoint].some(url => url !== '');
    return hasTarget && !config.otlpDisabled ? new Exporting(config, databasePath, warn) : undefined;
  }

  private constructor(config: Config, databasePath: string, warn: (message: string) => void) {
    this.cursorPath = `${databasePath}.sent`;
    this.savedCursor = readCursor(this.cursorPath);
    const data: ExportWorkerData = {
      databasePath,
      target: {
        endpoint: config.otlpEndpoint,
        tracesEndpoint: config.otlpTracesEndpoint,
        metricsEndpoint: config.otlpMetricsEndpoint,
        profilesEndpoint: config.otlpProfilesEndpoint,
        protocol: config.otlpProtocol,
        headers: config.otlpHeaders,
        timeoutMs: config.otlpTimeoutMs,
        compression: config.otlpCompression,
      },
      resourceAttributes: config.otlpResourceAttributes,
      agentService: config.otlpServiceName,
      cursor: this.savedCursor,
      maxBacklog,
      profileTypes: config.otlpProfiles,
    };
    this.worker = new Worker(new URL('./export/export-worker.ts', import.meta.url), { workerData: data, name: 'hotspan-export' });
    this.worker.on('error', error => warn(`export stopped: ${error.message}; spans stay in the store until the next start`));
    this.api = connect<ExportApi>(this.worker, () => new Error('the export worker has ended'));
  }

  /** Never rejects: an export worker that is gone must not take the status page with it. */
  async states(): Promise<ExporterState[]> {
    try {
      await this.saveCursor();
      return await this.api.states();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return [{ name: 'otlp', endpoint: '', state: 'failing', queued: 0, sent: 0, dropped: 0, message }];
    }
  }

  sendMetrics(snapshot: MetricSnapshot): Promise<void> {
    return this.api.sendMetrics(snapshot);
  }

  async close(): Promise<void> {
    try {
      await this.api.close();
      await this.saveCursor();
    } finally {
      await this.worker.terminate();
    }
  }

  /** Written to a side file and renamed, so that a kill at any moment leaves the old or the new value. */
  private async saveCursor(): Promise<void> {
    const cursor = await this.api.cursor();
    if (cursor === this.savedCursor) return;
    try {
      writeFileSync(`${this.cursorPath}.new`, String(cursor));
      renameSync(`${this.cursorPath}.new`, this.cursorPath);
      this.savedCursor = cursor;
    } catch {
      // ENOSPC: the next second tries again; a restart before that sends some spans twice, which a collector sees by their ids.
    }
  }
}

function readCursor(path: string): number {
  try {
    const cursor = Number(readFileSync(path, 'utf8'));
    return Number.isSafeInteger(cursor) && cursor >= 0 ? cursor : -1;
  } catch {
    // ENOENT: the first run with a collector; it begins with what is stored from now on.
    return -1;
  }
}

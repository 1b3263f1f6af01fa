/** Entry of the export worker: reads spans from the store, encodes and sends them; sends metric snapshots that it is given. */

import { parentPort, workerData } from 'node:worker_threads';
import { ExportResultCode } from '@opentelemetry/core';
import { serve } from '../lib/rpc.ts';
import type { ExporterState } from '../server/api.ts';
import { openStoreReader, type SqliteStoreReader } from '../store/reader.ts';
import { openSpanFeed } from '../store/span-feed.ts';
import type { MetricSnapshot } from './metric-snapshot.ts';
import { metricExporter, type OtlpTarget, signalUrl, spanExporter } from './otlp-exporters.ts';
import { otlpMetrics } from './otlp-metrics.ts';
import { otlpProfiles } from './otlp-profiles.ts';
import { profilesExporter, profilesUrl } from './otlp-profiles-exporter.ts';
import { Resources } from './otlp-resource.ts';
import { ProfileSender } from './profile-sender.ts';
import { SpanSender } from './span-sender.ts';

export interface ExportWorkerData {
  readonly databasePath: string;
  readonly target: OtlpTarget;
  readonly resourceAttributes: Readonly<Record<string, string>>;
  /** service.name of the agent's own metrics. */
  readonly agentService: string;
  /** Where the last run stopped sending; -1 to begin with what is stored from now on. */
  readonly cursor: number;
  readonly maxBacklog: number;
  /** Types of profiles to send; none where empty. */
  readonly profileTypes: readonly string[];
}

/** Methods of the worker, as served over rpc. */
export interface ExportApi {
  states(): ExporterState[];
  /** Cursor up to which spans have been sent. */
  cursor(): number;
  sendMetrics(snapshot: MetricSnapshot): Promise<void>;
  close(): Promise<void>;
}

/** Spans still waiting at a stop get this long; what is left stays in the store and is sent by the next run. */
const closeDeadlineMs = 3000;

/** A profile a stretch and type: at 20 s a request of a busy host stays under the 4 MiB that a collector's gRPC receiver takes. */
const profileIntervalMs = 20_000;

function start(data: ExportWorkerData): ExportApi {
  const feed = openSpanFeed(data.databasePath);
  const resources = new Resources(data.resourceAttributes);
  let cursor = data.cursor >= 0 ? data.cursor : feed.head();
  const sender = new SpanSender({
    feed,
    exporter: spanExporter(data.target),
    resources,
    cursor,
    maxBacklog: data.maxBacklog,
    onProgress: reached => {
      cursor = reached;
    },
  });
  const metrics = metricExporter(data.target);
  const metricState: ExporterState = {
    name: 'otlp metrics',
    endpoint: signalUrl(data.target, data.target.metricsEndpoint, 'v1/metrics'),
    state: 'ok',
    queued: 0,
    sent: 0,
    dropped: 0,
    message: '',
  };
  const profiles = data.profileTypes.length === 0 ? undefined : startProfiles(data, resources);
  sender.begin();
  return {
    states: () => [
      { name: 'otlp traces', endpoint: signalUrl(data.target, data.target.tracesEndpoint, 'v1/traces'), ...sender.state },
      metricState,
      ...(profiles === undefined ? [] : [profiles.state()]),
    ],
    cursor: () => cursor,
    sendMetrics: snapshot =>
      new Promise(resolve => {
        metrics.export(otlpMetrics(snapshot, resources.of(data.agentService, '')), result => {
          const isSent = result.code === ExportResultCode.SUCCESS;
          // Cumulative values: a snapshot that was lost is made good by the next one.
          if (isSent) metricState.sent += 1;
          else metricState.dropped += 1;
          metricState.state = isSent ? 'ok' : 'retrying';
          metricState.message = isSent ? '' : (result.error?.message ?? 'the collector gave no reason');
          resolve();
        });
      }),
    close: async () => {
      await sender.close(closeDeadlineMs);
      await metrics.shutdown();
      await profiles?.close();
      feed.close();
    },
  };
}

function startProfiles(data: ExportWorkerData, resources: Resources): { state(): ExporterState; close(): Promise<void> } {
  const exporter = profilesExporter(data.target);
  let reader: SqliteStoreReader | undefined;
  const sender = new ProfileSender({
    read: range => {
      reader ??= openStoreReader(data.databasePath);
      const source = reader;
      return data.profileTypes.map(type => source.fullProfile({ ...range, type, filter: '', minShare: 0 }));
    },
    send: profiles => exporter.send(otlpProfiles(profiles, resources)),
    endpoint: profilesUrl(data.target),
    intervalMs: profileIntervalMs,
  });
  sender.begin();
  return {
    state: () => sender.state,
    close: async () => {
      await sender.close();
      exporter.close();
      reader?.close();
    },
  };
}

if (parentPort !== null) serve(parentPort, start(workerData as ExportWorkerData));

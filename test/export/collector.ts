/** A real OpenTelemetry Collector for tests: OTLP over HTTP and gRPC in, JSON lines of what it got out. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface ReceivedSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes?: { key: string; value: Record<string, unknown> }[];
  status?: { code?: number };
}

/** A profile, its samples with the names of their frames. */
export interface ReceivedProfile {
  readonly service: string;
  readonly type: string;
  readonly unit: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly samples: readonly { value: number; stack: string[]; pid: number }[];
}

export interface Collector {
  readonly httpUrl: string;
  readonly grpcUrl: string;
  start(): Promise<void>;
  /** kill -9, as a crash would. */
  kill(): Promise<void>;
  /** Every span in the file so far, with the service of its resource. */
  spans(): (ReceivedSpan & { service: string })[];
  /** Every profile in the file so far, with its service, and the dictionary that its numbers refer to. */
  profiles(): ReceivedProfile[];
  /** Names of metrics received so far. */
  metricNames(): Set<string>;
  close(): Promise<void>;
}

export async function makeCollector(): Promise<Collector> {
  const binary = execFileSync('sh', [join(import.meta.dirname, '../../scripts/collector.sh')], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  }).trim();
  const folder = mkdtempSync(join(tmpdir(), 'hotspan-collector-'));
  const [httpPort, grpcPort] = [await freePort(), await freePort()];
  const tracesPath = join(folder, 'traces.jsonl');
  const metricsPath = join(folder, 'metrics.jsonl');
  const profilesPath = join(folder, 'profiles.jsonl');
  const configPath = join(folder, 'config.yaml');
  writeFileSync(configPath, configText({ httpPort, grpcPort, tracesPath, metricsPath, profilesPath }));
  let child: ChildProcess | undefined;
  const kill = async () => {
    const running = child;
    child = undefined;
    if (running === undefined) return;
    const ended = new Promise(resolve => running.once('exit', resolve));
    running.kill('SIGKILL');
    await ended;
  };
  return {
    httpUrl: `http://127.0.0.1:${httpPort}`,
    grpcUrl: `http://127.0.0.1:${grpcPort}`,
    start: async () => {
      child = await startCollector(binary, configPath);
    },
    kill,
    spans: () => readLines<TracesLine>(tracesPath).flatMap(spansOfLine),
    profiles: () => readLines<ProfilesLine>(profilesPath).flatMap(profilesOfLine),
    metricNames: () =>
      new Set(
        readLines<MetricsLine>(metricsPath).flatMap(line =>
          line.resourceMetrics.flatMap(resource =>
            resource.scopeMetrics.flatMap(scope => scope.metrics.map(metric => metric.name)),
          ),
        ),
      ),
    close: async () => {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

interface TracesLine {
  resourceSpans: {
    resource: { attributes: { key: string; value: { stringValue?: string } }[] };
    scopeSpans: { spans: ReceivedSpan[] }[];
  }[];
}

interface MetricsLine {
  resourceMetrics: { scopeMetrics: { metrics: { name: string }[] }[] }[];
}

function spansOfLine(line: TracesLine): (ReceivedSpan & { service: string })[] {
  return line.resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = resource.attributes.find(attribute => attribute.key === 'service.name')?.value.stringValue ?? '';
    return scopeSpans.flatMap(scope => scope.spans.map(span => ({ ...span, service })));
  });
}

interface ProfilesLine {
  resourceProfiles: {
    resource: { attributes: { key: string; value: { stringValue?: string } }[] };
    scopeProfiles: { profiles: ProfileLine[] }[];
  }[];
  dictionary: {
    stringTable: string[];
    functionTable: { nameStrindex?: number }[];
    locationTable: { lines?: { functionIndex?: number }[] }[];
    stackTable: { locationIndices?: number[] }[];
    attributeTable: { keyStrindex?: number; value?: { intValue?: string } }[];
  };
}

/** Numbers of 64 bits come as text, and zeros not at all. */
interface ProfileLine {
  sampleType: { typeStrindex: number; unitStrindex: number };
  timeUnixNano: string;
  durationNano: string;
  samples: { stackIndex?: number; attributeIndices?: number[]; values?: string[] }[];
}

function profilesOfLine({ resourceProfiles, dictionary }: ProfilesLine): ReceivedProfile[] {
  const { stringTable, functionTable, locationTable, stackTable, attributeTable } = dictionary;
  const stack = (index = 0) =>
    (stackTable[index]?.locationIndices ?? []).flatMap(location =>
      (locationTable[location]?.lines ?? []).map(
        line => stringTable[functionTable[line.functionIndex ?? 0]?.nameStrindex ?? 0] ?? '',
      ),
    );
  const pid = (indices: readonly number[] = []) =>
    Number(
      indices.map(index => attributeTable[index]).find(attribute => stringTable[attribute?.keyStrindex ?? 0] === 'process.pid')
        ?.value?.intValue ?? 0,
    );
  return resourceProfiles.flatMap(({ resource, scopeProfiles }) => {
    const service = resource.attributes.find(attribute => attribute.key === 'service.name')?.value.stringValue ?? '';
    return scopeProfiles.flatMap(scope =>
      scope.profiles.map(({ sampleType, timeUnixNano, durationNano, samples }) => ({
        service,
        type: stringTable[sampleType.typeStrindex] ?? '',
        unit: stringTable[sampleType.unitStrindex] ?? '',
        fromMs: Number(timeUnixNano) / 1e6,
        toMs: (Number(timeUnixNano) + Number(durationNano)) / 1e6,
        samples: samples.map(sample => ({
          value: Number(sample.values?.[0] ?? 0),
          stack: stack(sample.stackIndex),
          pid: pid(sample.attributeIndices),
        })),
      })),
    );
  });
}

/** Whole lines only: the exporter may be writing the last one. */
function readLines<T>(path: string): T[] {
  if (!existsSync(path)) return [];
  const text = readFileSync(path, 'utf8');
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as T);
}

interface CollectorFiles {
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly tracesPath: string;
  readonly metricsPath: string;
  readonly profilesPath: string;
}

function configText(options: CollectorFiles): string {
  return `
receivers:
  otlp:
    protocols:
      http: { endpoint: "127.0.0.1:${options.httpPort}" }
      grpc: { endpoint: "127.0.0.1:${options.grpcPort}" }
exporters:
  file/traces: { path: "${options.tracesPath}", append: true, flush_interval: 100ms }
  file/metrics: { path: "${options.metricsPath}", append: true, flush_interval: 100ms }
  file/profiles: { path: "${options.profilesPath}", append: true, flush_interval: 100ms }
service:
  telemetry: { metrics: { level: none } }
  pipelines:
    traces: { receivers: [otlp], exporters: [file/traces] }
    metrics: { receivers: [otlp], exporters: [file/metrics] }
    profiles: { receivers: [otlp], exporters: [file/profiles] }
`;
}

async function startCollector(binary: string, configPath: string): Promise<ChildProcess> {
  const child = spawn(binary, ['--config', configPath, '--feature-gates=service.profilesSupport'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let words = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (text: string) => {
      words += text;
      if (words.includes('Everything is ready')) resolve();
    });
    child.once('error', reject);
    child.once('exit', code => reject(new Error(`the collector ended with ${code}: ${words}`)));
  });
  return child;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

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

export interface Collector {
  readonly httpUrl: string;
  readonly grpcUrl: string;
  start(): Promise<void>;
  /** kill -9, as a crash would. */
  kill(): Promise<void>;
  /** Every span in the file so far, with the service of its resource. */
  spans(): (ReceivedSpan & { service: string })[];
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
  const configPath = join(folder, 'config.yaml');
  writeFileSync(configPath, configText({ httpPort, grpcPort, tracesPath, metricsPath }));
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

function configText(options: { httpPort: number; grpcPort: number; tracesPath: string; metricsPath: string }): string {
  return `
receivers:
  otlp:
    protocols:
      http: { endpoint: "127.0.0.1:${options.httpPort}" }
      grpc: { endpoint: "127.0.0.1:${options.grpcPort}" }
exporters:
  file/traces: { path: "${options.tracesPath}", append: true, flush_interval: 100ms }
  file/metrics: { path: "${options.metricsPath}", append: true, flush_interval: 100ms }
service:
  telemetry: { metrics: { level: none } }
  pipelines:
    traces: { receivers: [otlp], exporters: [file/traces] }
    metrics: { receivers: [otlp], exporters: [file/metrics] }
`;
}

async function startCollector(binary: string, configPath: string): Promise<ChildProcess> {
  const child = spawn(binary, ['--config', configPath], { stdio: ['ignore', 'ignore', 'pipe'] });
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

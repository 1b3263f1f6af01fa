/** A real collector gets every stored span, over HTTP and gRPC, also when it was killed and away for half a minute. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, type SpansResult, type StatusResponse, source, startAgent, type TestAgent } from '../live/agent.ts';
import { type Collector, makeCollector } from './collector.ts';

const outageMs = 30_000;

/** Processes of a name that no other program on the machine has: each gives one span when it ends, also where nothing else happens. */
class Workload {
  readonly service = `collector-work-${process.pid}`;
  ran = 0;
  private readonly folder = mkdtempSync(join(tmpdir(), 'hotspan-work-'));
  private readonly program = join(this.folder, this.service);

  constructor() {
    copyFileSync('/bin/true', this.program);
  }

  run(): void {
    for (let i = 0; i < 50; i += 1) execFileSync(this.program);
    this.ran += 50;
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function storedCount(agent: TestAgent, filter = ''): Promise<number> {
  const spans = await agent.get<SpansResult>(`/api/v1/spans?from=now-1h&to=now&limit=1&filter=${encodeURIComponent(filter)}`);
  assert.ok(spans.isCountExact);
  return spans.count;
}

async function sender(agent: TestAgent): Promise<StatusResponse['exporters'][number]> {
  const { exporters } = await agent.get<StatusResponse>('/api/v1/status');
  const state = exporters.find(exporter => exporter.name === 'otlp traces');
  assert.ok(state !== undefined);
  return state;
}

/** The workload's spans are in the store, all of them. */
async function allStored(agent: TestAgent, work: Workload): Promise<void> {
  let count = 0;
  try {
    await eventually(`${work.ran} spans of the workload are stored`, 20_000, async () => {
      count = await storedCount(agent, `source=exec service="${work.service}"`);
      assert.ok(count <= work.ran, `${count} spans of ${work.ran} processes`);
      return count === work.ran ? true : undefined;
    });
  } catch (error) {
    const { counts, state } = await source(agent, 'exec');
    throw new Error(`${count} of ${work.ran} spans are stored; exec is ${state}: ${JSON.stringify(counts)}`, { cause: error });
  }
}

/** Stops what makes spans, and waits until the collector has as many as the store. */
async function compare(agent: TestAgent, collector: Collector, work: Workload): Promise<void> {
  await agent.post('/api/v1/sources/exec/stop');
  await agent.post('/api/v1/sources/file/stop');
  await allStored(agent, work);
  let seen = '';
  try {
    await eventually('as many received as stored', 60_000, async () => {
      const received = collector.spans();
      const ids = new Set(received.map(span => `${span.traceId} ${span.spanId}`));
      const ours = new Set(
        received.filter(span => span.name === 'process' && span.service === work.service).map(span => span.spanId),
      );
      const stored = await storedCount(agent);
      seen = `${ids.size} received, ${stored} stored; of the workload ${ours.size} received, ${work.ran} made`;
      return ids.size === stored && ours.size === work.ran ? true : undefined;
    });
  } catch (error) {
    throw new Error(`at the end: ${seen}`, { cause: error });
  }
  assert.equal((await sender(agent)).dropped, 0);
}

async function oneSpanAgrees(agent: TestAgent, collector: Collector): Promise<void> {
  const shown = (await agent.get<SpansResult>('/api/v1/spans?from=now-1h&to=now&limit=1&filter=source%3Dexec')).spans[0];
  assert.ok(shown !== undefined);
  const sent = collector.spans().find(span => span.spanId === shown.spanId && span.traceId === shown.traceId);
  assert.ok(sent !== undefined, 'the span shown in the UI is the one that was sent');
  assert.equal(sent.name, shown.name);
  assert.equal(sent.service, shown.service);
  assert.equal(sent.startTimeUnixNano, shown.startNs);
  assert.equal(Number(BigInt(sent.endTimeUnixNano) - BigInt(sent.startTimeUnixNano)), shown.durationNs);
  const pid = sent.attributes?.find(attribute => attribute.key === 'process.pid')?.value;
  assert.equal(Number(pid?.intValue), shown.pid);
}

test('over http/protobuf: the count equals the store, values agree, and an outage of 30 s loses nothing', async () => {
  const work = new Workload();
  const collector = await makeCollector();
  await collector.start();
  const agent = await startAgent({ args: ['--otlp-endpoint', collector.httpUrl] });
  try {
    work.run();
    // What a killed collector had taken and not yet written is its own loss, so it is killed when it has written everything.
    await compare(agent, collector, work);
    await collector.kill();
    await agent.post('/api/v1/sources/exec/start');
    await agent.post('/api/v1/sources/file/start');
    const restMs = Date.now() + outageMs;
    work.run();
    await new Promise(resolve => setTimeout(resolve, restMs - Date.now()));
    work.run();
    await allStored(agent, work);
    // The sender counts what waits whenever it tries again, at the latest after 10 s.
    const during = await eventually('100 spans wait while the collector is away', 30_000, async () => {
      const state = await sender(agent);
      return state.queued >= 100 ? state : undefined;
    });
    assert.notEqual(during.state, 'ok');
    await collector.start();
    await compare(agent, collector, work);
    await oneSpanAgrees(agent, collector);
    const names = await eventually('metrics arrive', 20_000, async () => {
      const found = collector.metricNames();
      return found.has('hotspan.events.seen') ? found : undefined;
    });
    for (const name of ['hotspan.function.duration', 'hotspan.events.stored', 'hotspan.agent.cpu'])
      assert.ok(names.has(name), name);
  } finally {
    await agent.stop();
    await collector.close();
    work.close();
  }
});

test('over gRPC: the count equals the store and values agree', async () => {
  const work = new Workload();
  const collector = await makeCollector();
  await collector.start();
  const agent = await startAgent({ args: ['--otlp-endpoint', collector.grpcUrl, '--otlp-protocol', 'grpc'] });
  try {
    work.run();
    work.run();
    await compare(agent, collector, work);
    await oneSpanAgrees(agent, collector);
  } finally {
    await agent.stop();
    await collector.close();
    work.close();
  }
});

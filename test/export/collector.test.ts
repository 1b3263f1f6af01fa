/** A real collector gets every stored span, over HTTP and gRPC, also when it was killed and away for half a minute. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { eventually, type SpansResult, type StatusResponse, startAgent, type TestAgent } from '../live/agent.ts';
import { type Collector, makeCollector } from './collector.ts';

const outageMs = 30_000;

/** Ends 50 processes with a name of their own: each gives one span. */
function work(): void {
  for (let i = 0; i < 50; i += 1) execFileSync('/bin/true');
}

async function storedCount(agent: TestAgent): Promise<number> {
  const spans = await agent.get<SpansResult>('/api/v1/spans?from=now-1h&to=now&limit=1');
  assert.ok(spans.isCountExact);
  return spans.count;
}

/** Waits until nothing is stored any more and everything stored was sent. */
async function settle(agent: TestAgent): Promise<number> {
  await agent.post('/api/v1/sources/exec/stop');
  await agent.post('/api/v1/sources/file/stop');
  await eventually('the spans are stored', 10_000, async () => ((await storedCount(agent)) >= 50 ? true : undefined));
  return eventually('everything stored is sent', 60_000, async () => {
    const count = await storedCount(agent);
    const exporter = (await agent.get<StatusResponse>('/api/v1/status')).exporters.find(state => state.name === 'otlp traces');
    return exporter !== undefined && exporter.sent + exporter.dropped >= count ? count : undefined;
  });
}

async function compare(agent: TestAgent, collector: Collector): Promise<void> {
  const stored = await settle(agent);
  const received = await eventually('the collector wrote what it took', 10_000, async () => {
    const ids = new Set(collector.spans().map(span => `${span.traceId} ${span.spanId}`));
    return ids.size >= stored ? ids.size : undefined;
  });
  const exporter = (await agent.get<StatusResponse>('/api/v1/status')).exporters.find(state => state.name === 'otlp traces');
  assert.equal(exporter?.dropped, 0);
  assert.equal(received, stored);
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
  const collector = await makeCollector();
  await collector.start();
  const agent = await startAgent({ args: ['--otlp-endpoint', collector.httpUrl] });
  try {
    work();
    // What a killed collector had taken and not yet written is its own loss, so it is killed when it has written everything.
    await compare(agent, collector);
    await collector.kill();
    await agent.post('/api/v1/sources/exec/start');
    await agent.post('/api/v1/sources/file/start');
    work();
    await new Promise(resolve => setTimeout(resolve, outageMs));
    work();
    const during = (await agent.get<StatusResponse>('/api/v1/status')).exporters.find(state => state.name === 'otlp traces');
    assert.ok((during?.queued ?? 0) >= 100, `${during?.queued} spans wait while the collector is away`);
    assert.notEqual(during?.state, 'ok');
    await collector.start();
    await compare(agent, collector);
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
  }
});

test('over gRPC: the count equals the store and values agree', async () => {
  const collector = await makeCollector();
  await collector.start();
  const agent = await startAgent({ args: ['--otlp-endpoint', collector.grpcUrl, '--otlp-protocol', 'grpc'] });
  try {
    work();
    work();
    await compare(agent, collector);
    await oneSpanAgrees(agent, collector);
  } finally {
    await agent.stop();
    await collector.close();
  }
});

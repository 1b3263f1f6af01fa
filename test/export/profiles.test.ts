/** A real collector gets what is stored of profiles, over HTTP and gRPC: every stretch once, its sums those of the store. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openStoreReader } from '../../agent/store/reader.ts';
import { startAgent } from '../live/agent.ts';
import { buildZoo, startAnimal } from '../zoo/zoo.ts';
import { type Collector, makeCollector, type ReceivedProfile } from './collector.ts';

const recordMs = 6000;

function sum(profiles: readonly ReceivedProfile[]): number {
  return profiles.reduce((all, { samples }) => all + samples.reduce((own, { value }) => own + value, 0), 0);
}

/** Runs an agent beside a program that spins in known functions, and stops it: what is left is sent then. */
async function runAgent(dataDir: string, args: readonly string[]): Promise<number> {
  const agent = await startAgent({ args: [...args, '--otlp-profiles', 'cpu'], dataDir });
  const animal = await startAnimal(await buildZoo('shares'), [String(recordMs / 1000)]);
  try {
    await new Promise(resolve => setTimeout(resolve, recordMs));
  } finally {
    animal.child.kill();
    assert.equal(await agent.stop(), 0);
  }
  return animal.pid;
}

function compare(collector: Collector, dataDir: string, pid: number): void {
  const received = collector.profiles();
  assert.ok(received.length > 0, 'profiles have come');
  assert.deepEqual([...new Set(received.map(({ type, unit }) => `${type} ${unit}`))], ['cpu nanoseconds']);
  const fromMs = Math.min(...received.map(profile => profile.fromMs));
  const toMs = Math.max(...received.map(profile => profile.toMs));
  const reader = openStoreReader(join(dataDir, 'hotspan.db'));
  try {
    const query = { fromMs, toMs, type: 'cpu', minShare: 0 };
    assert.equal(sum(received), reader.fullProfile({ ...query, filter: '' }).total);
    const own = received.flatMap(({ samples }) => samples.filter(sample => sample.pid === pid));
    const ownTotal = own.reduce((all, { value }) => all + value, 0);
    assert.equal(ownTotal, reader.fullProfile({ ...query, filter: `pid=${pid}` }).total);
    assert.ok(ownTotal > 1e9, `${ownTotal} ns of the program that spins`);
    const inMain = own.filter(({ stack }) => stack.includes('main')).reduce((all, { value }) => all + value, 0);
    assert.ok(inMain > 0.9 * ownTotal, `${inMain} of ${ownTotal} ns are under main`);
  } finally {
    reader.close();
  }
}

for (const protocol of ['http/protobuf', 'grpc'] as const) {
  test(`profiles over ${protocol}: sums equal the store's, in all and for one process, with their stacks`, async () => {
    const collector = await makeCollector();
    const dataDir = mkdtempSync(join(tmpdir(), 'hotspan-profiles-'));
    try {
      await collector.start();
      const url = protocol === 'grpc' ? collector.grpcUrl : collector.httpUrl;
      const pid = await runAgent(dataDir, ['--otlp-endpoint', url, '--otlp-protocol', protocol]);
      compare(collector, dataDir, pid);
    } finally {
      await collector.close();
      rmSync(dataDir, { recursive: true, force: true });
    }
  });
}

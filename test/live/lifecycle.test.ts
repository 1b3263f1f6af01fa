/** Starting, stopping and killing: what is stopped leaves nothing in the kernel, and what was stored stays. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { bpfObjects, eventually, type SourceState, type SpansResult, source, startAgent } from './agent.ts';

const dataDir = mkdtempSync(join(tmpdir(), 'hotspan-lifecycle-'));
after(() => rmSync(dataDir, { recursive: true, force: true }));

/** Every source, with settings that it needs to have something to attach. */
const settings: Readonly<Record<string, object>> = { func: { targets: ['kernel:do_sys_openat2'] } };

test('any source stops, leaves no program or map, and starts again, eight times over', async () => {
  const before = bpfObjects();
  const agent = await startAgent();
  try {
    const states = await agent.get<SourceState[]>('/api/v1/sources');
    for (const state of states) await agent.post(`/api/v1/sources/${state.name}/stop`);
    for (const { name } of states) {
      for (let round = 0; round < 8; round += 1) {
        const started = await agent.post<SourceState>(`/api/v1/sources/${name}/start`, { settings: settings[name] ?? {} });
        assert.equal(started.state, 'running', `${name}: ${started.message}`);
        const stopped = await agent.post<SourceState>(`/api/v1/sources/${name}/stop`);
        assert.equal(stopped.state, 'stopped');
      }
      await sameObjects(before, `${name} left nothing behind`);
    }
  } finally {
    assert.equal(await agent.stop(), 0);
  }
});

test('kill -9 leaves nothing attached, and the store opens again with all but the last second', async () => {
  const before = bpfObjects();
  const agent = await startAgent({ dataDir });
  await eventually('programs are loaded', 5000, async () =>
    bpfObjects().programs.length > before.programs.length ? true : undefined,
  );
  // A process a tick: each gives a span when it ends, so the newest span in the store tells how much was lost.
  const endMs = Date.now() + 4000;
  let lastMs = 0;
  while (Date.now() < endMs) {
    execFileSync('/bin/true');
    lastMs = Date.now();
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  await agent.kill();
  await sameObjects(before, 'the kernel has freed everything');
  const again = await startAgent({ dataDir });
  try {
    const filter = encodeURIComponent('source=exec');
    const spans = await again.get<SpansResult>(
      `/api/v1/spans?from=${endMs - 10_000}&to=${lastMs + 1}&filter=${filter}&order=start&desc=true&limit=1`,
    );
    const newest = spans.spans[0];
    assert.ok(newest !== undefined, 'spans of before the kill are there');
    assert.ok(
      lastMs - newest.startMs <= 1000 + 50,
      `the newest span is ${Math.round(lastMs - newest.startMs)} ms older than the last process`,
    );
    assert.ok(spans.count >= 50, `${spans.count} spans survived`);
    assert.doesNotMatch(again.log(), /damaged/);
    assert.equal((await source(again, 'cpu')).state, 'running');
  } finally {
    assert.equal(await again.stop(), 0);
  }
});

test('SIGTERM stores what is in flight, detaches and ends with 0', async () => {
  const before = bpfObjects();
  const agent = await startAgent();
  assert.equal(await agent.stop(), 0);
  await sameObjects(before, 'nothing is left');
});

/** The kernel frees programs and maps a grace period after their last user has gone, so they are looked for until then. */
async function sameObjects(before: ReturnType<typeof bpfObjects>, what: string): Promise<void> {
  await eventually(what, 5000, async () => (JSON.stringify(bpfObjects()) === JSON.stringify(before) ? true : undefined)).catch(
    () => assert.deepEqual(bpfObjects(), before, what),
  );
}

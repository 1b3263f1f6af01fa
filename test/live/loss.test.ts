/** Loss is told: with buffers far too small, what was seen is what was stored and what is told as lost, everywhere it is shown. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { eventually, type LedgerResult, type SpansResult, source, startAgent } from './agent.ts';

/** Opens the same file as fast as it can from several processes: far more than one page of buffer holds for 10 ms. */
const load = `
  const { openSync, closeSync } = require('node:fs');
  const end = Date.now() + 3000;
  while (Date.now() < end) for (let i = 0; i < 1000; i += 1) closeSync(openSync('/etc/hostname'));
`;

interface Balance {
  seen: number;
  stored: number;
  lost: number;
  inFlight: number;
  unexplained: number;
  bufferFull: number;
}

function balanceOf(ledger: LedgerResult, name: string): Balance {
  const row = ledger.sources.find(candidate => candidate.source === name);
  assert.ok(row !== undefined, `${name} is in the ledger`);
  return {
    seen: row.seen,
    stored: row.stored,
    lost: row.lost.reduce((sum, entry) => sum + entry.count, 0),
    inFlight: row.inFlight,
    unexplained: row.unexplained,
    bufferFull: row.lost.find(entry => entry.reason === 'buffer_full')?.count ?? 0,
  };
}

/** Value of a metric line with these labels in Prometheus text; 0 where there is none. */
function metric(text: string, name: string, labels: string): number {
  const line = text
    .split('\n')
    .find(candidate => candidate.startsWith(`${name}{`) && labels.split(',').every(label => candidate.includes(label)));
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ') + 1));
}

test('seen = stored + lost to the event, in the ledger, in /metrics and in the sources that the UI shows', async () => {
  const agent = await startAgent({ env: { HOTSPAN_BUFFER_PAGES: '1' } });
  try {
    await agent.post('/api/v1/sources/file/start', { settings: { min: 0 } });
    const fromMs = Date.now();
    await Promise.all(
      [0, 1, 2, 3].map(
        () => new Promise(resolve => spawn(process.execPath, ['-e', load], { stdio: 'inherit' }).once('exit', resolve)),
      ),
    );
    // Stopping drains what is in flight; from then on nothing may be under way.
    await agent.post('/api/v1/sources/file/stop');
    const balance = await eventually('the books are closed', 5000, async () => {
      const now = balanceOf(await agent.get<LedgerResult>('/api/v1/ledger?from=now-1h'), 'file');
      return now.inFlight === 0 && now.seen > 0 ? now : undefined;
    });
    assert.ok(balance.bufferFull > 1000, `the load overran the buffers (${balance.bufferFull} lost)`);
    assert.equal(balance.seen, balance.stored + balance.lost);
    assert.equal(balance.unexplained, 0);

    const spans = await agent.get<SpansResult>(
      `/api/v1/spans?from=${fromMs - 60_000}&to=now&filter=${encodeURIComponent('source=file')}&limit=1`,
    );
    if (spans.isCountExact) assert.equal(spans.count, balance.stored, 'stored spans can be listed, every one');

    const text = await agent.text('/metrics');
    assert.equal(metric(text, 'hotspan_events_seen_total', 'source="file"'), balance.seen);
    assert.equal(metric(text, 'hotspan_events_stored_total', 'source="file"'), balance.stored);
    assert.equal(metric(text, 'hotspan_events_lost_total', 'source="file",reason="buffer_full"'), balance.bufferFull);

    const shown = (await source(agent, 'file')).counts;
    assert.equal(shown.seen, balance.seen);
    assert.equal(shown.buffer_full, balance.bufferFull);
  } finally {
    await agent.stop();
  }
});

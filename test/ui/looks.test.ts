/**
 * How the UI looks and what it admits: every page in dark and light, at one and two device pixels per pixel, kept as pictures in
 * .build/screenshots; and losses, told with the ledger's own number where nobody can miss them.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import type { ProfileResult, SpansResult } from '../../agent/server/api.ts';
import { lossOf } from '../../ui/src/lib/source-loss.ts';
import { eventually, type LedgerResult, type StatusResponse, startAgent, type TestAgent } from '../live/agent.ts';
import { type Animal, buildZoo, startAnimal } from '../zoo/zoo.ts';
import { boxOf, openBrowser, UiPage, waitMs } from './browser.ts';

/** Each page with what is there once its data has come. */
const pages: readonly { readonly path: string; readonly name: string; readonly settled: string }[] = [
  { path: '/', name: 'overview', settled: 'service-row' },
  { path: '/flame', name: 'flame', settled: 'flame-total' },
  { path: '/traces', name: 'traces', settled: 'span-row' },
  { path: '/probes', name: 'probes', settled: 'source-cpu' },
  { path: '/agent', name: 'agent', settled: 'ledger-cpu' },
];

/** Opens the same file as fast as it can: far more than one page of buffer holds until it is read. */
const flood = `
  const { openSync, closeSync } = require('node:fs');
  const end = Date.now() + 2000;
  while (Date.now() < end) for (let i = 0; i < 1000; i += 1) closeSync(openSync('/etc/hostname'));
`;

let agent: TestAgent;
let browser: Browser;
let shares: Animal;
let range = '';

before(async () => {
  const binary = await buildZoo('shares');
  agent = await startAgent({ env: { HOTSPAN_BUFFER_PAGES: '1' } });
  browser = await openBrowser();
  shares = await startAnimal(binary, ['600', 'threads']);
  await agent.post('/api/v1/sources/file/settings', { settings: { min: 0 } });
  await new Promise(resolve => spawn(process.execPath, ['-e', flood], { stdio: 'inherit' }).once('exit', resolve));
  await agent.post('/api/v1/sources/file/stop');
  await eventually('samples and spans', 4 * waitMs, async () => {
    const profile = await agent.get<ProfileResult>('/api/v1/profile?type=cpu&from=now-5m');
    const spans = await agent.get<SpansResult>('/api/v1/spans?from=now-5m&limit=1');
    return profile.samples >= 200 && spans.count > 0 ? true : undefined;
  });
  const { nowMs } = await agent.get<StatusResponse>('/api/v1/status');
  range = `from=${nowMs - 120_000}&to=${nowMs}`;
});

after(async () => {
  shares?.child.kill('SIGKILL');
  await browser?.close();
  await agent?.stop();
});

/** Brightness of the page's ground, 0-255, as the browser computes it. */
async function groundOf(ui: UiPage): Promise<number> {
  const color = String(await ui.page.evaluate('getComputedStyle(document.body).backgroundColor'));
  const parts = [...color.matchAll(/[\d.]+/g)].slice(0, 3).map(match => Number(match[0]));
  assert.equal(parts.length, 3, color);
  return parts.reduce((sum, part) => sum + part, 0) / 3;
}

for (const scheme of ['dark', 'light'] as const) {
  for (const scale of [1, 2]) {
    test(`every page in ${scheme} at ${scale}x`, async () => {
      const ui = await UiPage.open(browser, agent.url, { colorScheme: scheme, deviceScaleFactor: scale });
      for (const { path, name, settled } of pages) {
        await ui.goto(`${path}?${range}`);
        await ui.part(settled).first().waitFor();
        const ground = await groundOf(ui);
        assert.ok(scheme === 'dark' ? ground < 60 : ground > 200, `${name} in ${scheme}: ground of ${ground}`);
        const png = await ui.screenshot(`${name}-${scheme}-${scale}x`);
        // Width and height stand at bytes 16 and 20 of every PNG (PNG specification, chunk IHDR).
        assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [1440 * scale, 900 * scale], name);
        if (name === 'flame') await checkCanvas(ui, scale);
      }
      await ui.close();
    });
  }
}

/** The graph is drawn in device pixels, in more than one colour. */
async function checkCanvas(ui: UiPage, scale: number): Promise<void> {
  const box = await boxOf(ui.part('flame-graph'));
  const drawn = (await ui.page.evaluate(`(() => {
    const canvas = document.querySelector('[data-testid=flame-graph] canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return { width: canvas.width, colors: new Set(new Uint32Array(data.buffer)).size };
  })()`)) as { width: number; colors: number };
  assert.ok(Math.abs(drawn.width - box.width * scale) <= 16 * scale, `${drawn.width} of ${box.width} at ${scale}x`);
  assert.ok(drawn.colors > 10, `${drawn.colors} colours`);
}

test('the colours can be switched, and stay so after a reload', async () => {
  const ui = await UiPage.open(browser, agent.url, { colorScheme: 'dark' });
  await ui.goto('/probes');
  await ui.part('theme').click();
  await eventually('a light ground', waitMs, async () => ((await groundOf(ui)) > 200 ? true : undefined));
  await ui.page.reload();
  await ui.part('source-cpu').waitFor();
  assert.ok((await groundOf(ui)) > 200);
  await ui.close();
});

test('what was lost stands in the top bar, in the ledger and on the Probes page', async () => {
  const ledger = await agent.get<LedgerResult>('/api/v1/ledger?from=now-1h');
  const lost = ledger.sources.find(line => line.source === 'file')?.lost ?? [];
  const full = lost.find(entry => entry.reason === 'buffer_full')?.count ?? 0;
  // On a busy machine some events may be lost in other ways too.
  const all = lossOf(Object.fromEntries(lost.map(entry => [entry.reason, entry.count])));
  assert.ok(full > 1000, `the flood overran the buffers (${full} lost)`);
  const ui = await UiPage.open(browser, agent.url);
  await ui.goto('/agent?from=now-1h');
  await ui.part('ledger-file').waitFor();
  await ui.shows('ledger', new RegExp(`\\b${full.toLocaleString('en-US')}\\s+buffer full\\b`));
  assert.match(await ui.text('own-cost'), /lost [\d.]+ [kM]/);
  assert.equal(await ui.part('own-cost').locator('.bad').count(), 1);
  await ui.part('own-cost').click();
  await ui.part('page-agent').waitFor();
  await ui.screenshot('loss-dark-1x');
  await ui.goto('/probes');
  await ui.shows('source-file', new RegExp(`\\b${all.toLocaleString('en-US')}\\b`));
  await ui.close();
});

/**
 * The UI in a real browser on a real agent that watches real programs: what it shows is what the API says and what the programs do,
 * every way through it works by pointer and by key, and the address alone makes the same view again.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import type { HeatmapResult, ProfileResult, TraceResult } from '../../agent/server/api.ts';
import {
  eventually,
  type LedgerResult,
  type SpansResult,
  type StatusResponse,
  source,
  startAgent,
  type TestAgent,
} from '../live/agent.ts';
import { type Animal, buildZoo, startAnimal } from '../zoo/zoo.ts';
import { boxOf, openBrowser, UiPage, waitMs } from './browser.ts';

/** Rows of the flame graph, in CSS pixels. */
const flameRowPx = 20;

/** The heatmap's place for its axes, in CSS pixels, and its cells (ui/src/views/latency-heatmap.tsx and traces-page.tsx). */
const heatmap = { axisWidthPx: 56, axisHeightPx: 18, columns: 160, rows: 36 };

let agent: TestAgent;
let browser: Browser;
let folder: string;
const animals: Animal[] = [];
let sharesPid = 0;
let writerPid = 0;
/** A range in which the programs ran, and that nothing changes any more. */
let range = '';

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hotspan-ui-'));
  const [shares, writer, spawner] = await Promise.all(['shares', '../ui/fsyncloop', 'spawner'].map(name => buildZoo(name)));
  agent = await startAgent();
  browser = await openBrowser();
  animals.push(await startAnimal(shares ?? '', ['600', 'threads']), await startAnimal(writer ?? '', [folder, '600']));
  [sharesPid = 0, writerPid = 0] = animals.map(animal => animal.pid);
  await agent.post('/api/v1/sources/file/settings', { settings: { min: 0, pid: writerPid } });
  execFileSync(spawner ?? '', ['20', '5']);
  const enough = await eventually('400 samples and 50 spans', 4 * waitMs, async () => {
    const now = await agent.get<StatusResponse>('/api/v1/status');
    const profile = await agent.get<ProfileResult>(`/api/v1/profile?type=cpu&from=now-5m&filter=${sharesFilter()}`);
    const spans = await agent.get<SpansResult>(`/api/v1/spans?from=now-5m&filter=${writerFilter()}&limit=1`);
    return profile.samples >= 400 && spans.count >= 50 ? now : undefined;
  });
  // Some seconds old, so that all of it is stored; a whole second for each column of the heatmap.
  const toMs = Math.floor(enough.nowMs / 1000) * 1000;
  range = `from=${toMs - heatmap.columns * 1000}&to=${toMs}`;
});

after(async () => {
  for (const animal of animals) animal.child.kill('SIGKILL');
  await browser?.close();
  await agent?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const sharesFilter = () => encodeURIComponent(`pid="${sharesPid}"`);
const writerFilter = () => encodeURIComponent(`pid="${writerPid}" name="fsync"`);

/** Runs a walk on a page of its own, and keeps a picture of where it failed. */
async function walk(name: string, steps: (ui: UiPage) => Promise<void>): Promise<void> {
  const ui = await UiPage.open(browser, agent.url);
  try {
    await steps(ui);
  } catch (error) {
    await ui.screenshot(`failed-${name}`);
    throw error;
  }
  await ui.close();
}

/** Share of the samples under a function, 0-1, by the API's own numbers. */
function shareOf(profile: ProfileResult, name: string): number {
  const isInside: boolean[] = [];
  let inside = 0;
  let all = 0;
  profile.self.forEach((value, node) => {
    const parent = profile.parent[node] ?? -1;
    isInside[node] = isInside[parent] === true || profile.functions.name[profile.fn[node] ?? -1] === name;
    all += value;
    if (isInside[node]) inside += value;
  });
  return inside / all;
}

/** Points at the frame with this name: upwards along the widest frames, then along the row that it is in. */
async function pointAt(ui: UiPage, name: string): Promise<{ x: number; y: number }> {
  const box = await boxOf(ui.part('flame-graph'));
  for (let y = box.y + box.height - flameRowPx / 2; y > box.y; y -= flameRowPx / 2) {
    for (let x = box.x + box.width / 40; x < box.x + box.width; x += box.width / 20) {
      await ui.page.mouse.move(x, y);
      if ((await ui.text('flame-status')).startsWith(`${name}\n`)) return { x, y };
    }
  }
  throw new Error(`no frame ${name} in sight`);
}

test('a function is found by search with its share, zoomed into, and left again by back and by key', async () => {
  const profile = await agent.get<ProfileResult>(`/api/v1/profile?type=cpu&${range}&filter=${sharesFilter()}`);
  const share = shareOf(profile, 'burn_sixty') * 100;
  assert.ok(Math.abs(share - 60) < 10, `burn_sixty takes 60 % of the program: ${share}`);
  await walk('search', async ui => {
    await ui.goto(`/flame?${range}&filter=${sharesFilter()}`);
    await ui.part('flame-total').waitFor();
    await ui.press('/');
    await ui.page.keyboard.type('burn_sixty');
    const found = await ui.shows('search-share', /found ([\d.]+) % of all/);
    assert.ok(Math.abs(Number(found[1]) - share) < 0.1, `${found[0]}, by the API ${share}`);
    assert.match(await ui.text('flame-facts'), new RegExp(`\\b${profile.samples.toLocaleString('en-US')} samples`));
    await ui.press('Enter');
    const place = await pointAt(ui, 'burn_sixty');
    assert.match(await ui.text('flame-status'), /\/shares\nnative\nself [\s\S]*total [\s\S]*of view\n[\d.]+ % of all/);
    await ui.page.mouse.click(place.x, place.y);
    await ui.hasParam('zoom', value => value !== '');
    await ui.shows('search-share', /found 100 % of view/);
    assert.match(await ui.text('zoom-path'), /run_worker[\s\S]*do_round[\s\S]*burn_sixty/);
    await ui.page.goBack();
    await ui.hasParam('zoom', value => value === '');
    await ui.shows('search-share', /of all/);
    await ui.page.goForward();
    await ui.hasParam('zoom', value => value !== '');
    await ui.press('Escape');
    await ui.shows('zoom-path', /do_round$/);
    await ui.press('r');
    await ui.hasParam('zoom', value => value === '');
    await ui.hasParam('search', value => value === '');
    await ui.part('search-share').waitFor({ state: 'detached' });
  });
});

test('a view that follows the present grows without a reload, and stands still while paused', async () => {
  await walk('live', async ui => {
    await ui.goto(`/flame?from=now-15m&filter=${sharesFilter()}`);
    const samples = async () => Number((await ui.shows('flame-facts', /([\d,]+) samples/))[1]?.replaceAll(',', ''));
    const loadedAt = await ui.page.evaluate('performance.timeOrigin');
    const place = await pointAt(ui, 'burn_sixty');
    // Into the frame, whose edges move a little with every sample.
    await ui.page.mouse.move(place.x + 60, place.y);
    const first = await samples();
    const second = await eventually('more samples', waitMs, async () => {
      const now = await samples();
      return now > first ? now : undefined;
    });
    await eventually('still more samples', waitMs, async () => ((await samples()) > second ? true : undefined));
    assert.match(await ui.text('flame-status'), /^burn_sixty\n/, 'what is under a resting pointer stays told');
    assert.equal(await ui.page.evaluate('performance.timeOrigin'), loadedAt);
    assert.equal(await ui.text('live'), 'live');
    await ui.press('.');
    await ui.shows('live', /^paused$/);
  });
});

test('the address holds the view: a reload shows the same', async () => {
  await walk('address', async ui => {
    await ui.goto(`/flame?${range}&filter=${sharesFilter()}&search=burn_t&view=icicle&table=1&order=total`);
    await ui.part('function-table').waitFor();
    await ui.part('search-share').waitFor();
    const seen = async () => ({
      url: ui.page.url(),
      facts: await ui.text('flame-facts'),
      table: await ui.text('function-table'),
      search: await ui.part('search').inputValue(),
    });
    const before = await seen();
    await ui.page.reload();
    await ui.part('search-share').waitFor();
    await ui.part('function-table').locator('.table-row').first().waitFor();
    assert.deepEqual(await seen(), before);
    assert.equal(before.search, 'burn_t');
    assert.match(before.table, /burn_twenty_five[\s\S]*burn_ten/);
  });
});

test('every key does what the help says', async () => {
  await walk('keys', async ui => {
    await ui.goto(`/?${range}`);
    for (const [key, name] of Object.entries({ t: 'traces', p: 'probes', a: 'agent', o: 'overview', f: 'flame' })) {
      await ui.press('g', key);
      await ui.part(`page-${name}`).waitFor();
    }
    await ui.part('flame-total').waitFor();
    await ui.press('i');
    await ui.hasParam('view', value => value === 'icicle');
    await ui.press('i');
    await ui.hasParam('view', value => value === '');
    await ui.press('t');
    await ui.part('function-table').waitFor();
    await ui.press('t');
    await ui.part('function-table').waitFor({ state: 'detached' });
    await ui.press('/');
    assert.ok(await ui.page.evaluate("document.activeElement.dataset.testid === 'search'"), 'the search has the focus');
    await ui.page.keyboard.type('it');
    await ui.hasParam('search', value => value === 'it');
    await ui.press('Escape');
    await ui.hasParam('search', value => value === '');
    await ui.press('?');
    await ui.part('help').waitFor();
    for (const help of ['Go to Traces', 'Flame or icicle', 'Pause and resume live data'])
      assert.ok((await ui.text('help')).includes(help), help);
    await ui.press('?');
    await ui.part('help').waitFor({ state: 'hidden' });
    await ui.press('g', 'p');
    await ui.part('page-probes').waitFor();
    await ui.press('?');
    await ui.part('help').waitFor();
    await ui.press('Escape');
    await ui.part('help').waitFor({ state: 'hidden' });
  });
});

/** Ids of the programs that the kernel has. */
function kernelPrograms(): Set<number> {
  const list = JSON.parse(execFileSync('bpftool', ['-j', 'prog', 'list'], { encoding: 'utf8' })) as { id: number }[];
  return new Set(list.map(program => program.id));
}

/** The programs of a source as the agent tells them, once the kernel tells of all of them. */
function programsInKernel(name: string): Promise<{ name: string; id: number }[]> {
  return eventually(`the programs of ${name} in the kernel`, waitMs, async () => {
    const { programs } = await source(agent, name);
    const there = kernelPrograms();
    return programs.length > 0 && programs.every(program => there.has(program.id)) ? programs : undefined;
  });
}

test('a source stopped on the Probes page is out of the kernel, and started again it is back', async () => {
  await walk('probes', async ui => {
    await ui.goto('/probes');
    const running = await programsInKernel('file');
    await ui.shows('state-file', /^running$/);
    await ui.part('switch-file').click();
    await ui.shows('state-file', /^stopped$/);
    await eventually('the kernel has none of its programs', waitMs, async () => {
      const left = kernelPrograms();
      return running.some(program => left.has(program.id)) ? undefined : true;
    });
    await ui.part('switch-file').click();
    await ui.shows('state-file', /^running$/);
    const again = await programsInKernel('file');
    assert.deepEqual(again.map(program => program.name).sort(), running.map(program => program.name).sort());
    assert.ok(
      again.every(program => !running.some(({ id }) => id === program.id)),
      'they were loaded anew',
    );
  });
});

test('a cell of the heatmap opens its spans, and a span its detail and stack', async () => {
  for (const name of ['file', 'exec']) await agent.post(`/api/v1/sources/${name}/stop`);
  const map = await agent.get<HeatmapResult>(
    `/api/v1/spans/heatmap?${range}&filter=${writerFilter()}&columns=${heatmap.columns}&rows=${heatmap.rows}`,
  );
  const cell = map.counts.findIndex(count => count > 0);
  assert.ok(cell >= 0, 'there is a cell with spans');
  await walk('heatmap', async ui => {
    await ui.goto(`/traces?${range}&filter=${writerFilter()}`);
    await ui.part('span-row').first().waitFor();
    const box = await boxOf(ui.part('heatmap'));
    const cellWidth = (box.width - heatmap.axisWidthPx) / map.columns;
    const cellHeight = (box.height - heatmap.axisHeightPx) / map.rows;
    const [row, column] = [Math.floor(cell / map.columns), cell % map.columns];
    const x = box.x + heatmap.axisWidthPx + (column + 0.5) * cellWidth;
    await ui.page.mouse.click(x, box.y + box.height - heatmap.axisHeightPx - (row + 0.5) * cellHeight);
    await ui.hasParam('filter', value => value.includes('duration>'));
    const filter = ui.param('filter');
    const spans = await agent.get<SpansResult>(
      `/api/v1/spans?from=${ui.param('from')}&to=${ui.param('to')}&filter=${encodeURIComponent(filter)}`,
    );
    assert.equal(spans.count, map.counts[cell]);
    await ui.shows('span-count', new RegExp(`^${spans.count} in range`));
    await ui.part('span-row').first().click();
    await ui.part('span-stack').waitFor();
    const [traceId = '', spanId = ''] = ui.param('select').split('.');
    const trace = await agent.get<TraceResult>(`/api/v1/traces/${traceId}`);
    const span = trace.spans.find(candidate => candidate.spanId === spanId);
    assert.ok(span !== undefined && span.pid === writerPid, 'the selected span is the writer’s');
    assert.equal(durationNs(await ui.text('span-duration')).toPrecision(3), span.durationNs.toPrecision(3));
    const detail = await ui.text('span-detail');
    assert.ok(detail.includes(`${folder}/record`), detail);
    // The C library's fsync has no frame of its own; its lines are known where its debug information is installed.
    assert.match(
      await ui.text('span-stack'),
      /\[kernel\]\s+fsync\s+(libc\.so\.6|fsync\.c:\d+)\s+save_record\s+fsyncloop\.c:\d+\s+main\s+fsyncloop\.c:\d+\b/,
    );
    await ui.screenshot('span-detail-dark-1x');
    await ui.press('Escape');
    await ui.part('span-detail').waitFor({ state: 'detached' });
  });
  for (const name of ['file', 'exec']) await agent.post(`/api/v1/sources/${name}/start`);
});

/** "1.23 ms" in nanoseconds. */
function durationNs(text: string): number {
  const [, value, unit = ''] = /^([\d.]+) (ns|µs|ms|s)$/.exec(text) ?? [];
  return Number(value) * ({ ns: 1, µs: 1e3, ms: 1e6, s: 1e9 }[unit] ?? Number.NaN);
}

test('the ledger on the Agent page balances', async () => {
  await walk('ledger', async ui => {
    await ui.goto('/agent');
    const { sources } = await agent.get<LedgerResult>('/api/v1/ledger');
    assert.ok(sources.some(line => line.source === 'cpu') && sources.some(line => line.source === 'file'));
    for (const { source: name } of sources) {
      await ui.part(`ledger-${name}`).waitFor();
      const cells = await ui.part(`ledger-${name}`).locator('td.num').allInnerTexts();
      const [seen, ...parts] = cells.map(cell => Number(cell.replaceAll(',', '')));
      assert.equal(
        parts.reduce((sum, part) => sum + part, 0),
        seen,
        `${name}: ${cells.join(' ')}`,
      );
      assert.equal(parts.at(-1), 0, `nothing of ${name} is unexplained`);
    }
    assert.match(await ui.text('own-cost'), /^[\d.<]+ % CPU\s+[\d.]+ MB\s+lost [\d.]+/);
  });
});

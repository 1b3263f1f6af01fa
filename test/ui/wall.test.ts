/** Where wall-clock went, in a real browser over a real agent: a program that fights for a lock, from its threads to the frame that blocks. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import type { ProfileResult, ThreadsResult } from '../../agent/server/api.ts';
import { eventually, startAgent, type TestAgent } from '../live/agent.ts';
import { buildZoo } from '../zoo/zoo.ts';
import { boxOf, openBrowser, pointAt, UiPage, waitMs } from './browser.ts';

/** Rows of the threads' lanes, in CSS pixels. */
const laneRowPx = 24;

let agent: TestAgent;
let browser: Browser;
let fighters: ChildProcess;

before(async () => {
  const binary = await buildZoo('waits');
  agent = await startAgent();
  browser = await openBrowser();
  await agent.post('/api/v1/sources/sched/stop');
  fighters = spawn(binary, ['lock', '300'], { stdio: 'ignore' });
});

after(async () => {
  fighters?.kill('SIGKILL');
  await browser?.close();
  await agent?.stop();
});

test('from the threads of a program to the lock that they wait for', async () => {
  const filter = `pid=${fighters.pid}`;
  const ui = await UiPage.open(browser, agent.url);
  await checkPicker(ui);
  // An empty place says which source fills it, and starts it.
  await ui.goto('/threads?from=now-5m');
  await ui.part('start-sched').click();
  await eventually('threads in the store', waitMs, async () => {
    const { threads } = await agent.get<ThreadsResult>(`/api/v1/threads?from=now-5m&filter=${filter}`);
    const locked = threads.flatMap(thread => thread.kinds.filter(own => own.kind === 'lock' && own.totalNs > 2e9));
    return locked.length > 0 ? true : undefined;
  });
  await ui.goto(`/threads?from=now-1m&filter=${filter}`);
  await ui.part('thread-name').first().waitFor();
  await ui.screenshot('threads-dark');
  await checkTable(ui);
  await checkLock(ui);
  await checkBrush(ui, filter);
  await checkDurations(ui);
  await ui.close();
});

/** The list of profile types by keys alone: what is not recorded says so, and has the button that starts it. */
async function checkPicker(ui: UiPage): Promise<void> {
  await ui.goto('/flame?from=now-5m');
  await ui.press('p');
  await ui.shows('profile-types', /CPU\s+Where code ran[\s\S]*Off-CPU[\s\S]*not recorded now/);
  await ui.part('profile-types').getByTestId('start-sched').waitFor();
  await ui.screenshot('types-dark');
  await ui.press('ArrowDown', 'ArrowDown', 'Enter');
  await ui.hasParam('type', type => type === 'offcpu');
  await ui.part('profile-types').waitFor({ state: 'detached' });
  await ui.press('p', '1');
  await ui.hasParam('type', type => type === '');
  await ui.press('p', 'Escape');
  await ui.part('profile-types').waitFor({ state: 'detached' });
  assert.equal(await ui.page.evaluate('document.activeElement.dataset.testid'), 'profile-type');
}

/** The table has what the lanes show. */
async function checkTable(ui: UiPage): Promise<void> {
  const names = (await ui.part('thread-name').allInnerTexts()).map(name => name.split(' ')[0]);
  await ui.press('t');
  await ui.part('threads-table').waitFor();
  const table = await ui.text('threads-table');
  for (const name of names) assert.ok(table.includes(name ?? ''), `${name} in the table`);
  await ui.press('t');
  await ui.part('thread-lanes').waitFor();
}

/** A thread opens its wall-clock; the mark of its wait has a number and a mean; its kind can be left out. */
async function checkLock(ui: UiPage): Promise<void> {
  await ui.part('thread-name').first().click();
  await ui.hasParam('type', type => type === 'wall');
  await ui.shows('flame-total', /\d/);
  await ui.screenshot('wall-dark');
  await ui.press('3');
  await ui.hasParam('type', type => type === 'offcpu');
  await ui.part('legend-lock').waitFor();
  await pointAt(ui, 'blocked: lock');
  await ui.shows('status-waits', /^waits [\d,]+ mean [\d.]+ (ns|µs|ms|s)$/);
  const filter = ui.param('filter');
  const query = `type=offcpu&from=now-1m&filter=${encodeURIComponent(filter)}`;
  const all = await agent.get<ProfileResult>(`/api/v1/profile?${query}&without=idle`);
  assert.ok(all.functions.kind.includes('lock'));
  await ui.part('legend-lock').click();
  await ui.hasParam('without', kinds => kinds === 'idle,lock' || kinds === 'lock,idle');
  await ui.shows('withheld', /lock/);
}

/** A drag over the lanes chooses a range of time and the threads under it: their flame graph has these alone. */
async function checkBrush(ui: UiPage, filter: string): Promise<void> {
  await ui.goto(`/threads?from=now-1m&filter=${filter}&order=lock`);
  await ui.part('thread-name').nth(1).waitFor();
  // Paused, rows stand still between reading their names and the brush.
  await ui.press('.');
  await ui.shows('live', /^paused$/);
  await ui.part('thread-name').nth(1).waitFor();
  const tids = (await ui.part('thread-name').allInnerTexts()).slice(0, 2).map(name => /(\d+)$/.exec(name.trim())?.[1] ?? '');
  const box = await boxOf(ui.part('thread-lanes'));
  const brush = async (rows: number) => {
    await ui.page.mouse.move(box.x + box.width * 0.5, box.y + laneRowPx / 2);
    await ui.page.mouse.down();
    await ui.page.mouse.move(box.x + box.width * 0.75, box.y + laneRowPx * (rows - 0.5), { steps: 4 });
    await ui.page.mouse.up();
    await ui.part('brush-menu').waitFor();
  };
  const checkRange = () => {
    const chosenMs = Number(ui.param('to')) - Number(ui.param('from'));
    assert.ok(Math.abs(chosenMs - 15_000) <= 2000, `${chosenMs} ms of a minute's quarter`);
  };
  await brush(1);
  await ui.screenshot('brush-dark');
  await ui.press('Escape');
  await ui.part('brush-menu').waitFor({ state: 'detached' });
  await brush(2);
  await ui.press('Enter');
  await ui.part('page-flame').waitFor();
  assert.ok(ui.param('filter').endsWith(`tid=~"^(${tids.join('|')})$"`), ui.param('filter'));
  assert.equal(ui.param('type'), 'wall');
  checkRange();
  await ui.shows('flame-total', /\d/);
  await ui.page.goBack();
  await ui.part('thread-name').nth(1).waitFor();
  await brush(2);
  await ui.part('brush-zoom').click();
  await ui.hasParam('to', to => /^\d+$/.test(to));
  checkRange();
}

/** How long the waits were, over time: on the Flame page for the type, with the figures that the API has; a drag sets the range. */
async function checkDurations(ui: UiPage): Promise<void> {
  await ui.goto('/flame?type=offcpu&from=now-1m');
  await ui.part('choose-durations').click();
  await ui.part('operation-blocked: lock').click();
  await ui.hasParam('operation', operation => operation === 'blocked: lock');
  const [, waits = ''] = await ui.shows('distribution-figures', /^([\d.]+ ?[kM]?) waits p50 [\d.]+ [µm]?s p99 [\d.]+ [µm]?s$/);
  assert.notEqual(waits, '0');
  await ui.screenshot('durations-dark');
  const box = await boxOf(ui.part('heatmap'));
  await ui.page.mouse.move(box.x + box.width * 0.5, box.y + 40);
  await ui.page.mouse.down();
  await ui.page.mouse.move(box.x + box.width * 0.9, box.y + 60, { steps: 4 });
  await ui.page.mouse.up();
  await ui.hasParam('to', to => /^\d+$/.test(to));
  await ui.goto('/?from=now-1m');
  await ui.part('operation-blocked: lock').click();
  await ui.part('distribution').waitFor();
  await ui.screenshot('waits-dark');
}

/** Where wall-clock went, in a real browser over a real agent: a program that fights for a lock, from its threads to the frame that blocks. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import type { ProfileResult, ThreadsResult } from '../../agent/server/api.ts';
import { eventually, startAgent, type TestAgent } from '../live/agent.ts';
import { buildZoo } from '../zoo/zoo.ts';
import { boxOf, openBrowser, pointAt, UiPage, waitMs } from './browser.ts';

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
  await ui.close();
});

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

/** A drag over the lanes is a range of time. */
async function checkBrush(ui: UiPage, filter: string): Promise<void> {
  await ui.goto(`/threads?from=now-1m&filter=${filter}`);
  const box = await boxOf(ui.part('thread-lanes'));
  await ui.page.mouse.move(box.x + box.width * 0.5, box.y + box.height / 2);
  await ui.page.mouse.down();
  await ui.page.mouse.move(box.x + box.width * 0.75, box.y + box.height / 2, { steps: 4 });
  await ui.page.mouse.up();
  await ui.hasParam('to', to => /^\d+$/.test(to));
  const chosenMs = Number(ui.param('to')) - Number(ui.param('from'));
  assert.ok(Math.abs(chosenMs - 15_000) <= 2000, `${chosenMs} ms of a minute's quarter`);
}

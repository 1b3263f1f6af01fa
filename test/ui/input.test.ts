/** Keys and typing at a machine's speed: nothing that a user presses or types on a page in sight is lost, and what stands above the page has the keyboard. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { startAgent, type TestAgent } from '../live/agent.ts';
import { openBrowser, UiPage } from './browser.ts';

let agent: TestAgent;
let browser: Browser;

before(async () => {
  agent = await startAgent();
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await agent?.stop();
});

/** Runs in the page before its scripts: presses keys in the very task in which the document is ready. */
const pressWhenReady = `document.addEventListener('DOMContentLoaded', () => {
  for (const key of ['g', 't']) document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
})`;

/** Runs in the page: letters that follow each other without a frame between them. Gives what stands in the field then. */
const typeAtOnce = `(async () => {
  const field = document.activeElement;
  for (const letter of 'burn_sixty') {
    document.execCommand('insertText', false, letter);
    for (let turn = 0; turn < 3; turn += 1) await Promise.resolve();
  }
  await new Promise(resolve => setTimeout(resolve, 200));
  return field.value;
})()`;

test('keys work from the moment that the page is there', async () => {
  const ui = await UiPage.open(browser, agent.url);
  await ui.page.addInitScript(pressWhenReady);
  await ui.goto('/');
  await ui.part('page-traces').waitFor();
  await ui.close();
});

test('a search typed faster than the screen is painted keeps every letter', async () => {
  const ui = await UiPage.open(browser, agent.url);
  await ui.goto('/flame');
  await ui.press('/');
  assert.equal(await ui.page.evaluate(typeAtOnce), 'burn_sixty');
  assert.equal(ui.param('search'), 'burn_sixty');
  await ui.close();
});

test('Esc closes the help on every page, does nothing else, and gives the focus back', async () => {
  const ui = await UiPage.open(browser, agent.url);
  for (const page of [
    '/?open=hotspan',
    '/flame?search=main',
    `/traces?select=${'1'.repeat(32)}.${'2'.repeat(16)}`,
    '/probes',
    '/agent',
  ]) {
    await ui.goto(page);
    const tab = ui.part('theme');
    await tab.focus();
    const before = ui.page.url();
    await ui.press('?');
    await ui.part('help').waitFor();
    assert.ok(await ui.page.evaluate("document.activeElement.closest('dialog') !== null"), `${page}: the help has the focus`);
    // What the page would do at these keys must not happen behind the help.
    await ui.press('r', 't', 'g', 'a', 'Escape');
    await ui.part('help').waitFor({ state: 'hidden' });
    assert.equal(ui.page.url(), before);
    assert.equal(await ui.page.evaluate('document.activeElement.dataset.testid'), 'theme', `${page}: the focus is back`);
    await ui.press('?', '?');
    await ui.part('help').waitFor({ state: 'hidden' });
  }
  // No such span is in the store, and the browser tells of the agent's answer.
  const others = ui.problems.filter(problem => !problem.includes('404'));
  assert.deepEqual(others, []);
  await ui.page.context().close();
});

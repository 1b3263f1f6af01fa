/** A real Chromium for tests of the UI: starts it, watches what no page may do, and reads what a page shows. */

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Locator, type Page } from 'playwright-core';
import { projectDir } from '../../scripts/lib/bpf.ts';
import { eventually } from '../live/agent.ts';

/** For every wait: machines that run tests are slow and shared. */
export const waitMs = 30_000;

/** Rows of the flame graph, in CSS pixels. */
const flameRowPx = 20;

export const screenshotDir = join(projectDir, '.build', 'screenshots');

/** Nothing but what it is told: no calls home, no updates, no GPU that the machine has not. */
const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: flags, timeout: 2 * waitMs });
}

/** A page of its own context, with everything in it that must not happen. */
export class UiPage {
  readonly page: Page;
  /** Errors of scripts and of the console, and requests to other hosts. */
  readonly problems: string[] = [];
  private readonly origin: string;

  private constructor(page: Page, origin: string) {
    this.page = page;
    this.origin = origin;
    page.setDefaultTimeout(waitMs);
    page.on('pageerror', error => this.problems.push(`script: ${error.stack ?? error.message}`));
    page.on('console', message => {
      if (message.type() === 'error' || message.type() === 'warning')
        this.problems.push(`console ${message.type()}: ${message.text()}`);
    });
    page.on('request', request => this.checkHost(request.url()));
    page.on('websocket', socket => this.checkHost(socket.url().replace(/^ws/, 'http')));
  }

  static async open(browser: Browser, origin: string, options: BrowserContextOptions = {}): Promise<UiPage> {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: 'dark', ...options });
    return new UiPage(await context.newPage(), origin);
  }

  private checkHost(url: string): void {
    if (!url.startsWith('data:') && !url.startsWith('blob:') && new URL(url).origin !== new URL(this.origin).origin)
      this.problems.push(`request to another host: ${url}`);
  }

  /** Closes it, and fails if anything happened that must not. */
  async close(): Promise<void> {
    await this.page.context().close();
    assert.deepEqual(this.problems, []);
  }

  /** `path` with its query, as in the address bar. */
  async goto(path: string): Promise<void> {
    await this.page.goto(this.origin + path, { timeout: waitMs });
  }

  part(testId: string): Locator {
    return this.page.getByTestId(testId);
  }

  async press(...keys: readonly string[]): Promise<void> {
    for (const key of keys) await this.page.keyboard.press(key);
  }

  async text(testId: string): Promise<string> {
    return (await this.part(testId).innerText()).replaceAll('\u00a0', ' ');
  }

  /** Waits until the part's text matches, and gives the match. */
  async shows(testId: string, pattern: RegExp): Promise<RegExpExecArray> {
    let last = '';
    try {
      return await eventually(testId, waitMs, async () => {
        const part = this.part(testId);
        if ((await part.count()) === 0) return undefined;
        last = await this.text(testId);
        return pattern.exec(last) ?? undefined;
      });
    } catch (error) {
      throw new Error(`${testId} never showed ${pattern}; last it was: ${last}`, { cause: error });
    }
  }

  /** A value of the address's query; '' where it is not there. */
  param(name: string): string {
    return new URL(this.page.url()).searchParams.get(name) ?? '';
  }

  /** Waits until the address has this value. */
  async hasParam(name: string, isRight: (value: string) => boolean): Promise<void> {
    await eventually(`${name} in the address ${this.page.url()}`, waitMs, async () =>
      isRight(this.param(name)) ? true : undefined,
    );
  }

  async screenshot(name: string): Promise<Buffer> {
    mkdirSync(screenshotDir, { recursive: true });
    return await this.page.screenshot({ path: join(screenshotDir, `${name}.png`), timeout: waitMs });
  }
}

/** The place of a part in the window. */
export async function boxOf(part: Locator): Promise<{ x: number; y: number; width: number; height: number }> {
  const box = await part.boundingBox();
  assert.ok(box !== null, 'the part is in sight');
  return box;
}

/** Points at the frame with this name: looks along every row, from the root's upwards. */
export async function pointAt(ui: UiPage, name: string): Promise<{ x: number; y: number }> {
  const box = await boxOf(ui.part('flame-graph'));
  for (let y = box.y + box.height - flameRowPx / 2; y > box.y; y -= flameRowPx / 2) {
    for (let x = box.x + box.width / 40; x < box.x + box.width; x += box.width / 20) {
      await ui.page.mouse.move(x, y);
      if ((await ui.text('flame-status')).split('\n')[0]?.endsWith(name) === true) return { x, y };
    }
  }
  throw new Error(`no frame ${name} in sight`);
}

/**
 * Makes the README's picture, ui/screenshot.png: the Flame page on programs in C, Go and JavaScript and on the kernel
 * beneath them. By hand, as root:
 * node test/ui/screenshot.ts
 */

import { copyFileSync, mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chdir } from 'node:process';
import type { ProfileResult } from '../../agent/server/api.ts';
import { projectDir } from '../../scripts/lib/bpf.ts';
import { eventually, startAgent } from '../live/agent.ts';
import { type Animal, buildZoo, startAnimal } from '../zoo/zoo.ts';
import { openBrowser, pointAt, UiPage } from './browser.ts';

const target = join(projectDir, 'ui', 'screenshot.png');

/** Where the README is read, larger pictures only take longer. */
const maxBytes = 300_000;

const programs = ['gospin', 'shares', 'ddloop', 'orders'];
const filter = `service=~"${programs.join('|')}"`;
const seconds = '300';

const folder = mkdtempSync(join(tmpdir(), 'hotspan-picture-'));
const animals: Animal[] = [];
const agent = await startAgent();
const browser = await openBrowser();
try {
  await startPrograms();
  const query = `type=cpu&from=now-1m&filter=${encodeURIComponent(filter)}`;
  await eventually('3,500 samples of all programs', 150_000, async () => {
    const profile = await agent.get<ProfileResult>(`/api/v1/profile?${query}`);
    const kinds = new Set(profile.functions.kind);
    return profile.samples >= 3500 && ['kernel', 'go', 'v8js', 'native'].every(kind => kinds.has(kind as never))
      ? true
      : undefined;
  });
  await takePicture();
} finally {
  for (const animal of animals) animal.child.kill('SIGKILL');
  await browser.close();
  await agent.stop();
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${target}: ${statSync(target).size} bytes`);
if (statSync(target).size > maxBytes) throw new Error(`the picture is larger than ${maxBytes} bytes`);

async function startPrograms(): Promise<void> {
  // V8 writes a log into the folder it is started in; under this name the process is not one Node among others.
  chdir(folder);
  const node = join(folder, 'orders');
  symlinkSync(process.execPath, node);
  const script = join(folder, 'orders.mjs');
  copyFileSync(join(projectDir, 'test/ui/orders.mjs'), script);
  for (const name of ['gospin', 'ddloop', 'shares']) animals.push(await startAnimal(await buildZoo(name), [seconds]));
  // Two of them, as a server would have workers, and each function with a frame of its own.
  const flags = ['--perf-basic-prof', '--interpreted-frames-native-stack', '--no-turbo-inlining'];
  for (let worker = 0; worker < 2; worker += 1) animals.push(await startAnimal(node, [...flags, script, seconds]));
}

/** With the pointer on a frame, so that the status line tells of it. */
async function takePicture(): Promise<void> {
  const ui = await UiPage.open(browser, agent.url);
  await ui.goto(`/flame?from=now-1m&filter=${encodeURIComponent(filter)}`);
  await ui.part('flame-total').waitFor();
  // Paused, nothing changes between pointing and the picture.
  await ui.press('.');
  await ui.shows('live', /^paused$/);
  await pointAt(ui, 'renderPage');
  await ui.page.screenshot({ path: target });
  await ui.close();
}

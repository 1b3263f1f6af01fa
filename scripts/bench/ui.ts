/** The flame graph in a real browser: how long until a million nodes are in sight, and until they are drawn again. */

import { createReadStream, existsSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { chromium } from 'playwright-core';
import { projectDir } from '../lib/bpf.ts';
import { type BenchRow, median, rowWithTarget } from './row.ts';

const nodes = 1_000_000;
const rounds = 3;
const uiDir = join(projectDir, '.build', 'ui');

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};

/** What window.benchFlame resolves to (ui/src/bench.ts); the part that is told here. */
interface FlameFigures {
  readonly nodes: number;
  readonly firstPaintMs: number;
  readonly redrawMs: number;
}

export async function run(): Promise<BenchRow[]> {
  if (!existsSync(join(uiDir, 'bench.html'))) throw new Error('the UI is not built; run "npm run build"');
  const server = await serveFiles();
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  });
  try {
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/bench.html`);
    const figures: FlameFigures[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await page.waitForFunction('window.benchFlame');
      figures.push(await page.evaluate<FlameFigures>(`window.benchFlame(${nodes})`));
    }
    const fewest = Math.min(...figures.map(figure => figure.nodes));
    if (fewest < nodes) throw new Error(`the graph had ${fewest} nodes instead of ${nodes}`);
    return [
      milliseconds('flame graph of 1 M nodes: first paint', median(figures.map(figure => figure.firstPaintMs)), 1500),
      milliseconds('redraw', median(figures.map(figure => figure.redrawMs)), 5),
    ];
  } finally {
    await browser.close();
    server.close();
    server.closeAllConnections();
  }
}

/** The built UI on a free port of this host. */
function serveFiles(): Promise<Server> {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://localhost').pathname);
    const file = createReadStream(join(uiDir, path));
    file.once('open', () => {
      response.setHeader('content-type', contentTypes[extname(path)] ?? 'application/octet-stream');
      file.pipe(response);
    });
    // A browser asks for more than there is, such as /favicon.ico.
    file.once('error', () => response.writeHead(404).end());
  });
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(server)));
}

function milliseconds(name: string, value: number, bound: number): BenchRow {
  return rowWithTarget(name, value, 'ms', { isAtLeast: false, bound });
}

if (import.meta.main) console.table(await run());

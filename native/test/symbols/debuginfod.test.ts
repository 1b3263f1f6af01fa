/** Debug information that this host has not is fetched from a real HTTP server, and names a stripped program. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { loadAddon } from '../../../agent/bpf/addon.ts';
import type { FrameInfo, NativeSymbolizer } from '../../../agent/bpf/native.ts';
import { DebugFileFetcher, debuginfodUrls } from '../../../agent/debuginfod.ts';
import { functionsIn } from './debug-truth.ts';
import { build, buildDir, packed, type RunningProgram, start } from './programs.ts';

const files = new Map<string, Buffer>();
const requests: string[] = [];
const server = createServer((request, response) => {
  requests.push(request.url ?? '');
  const file = files.get(/^\/buildid\/(\w+)\/debuginfo$/.exec(request.url ?? '')?.[1] ?? '');
  if (file === undefined) response.writeHead(404).end();
  else response.writeHead(200).end(file);
});
let url = '';
let symbolizer: NativeSymbolizer;

before(async () => {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  url = `http://127.0.0.1:${address.port}`;
  symbolizer = loadAddon().createSymbolizer({ maxBytes: 48 << 20 });
});
after(() => {
  symbolizer.close();
  server.close();
});

/** A program without debug information that is like no other, its build id, and the address of its function `sort`. */
let made = 0;
function stripped(name: string): { path: string; buildId: string; address: bigint; debug: string } {
  made += 1;
  const id = `-Wl,--build-id=0x${'0123456789abcdef'.repeat(2)}${String(made).padStart(8, '0')}`;
  const whole = build(`${name}-whole`, 'gcc', ['-g', '-O2', '-no-pie', id, '-w', '-o', '{out}', '{src}inlined.c']);
  const buildId = execFileSync('readelf', ['-n', whole], { encoding: 'utf8' }).match(/Build ID: (\w+)/)?.[1] ?? '';
  const address = functionsIn(whole).find(one => one.name === 'sort')?.address ?? 0n;
  const [path, debug] = [join(buildDir, name), join(buildDir, `${name}.debug-file`)];
  execFileSync('objcopy', ['--strip-all', whole, path]);
  execFileSync('objcopy', ['--only-keep-debug', whole, debug]);
  return { path, buildId, address: address + 4n, debug };
}

async function frameOf(program: RunningProgram, address: bigint): Promise<FrameInfo | undefined> {
  const [frame] = await symbolizer.describe(symbolizer.locate(program.pid, packed([address]), false));
  return frame;
}

describe('debuginfod', () => {
  test('servers are those configured, and those of the environment only when it is asked for', () => {
    assert.deepEqual(debuginfodUrls([], 'https://one.example'), []);
    assert.deepEqual(debuginfodUrls(['https://two.example/', 'ftp://three.example'], 'https://one.example'), [
      'https://two.example',
    ]);
    assert.deepEqual(debuginfodUrls(['env'], 'https://one.example  http://two.example'), [
      'https://one.example',
      'http://two.example',
    ]);
  });

  test('a file is fetched once, named by, and kept in the cache', async () => {
    const { path, buildId, address, debug } = stripped('fetched');
    const program = await start(path);
    const options = { urls: [`${url}/nothing-here`, url], cacheDir: join(buildDir, 'cache'), warn: assert.fail };
    const fetcher = new DebugFileFetcher(symbolizer, options);
    // What is described before the first question is not collected.
    await fetcher.run();
    const before = await frameOf(program, address);
    assert.equal(before?.buildId, buildId);
    assert.ok(before.isGuess);
    files.set(buildId, readFileSync(debug));
    await fetcher.run();
    const named = await frameOf(program, address);
    assert.equal(named?.lines.at(-1)?.name, 'sort');
    assert.match(named.lines[0]?.file ?? '', /inlined\.c$/);
    assert.ok((named.lines[0]?.line ?? 0) > 0);
    assert.notEqual(named.id, before.id, 'a new id, so that it is named anew by all who keep names');
    assert.equal(requests.filter(text => text.endsWith(`/buildid/${buildId}/debuginfo`)).length, 2);
    assert.deepEqual(readdirSync(join(buildDir, 'cache')), [`${buildId}.debug`]);
    await program.stop();
    // Another run of the agent finds it there.
    files.clear();
    const other = loadAddon().createSymbolizer({ maxBytes: 48 << 20 });
    other.missingDebugFiles();
    const again = await start(path);
    await other.describe(other.locate(again.pid, packed([address]), false));
    await new DebugFileFetcher(other, options).run();
    const [frame] = await other.describe(other.locate(again.pid, packed([address]), false));
    assert.equal(frame?.lines.at(-1)?.name, 'sort');
    await again.stop();
    other.close();
  });

  test("a file that is too large, another program's, or no ELF file at all names nothing", async () => {
    const warnings: string[] = [];
    const { path, buildId, address } = stripped('refused');
    const program = await start(path);
    await frameOf(program, address);
    const options = { urls: [url], cacheDir: join(buildDir, 'cache-refused'), warn: (text: string) => warnings.push(text) };
    files.set(buildId, Buffer.alloc(4096, 'not an ELF file'));
    await new DebugFileFetcher(symbolizer, { ...options, maxFileBytes: 100 }).run();
    assert.equal(warnings.length, 1);
    assert.deepEqual(readdirSync(options.cacheDir), []);
    symbolizer.addDebugFile(buildId, stripped('another').debug);
    assert.ok((await frameOf(program, address))?.isGuess);
    const bad = join(buildDir, 'bad.debug');
    writeFileSync(bad, 'not an ELF file');
    symbolizer.addDebugFile(buildId, bad);
    assert.ok((await frameOf(program, address))?.isGuess);
    assert.ok(existsSync(bad));
    await program.stop();
  });

  test('the cache gives way to what is newer', async () => {
    const asked = ['aa'.repeat(10), 'bb'.repeat(10), 'cc'.repeat(10)];
    for (const id of asked) files.set(id, Buffer.alloc(1000));
    const cacheDir = join(buildDir, 'cache-small');
    const added: string[] = [];
    const symbols = { missingDebugFiles: () => asked.splice(0, 1), addDebugFile: (id: string) => added.push(id) };
    const fetcher = new DebugFileFetcher(symbols, { urls: [url], cacheDir, warn: assert.fail, maxCacheBytes: 2000 });
    for (let i = 0; i < 3; i += 1) {
      await fetcher.run();
      await new Promise(resolve => setTimeout(resolve, 20));
    }
    assert.deepEqual(added, ['aa'.repeat(10), 'bb'.repeat(10), 'cc'.repeat(10)]);
    assert.deepEqual(readdirSync(cacheDir).sort(), [`${'bb'.repeat(10)}.debug`, `${'cc'.repeat(10)}.debug`]);
  });
});

/** Symbolizers come and go, in workers too, with work under way or not, and leave nothing behind. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { loadAddon } from '../../../agent/bpf/addon.ts';
import { build, packed, start } from './programs.ts';

const count = (what: 'fd' | 'task') => readdirSync(`/proc/self/${what}`).length;
const residentMb = () => process.memoryUsage.rss() / 1e6;

/** Addresses all over the code that this process has mapped. */
function ownAddresses(each: number): bigint[] {
  const lines = readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter(line => line.includes(' r-xp ') && line.includes('/'));
  return lines.flatMap(line => {
    const [begin = 0n, end = 0n] = (line.split(' ')[0] ?? '').split('-').map(hex => BigInt(`0x${hex}`));
    return Array.from({ length: each }, (_, i) => begin + ((end - begin) * BigInt(i)) / BigInt(each));
  });
}

describe('life of symbolizers', () => {
  test('opened and closed many times, nothing is left', async () => {
    const addresses = packed(ownAddresses(2));
    const round = async (isAwaited: boolean) => {
      const symbolizer = loadAddon().createSymbolizer({ maxBytes: 16 << 20 });
      const ids = symbolizer.locate(process.pid, addresses, false);
      const frames = symbolizer.describe(ids);
      if (isAwaited) assert.equal((await frames).length, ids.length);
      symbolizer.close();
      symbolizer.close();
      // Closed before its answer came: either it came all the same, or it says why not.
      await frames.catch(error => assert.match(String(error), /closed/));
    };
    for (let i = 0; i < 5; i += 1) await round(true);
    const [fds, tasks, resident] = [count('fd'), count('task'), residentMb()];
    for (let i = 0; i < 10; i += 1) await round(true);
    for (let i = 0; i < 200; i += 1) await round(false);
    assert.equal(count('fd'), fds);
    assert.equal(count('task'), tasks);
    assert.ok(residentMb() - resident < 60, `${resident.toFixed(0)} MB grew to ${residentMb().toFixed(0)} MB`);
  });

  test('one that is never closed goes with the garbage', async () => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const tasks = count('task');
    for (let i = 0; i < 20; i += 1) loadAddon().createSymbolizer({ maxBytes: 16 << 20 });
    assert.ok(count('task') > tasks);
    for (let i = 0; i < 50 && count('task') > tasks; i += 1) {
      collect();
      await new Promise(resolve => setTimeout(resolve, 20));
    }
    assert.ok(count('task') <= tasks);
  });

  test('workers that end or are ended with work under way', async () => {
    const source = `
      const { workerData, parentPort } = require('node:worker_threads');
      import(workerData.addon).then(({ loadAddon }) => {
        const symbolizer = loadAddon().createSymbolizer({ maxBytes: 16 << 20 });
        const ids = symbolizer.locate(process.pid, workerData.addresses, false);
        symbolizer.describe(ids).then(frames => parentPort.postMessage(frames.length));
        if (workerData.how === 'exit') process.exit(0);
        parentPort.postMessage(0);
      });`;
    const addon = new URL('../../../agent/bpf/addon.ts', import.meta.url).href;
    const addresses = packed(ownAddresses(4));
    const tasks = count('task');
    for (let i = 0; i < 30; i += 1) {
      const how = ['exit', 'terminate', 'answer'][i % 3];
      const worker = new Worker(source, { eval: true, workerData: { addon, addresses, how } });
      await new Promise<void>((resolve, reject) => {
        worker.on('error', reject);
        worker.on('exit', () => resolve());
        worker.on('message', (answered: number) => {
          if (how === 'terminate' || answered > 0) worker.terminate();
        });
      });
    }
    for (let i = 0; i < 100 && count('task') > tasks; i += 1) await new Promise(resolve => setTimeout(resolve, 20));
    assert.ok(count('task') <= tasks);
  });

  test('it does not keep the process running', async () => {
    const addon = fileURLToPath(new URL('../../../agent/bpf/addon.ts', import.meta.url));
    const { spawnSync } = await import('node:child_process');
    const script = `import { loadAddon } from '${addon}';
      const symbolizer = loadAddon().createSymbolizer({ maxBytes: 16 << 20 });
      symbolizer.describe(Uint32Array.of(1, 2)).then(frames => console.log(frames.length));`;
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', timeout: 60_000 });
    assert.equal(run.stdout, '2\n', run.stderr);
    assert.equal(run.status, 0);
  });
});

describe('memory', () => {
  test('symbols beyond the budget are dropped, and read again when asked for', async () => {
    const small = loadAddon().createSymbolizer({ maxBytes: 8 << 20 });
    const large = loadAddon().createSymbolizer({ maxBytes: 256 << 20 });
    const addresses = packed(ownAddresses(20));
    const expected = await large.describe(large.locate(process.pid, addresses, false));
    for (let round = 0; round < 3; round += 1) {
      const frames = await small.describe(small.locate(process.pid, addresses, false));
      assert.deepEqual(
        frames.map(frame => frame.lines[0]?.name),
        expected.map(frame => frame.lines[0]?.name),
      );
    }
    // The table of the file that is in use is kept even where it alone is above the budget.
    assert.ok(small.memory().bytes <= large.memory().bytes);
    assert.ok(large.memory().bytes > 10e6);
    small.close();
    large.close();
  });

  test('files are not kept open, so deleted ones give their space back', async () => {
    const symbolizer = loadAddon().createSymbolizer({ maxBytes: 64 << 20 });
    const path = build('short-lived', 'gcc', ['-O2', '-o', '{out}', '{src}functions.c', '-ldl']);
    const program = await start(path);
    const address = BigInt(program.lines[0]?.split(' ')[1] ?? '0');
    const isOpen = () =>
      readdirSync('/proc/self/fd').some(fd => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`) === path;
        } catch {
          // The descriptor of the listing itself is closed by now.
          return false;
        }
      });
    const ids = symbolizer.locate(program.pid, packed([address]), false);
    assert.ok(isOpen(), 'from the first sight on, for names when the program is gone');
    const [frame] = await symbolizer.describe(ids);
    assert.equal(frame?.lines[0]?.name, 'exported_function');
    assert.ok(!isOpen(), 'no longer than needed');
    await program.stop();
    rmSync(path);
    symbolizer.close();
  });

  test('arguments that make no sense are refused in a sentence', () => {
    const { createSymbolizer } = loadAddon();
    assert.throws(() => createSymbolizer({ maxBytes: 10 }), /maxBytes of at least 1 MiB/);
    assert.throws(() => createSymbolizer({ maxBytes: Number.NaN }), /maxBytes/);
    const symbolizer = createSymbolizer({ maxBytes: 8 << 20 });
    assert.throws(() => symbolizer.locate(1, 'x' as unknown as Uint8Array, false), /Uint8Array/);
    assert.throws(() => symbolizer.locate(1, new Uint8Array(8 * 70_000), false), /65,536/);
    assert.throws(() => symbolizer.describe([1] as unknown as Uint32Array), /Uint32Array/);
    assert.throws(() => symbolizer.findSymbols('/nonexistent', '*', 10), /ENOENT/);
    assert.throws(() => symbolizer.findSymbols('/etc/passwd', '*', 10), /not an ELF file/);
    assert.equal(symbolizer.locate(1, new Uint8Array(7), false).length, 0);
    symbolizer.close();
  });
});

/** Processes that write names without end: memory stays where it was, and names go on coming. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { loadAddon } from '../../../agent/bpf/addon.ts';
import type { NativeSymbolizer } from '../../../agent/bpf/native.ts';
import { build, buildDir, packed, start } from './programs.ts';

const maxGrowthBytes = 10e6;
const codeBegin = 0x510000000000n;

let symbolizer: NativeSymbolizer;
let program = '';
before(() => {
  symbolizer = loadAddon().createSymbolizer({ maxBytes: 64 << 20 });
  program = build('jit-memory', 'gcc', ['-O2', '-o', '{out}', '{src}jit-memory.c']);
});
after(() => symbolizer.close());

/** Writes a file in a process of its own, so that its memory is not ours. */
function writeElsewhere(path: string, script: string): void {
  execFileSync(process.execPath, ['-e', `const path = ${JSON.stringify(path)}; const fs = require('node:fs'); ${script}`]);
}

async function nameAt(pid: number, address: bigint): Promise<string> {
  const [frame] = await symbolizer.describe(symbolizer.locate(pid, packed([address]), false));
  return frame?.lines[0]?.name ?? '';
}

/** Names an address until it is called as expected; gives how much the process grew by meanwhile, at most. */
async function growth(pid: number, address: bigint, expected: string): Promise<number> {
  const before = process.memoryUsage.rss();
  let largest = 0;
  for (const endMs = Date.now() + 120_000; Date.now() < endMs; ) {
    const name = await nameAt(pid, address);
    largest = Math.max(largest, process.memoryUsage.rss() - before);
    if (name === expected) return largest;
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  return assert.fail(`${address.toString(16)} has not got the name ${expected}`);
}

/** The first naming brings what is made once: the kernel's symbols, buffers of JavaScript. */
async function warmUp(pid: number): Promise<void> {
  for (let i = 0n; i < 500n; i += 1n) await nameAt(pid, codeBegin + i);
}

test('a perf-map of two gigabytes', { timeout: 180_000 }, async () => {
  const running = await start(program);
  const path = `/tmp/perf-${running.pid}.map`;
  await warmUp(running.pid);
  // A hole, then 100 MB of lines: more than a million functions, each with a name of its own.
  writeElsewhere(
    path,
    `const fd = fs.openSync(path, 'w'); fs.ftruncateSync(fd, 2 ** 31); let at = 2 ** 31; const put = text => { at += fs.writeSync(fd, text, at); };
     for (let i = 0; i < 1100; i++) { let text = '\\n'; for (let k = 0; k < 1000; k++) text += (0x600000000000 + (i * 1000 + k) * 64).toString(16) + ' 40 function_' + i + '_' + k + 'x'.repeat(50) + '\\n'; put(text); }
     put('${codeBegin.toString(16)} 1000 at_the_end\\n');`,
  );
  assert.ok(statSync(path).size > 2 ** 31 + 9e7);
  const grown = await growth(running.pid, codeBegin + 0x800n, 'at_the_end');
  console.log(`grew by ${(grown / 1e6).toFixed(1)} MB`);
  assert.ok(grown < maxGrowthBytes);
  await running.stop();
  rmSync(path);
});

test('a jitdump of a million records', { timeout: 180_000 }, async () => {
  const path = join(buildDir, 'jit-1.dump');
  const record = `const record = (start, name) => { const size = 57 + name.length + 4; const bytes = Buffer.alloc(size, 0x90); bytes.writeUInt32LE(0, 0);
     bytes.writeUInt32LE(size, 4); bytes.writeBigUInt64LE(BigInt(start), 32); bytes.writeBigUInt64LE(64n, 40); bytes.write(name + '\\0', 56); return bytes; };`;
  const lines = `const lines = start => { const bytes = Buffer.alloc(32 + 3 * 18); bytes.writeUInt32LE(2, 0); bytes.writeUInt32LE(bytes.length, 4); bytes.writeBigUInt64LE(BigInt(start), 16);
     bytes.writeBigUInt64LE(3n, 24); for (let i = 0; i < 3; i++) { bytes.writeBigUInt64LE(BigInt(start + i), 32 + 18 * i); bytes.writeUInt32LE(start % 9973 + i, 40 + 18 * i); bytes.write('f\\0', 48 + 18 * i); } return bytes; };`;
  writeElsewhere(
    path,
    `const header = Buffer.alloc(40); header.writeUInt32LE(0x4a695444, 0); header.writeUInt32LE(1, 4); header.writeUInt32LE(40, 8); const fd = fs.openSync(path, 'w'); fs.writeSync(fd, header);
     ${record} ${lines}
     for (let i = 0; i < 500; i++) { const parts = []; for (let k = 0; k < 1000; k++) { const start = 0x600000000000 + (i * 1000 + k) * 64; parts.push(lines(start), record(start, 'function_' + i + '_' + k + 'x'.repeat(50))); } fs.writeSync(fd, Buffer.concat(parts)); }
     fs.writeSync(fd, record(${codeBegin}, 'at_the_end'));`,
  );
  const running = await start(program, [path]);
  await warmUp(running.pid);
  const grown = await growth(running.pid, codeBegin + 8n, 'at_the_end');
  console.log(`grew by ${(grown / 1e6).toFixed(1)} MB for a file of ${(statSync(path).size / 1e6).toFixed(0)} MB`);
  assert.ok(grown < maxGrowthBytes);
  await running.stop();
});

/** Code made at run time that is told of in a jitdump: by Node's --perf-prof and by Python's -X perf_jit. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { loadAddon } from '../../../agent/bpf/addon.ts';
import type { NativeSymbolizer } from '../../../agent/bpf/native.ts';
import { buildDir, findPython, packed, sourceDir, start } from './programs.ts';

let symbolizer: NativeSymbolizer;
before(() => {
  symbolizer = loadAddon().createSymbolizer({ maxBytes: 64 << 20 });
});
after(() => symbolizer.close());

interface DumpedCode {
  readonly name: string;
  readonly start: bigint;
  readonly sizeBytes: bigint;
  /** Address and line, as they are in the file. */
  readonly lines: readonly (readonly [bigint, number])[];
}

/** The code that a jitdump tells of: tools/perf/Documentation/jitdump-specification.txt. */
function readDump(path: string): DumpedCode[] {
  const bytes = readFileSync(path);
  const code: DumpedCode[] = [];
  let lines: [bigint, number][] = [];
  let at = bytes.readUInt32LE(8);
  for (let size = 0; at + 16 <= bytes.length; at += size) {
    size = bytes.readUInt32LE(at + 4);
    if (at + size > bytes.length) break;
    if (bytes.readUInt32LE(at) === 2) {
      lines = [];
      let entry = at + 32;
      for (let i = 0n; i < bytes.readBigUInt64LE(at + 24); i += 1n) {
        lines.push([bytes.readBigUInt64LE(entry), bytes.readUInt32LE(entry + 8)]);
        entry = bytes.indexOf(0, entry + 16) + 1;
      }
    } else if (bytes.readUInt32LE(at) === 0) {
      const name = bytes.toString('utf8', at + 56, bytes.indexOf(0, at + 56));
      code.push({ name, start: bytes.readBigUInt64LE(at + 32), sizeBytes: bytes.readBigUInt64LE(at + 40), lines });
      lines = [];
    }
  }
  return code;
}

describe('node --perf-prof', () => {
  test('functions and their lines, also when the process and its file are gone', async () => {
    const program = await start(process.execPath, ['--perf-prof', join(sourceDir, 'hot.js')], buildDir);
    const path = join(buildDir, `jit-${program.pid}.dump`);
    const code = readDump(path);
    const wanted = ['hotFunction', 'fillUp'].map(name =>
      code.findLast(one => one.name.includes(`${name} file:`) && one.lines.length > 1),
    );
    const addresses = wanted.flatMap(one => {
      assert.ok(one, 'the file has the function, compiled');
      // V8 tells of lines as if the code stood behind an ELF header of 64 bytes.
      return one.lines.map(([address, line]) => ({ one, address: address - 64n, line }));
    });
    const inside = addresses.filter(
      ({ one, address }, i) => address !== addresses[i + 1]?.address && address < one.start + one.sizeBytes,
    );
    const ids = inside.map(({ address }) => symbolizer.locate(program.pid, packed([address]), false)[0] ?? 0);
    await program.stop();
    for (const file of readdirSync(buildDir)) if (/^(jit-|isolate)/.test(file)) rmSync(join(buildDir, file));
    symbolizer.processExited(program.pid);
    const frames = await symbolizer.describe(Uint32Array.from(ids));
    for (const [i, frame] of frames.entries()) {
      assert.equal(frame.kind, 'v8js');
      assert.ok(!frame.isGuess);
      assert.match(frame.lines[0]?.name ?? '', inside[i]?.one.name.includes('hotFunction') ? /hotFunction/ : /fillUp/);
      assert.equal(frame.lines[0]?.file, join(sourceDir, 'hot.js'));
      assert.equal(frame.lines[0]?.line, inside[i]?.line);
    }
    assert.ok(frames.length >= 4, `${frames.length} addresses were compared`);
  });
});

const python = findPython('perf_jit');
test('python3 -X perf_jit', { skip: python ? false : 'no Python of 3.13 or later is installed' }, async () => {
  const script = join(buildDir, 'spin.py');
  const body = 'def spin_here(n):\n  return sum(range(n))\n';
  writeFileSync(script, `import sys\n${body}spin_here(9)\nprint("ready", flush=True)\nsys.stdin.read()\n`);
  const program = await start(python ?? '', ['-X', 'perf_jit', script]);
  const maps = readFileSync(`/proc/${program.pid}/maps`, 'utf8').split('\n');
  const trampolines = maps.find(line => /^\S+ r.x. \S+ 00:00 0\s*$/.test(line));
  // The process is seen while it lives. It writes its functions at its end at the latest.
  symbolizer.locate(program.pid, packed([BigInt(`0x${trampolines?.split('-')[0]}`)]), false);
  await program.stop();
  symbolizer.processExited(program.pid);
  const path = `/tmp/jit-${program.pid}.dump`;
  const spinHere = readDump(path).find(({ name }) => name.startsWith('py::spin_here'));
  rmSync(path);
  assert.ok(spinHere);
  const [frame] = await symbolizer.describe(symbolizer.locate(program.pid, packed([spinHere.start + 4n]), false));
  assert.deepEqual(frame?.lines, [{ name: 'spin_here', file: script, line: 0 }]);
  assert.equal(frame?.kind, 'cpython');
});

/**
 * Where debug information lies: one program is stripped, and what was stripped off is put wherever distributions put it. The frames
 * must be those of the program that was not stripped.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { loadAddon } from '../../../agent/bpf/addon.ts';
import type { FrameInfo, FrameLine, NativeSymbolizer } from '../../../agent/bpf/native.ts';
import { functionsIn, pickAddresses } from './debug-truth.ts';
import { build, buildDir, hasCommand, packed, type RunningProgram, start } from './programs.ts';

let symbolizer: NativeSymbolizer;
before(() => {
  symbolizer = loadAddon().createSymbolizer({ maxBytes: 48 << 20 });
});
after(() => symbolizer.close());

const source = ['-O2', '-no-pie', '-w', '-o', '{out}', '{src}inlined.c'];
/** ELF addresses of the program's own functions; it is not position independent, so they are those of the process as well. */
let addresses: readonly bigint[] = [];
let expected: readonly FrameLine[][] = [];
let whole = '';

function locate(program: RunningProgram): Uint32Array {
  return Uint32Array.from(addresses, address => symbolizer.locate(program.pid, packed([address]), false)[0] ?? 0);
}

/** By a symbolizer of its own: one that knows a copy of the program would name this one by it. */
async function framesOf(path: string, command?: readonly string[]): Promise<FrameInfo[]> {
  const program = command === undefined ? await start(path) : await start(command[0] ?? '', command.slice(1));
  symbolizer.close();
  symbolizer = loadAddon().createSymbolizer({ maxBytes: 48 << 20 });
  try {
    return await symbolizer.describe(locate(program));
  } finally {
    await program.stop();
  }
}

const linesOf = (frames: readonly FrameInfo[]): FrameLine[][] => frames.map(frame => frame.lines);

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function buildIdOf(path: string): string {
  return execFileSync('readelf', ['-n', path], { encoding: 'utf8' }).match(/Build ID: (\w+)/)?.[1] ?? '';
}

/** A copy of the program without debug information and symbols in a directory of its own, and beside it what was taken off. */
function split(name: string, from = whole, options: readonly string[] = []): { path: string; debug: string } {
  const directory = join(buildDir, name);
  mkdirSync(directory);
  const path = join(directory, 'program');
  const debug = join(directory, 'program.debug');
  run('objcopy', '--only-keep-debug', ...options, from, debug);
  run('objcopy', '--strip-all', from, path);
  return { path, debug };
}

before(async () => {
  whole = build('whole', 'gcc', ['-g', '-Wl,--build-id', ...source]);
  const own = functionsIn(whole).filter(one => ['main', 'put', 'sort', 'sum'].includes(one.name));
  addresses = pickAddresses(own, 300);
  const frames = await framesOf(whole);
  expected = linesOf(frames);
  assert.ok(expected.some(lines => lines.length >= 3 && lines.at(-1)?.name === 'put' && lines[0]?.file.endsWith('inlined.c')));
  assert.ok(frames.every(frame => !frame.isGuess));
});

describe('separate debug files', () => {
  test('without one there are neither names nor lines', async () => {
    const frames = await framesOf(split('bare').path);
    assert.ok(frames.every(frame => frame.isGuess && frame.lines.length === 1 && frame.lines[0]?.line === 0));
  });

  test('the file that .gnu_debuglink names, beside the program and below .debug', async () => {
    const beside = split('beside');
    run('objcopy', `--add-gnu-debuglink=${beside.debug}`, beside.path);
    assert.deepEqual(linesOf(await framesOf(beside.path)), expected);
    const below = split('below');
    run('objcopy', `--add-gnu-debuglink=${below.debug}`, below.path);
    mkdirSync(join(dirname(below.path), '.debug'));
    renameSync(below.debug, join(dirname(below.path), '.debug', 'program.debug'));
    assert.deepEqual(linesOf(await framesOf(below.path)), expected);
  });

  test('the checksum decides where there is no build id', async () => {
    const from = build('no-id', 'gcc', ['-g', '-Wl,--build-id=none', ...source]);
    const right = split('checksum', from);
    run('objcopy', `--add-gnu-debuglink=${right.debug}`, right.path);
    const named = await framesOf(right.path);
    assert.ok(named.some(frame => frame.lines.length >= 3 && frame.lines[0]?.line !== 0));
    const wrong = split('checksum-wrong', from);
    run('objcopy', `--add-gnu-debuglink=${wrong.debug}`, wrong.path);
    appendFileSync(wrong.debug, 'x');
    assert.ok((await framesOf(wrong.path)).every(frame => frame.lines[0]?.line === 0));
  });

  test('a debug file of another build of the program is not taken', async () => {
    const other = build('other', 'gcc', [
      '-g',
      '-DX=1',
      '-O1',
      '-Wl,--build-id',
      '-no-pie',
      '-w',
      '-o',
      '{out}',
      '{src}inlined.c',
    ]);
    const stripped = split('mixed');
    run('objcopy', `--add-gnu-debuglink=${stripped.debug}`, stripped.path);
    run('objcopy', '--only-keep-debug', other, stripped.debug);
    assert.ok((await framesOf(stripped.path)).every(frame => frame.lines[0]?.line === 0));
  });

  test('the build-id directory in the root of the process', async () => {
    const fixed = build('static', 'gcc', ['-g', '-static', '-Wl,--build-id', ...source]);
    const { path, debug } = split('root', fixed);
    const id = buildIdOf(fixed);
    const directory = join(dirname(path), 'usr/lib/debug/.build-id', id.slice(0, 2));
    mkdirSync(directory, { recursive: true });
    renameSync(debug, join(directory, `${id.slice(2)}.debug`));
    const kept = addresses;
    addresses = pickAddresses(
      functionsIn(fixed).filter(one => ['main', 'put', 'sort'].includes(one.name)),
      200,
    );
    const frames = await framesOf(path, ['chroot', dirname(path), '/program']);
    const same = linesOf(await framesOf(fixed));
    addresses = kept;
    assert.deepEqual(linesOf(frames), same);
    assert.ok(same.some(lines => lines.length >= 3));
  });

  test('packed with zstd, with zlib, and in the old way', async () => {
    for (const packing of ['zstd', 'zlib', 'zlib-gnu']) {
      const packed = split(`packed-${packing}`, whole, [`--compress-debug-sections=${packing}`]);
      run('objcopy', `--add-gnu-debuglink=${packed.debug}`, packed.path);
      assert.deepEqual(linesOf(await framesOf(packed.path)), expected, packing);
    }
  });

  test('a part that several files share, as dwz makes it', {
    skip: hasCommand('dwz') ? false : 'dwz is not installed',
  }, async () => {
    const [one, two] = [split('shared-one'), split('shared-two')];
    const common = join(buildDir, 'common.dwz');
    run('dwz', '-m', common, '-M', common, one.debug, two.debug);
    assert.match(execFileSync('readelf', ['-SW', one.debug], { encoding: 'utf8' }), /gnu_debugaltlink/);
    run('objcopy', `--add-gnu-debuglink=${one.debug}`, one.path);
    assert.deepEqual(linesOf(await framesOf(one.path)), expected);
  });
});

describe('minidebuginfo', () => {
  test('names without lines, as Fedora packs them', async () => {
    const { path } = split('mini');
    const mini = join(dirname(path), 'mini');
    run('objcopy', '-S', '--remove-section=.gdb_index', '--remove-section=.comment', '--only-keep-debug', whole, mini);
    run('objcopy', '--strip-debug', '--remove-section=.comment', '--only-keep-debug', whole, mini);
    run('xz', '-f', mini);
    run('objcopy', `--add-section=.gnu_debugdata=${mini}.xz`, path);
    const frames = await framesOf(path);
    assert.deepEqual(
      frames.map(frame => frame.lines.map(line => line.name)),
      expected.map(lines => [lines.at(-1)?.name]),
    );
    assert.ok(frames.every(frame => !frame.isGuess && frame.lines[0]?.line === 0));
  });
});

describe('split debug information', () => {
  for (const version of ['4', '5']) {
    const args = [`-gdwarf-${version}`, '-gsplit-dwarf', ...source];
    test(`DWARF ${version}: in .dwo files, and without lines of inlined calls when they are gone`, async () => {
      const path = build(`split-${version}`, 'gcc', args);
      assert.deepEqual(linesOf(await framesOf(path)), expected);
      const moved = build(`moved-${version}`, 'gcc', args);
      rmSync(`${moved}-inlined.dwo`);
      const frames = await framesOf(moved);
      assert.ok(frames.every(frame => frame.lines.length === 1 && frame.lines[0]?.line !== 0));
    });

    test(`DWARF ${version}: in a .dwp`, { skip: hasCommand('llvm-dwp') ? false : 'llvm-dwp is not installed' }, async () => {
      const path = build(`package-${version}`, 'gcc', args);
      run('llvm-dwp', '-e', path, '-o', `${path}.dwp`);
      rmSync(`${path}-inlined.dwo`);
      assert.deepEqual(linesOf(await framesOf(path)), expected);
    });
  }
});

describe('programs that are hard to reach', () => {
  test('one that was replaced while it runs', async () => {
    const path = join(buildDir, 'replaced');
    copyFileSync(whole, path);
    const program = await start(path);
    const ids = locate(program);
    rmSync(path);
    writeFileSync(path, 'another program');
    assert.deepEqual(linesOf(await symbolizer.describe(ids)), expected);
    await program.stop();
  });

  test('one that has ended, and whose file is read once more for further names', async () => {
    const path = join(buildDir, 'ended');
    copyFileSync(whole, path);
    appendFileSync(path, 'a copy of its own');
    const program = await start(path);
    const ids = locate(program);
    await symbolizer.describe(ids.slice(0, 1));
    await program.stop();
    symbolizer.processExited(program.pid);
    assert.deepEqual(linesOf(await symbolizer.describe(ids)), expected);
  });

  test('descriptors of debug files are not kept', async () => {
    const path = split('descriptors');
    run('objcopy', `--add-gnu-debuglink=${path.debug}`, path.path);
    await framesOf(path.path);
    const open = execFileSync('ls', ['-l', `/proc/${process.pid}/fd`], { encoding: 'utf8' });
    assert.doesNotMatch(open, /descriptors\/program/);
    assert.ok(readFileSync(path.debug).length > 0);
  });
});

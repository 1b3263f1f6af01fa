/** Go binaries of several versions, stripped and not, fixed and position independent, with C in them: names, lines and inlined calls are compared with what the Go runtime and Go's tools say of them. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { loadAddon } from '../../../agent/bpf/addon.ts';
import type { FrameInfo, NativeSymbolizer } from '../../../agent/bpf/native.ts';
import { build, hasCommand, packed, type RunningProgram, start } from './programs.ts';

let symbolizer: NativeSymbolizer;
before(() => {
  symbolizer = loadAddon().createSymbolizer({ maxBytes: 128 << 20 });
});
after(() => symbolizer.close());

async function framesOf(pid: number, addresses: readonly bigint[]): Promise<FrameInfo[]> {
  const ids = addresses.map(address => symbolizer.locate(pid, packed([address]), false)[0] ?? 0);
  return symbolizer.describe(Uint32Array.from(ids));
}

/** Builds inlined.go with a toolchain; `undefined` where that cannot be had here. */
function buildGo(name: string, version: string, args: readonly string[], cgo = '0'): string | undefined {
  const environment = { GOTOOLCHAIN: version, CGO_ENABLED: cgo, GOFLAGS: '-mod=mod' };
  try {
    execFileSync('go', ['version'], { stdio: 'ignore', env: { ...process.env, ...environment } });
  } catch {
    return undefined;
  }
  const sources = cgo === '1' ? ['{src}inlined.go', '{src}withc.go'] : ['{src}inlined.go'];
  return build(name, 'go', ['build', ...args, '-o', '{out}', ...sources], environment);
}

/** In the padding behind a function the runtime writes "?"; of the very first function it has no name. */
const asWritten = (text: string, got: string) => text.replace('|?|0', '||0').replace(/^\|/, `${got.split('|', 1)[0]}|`);

const textOf = (line: FrameInfo['lines'][number]) => `${line.name}|${line.file}|${line.line}`;

/** Compares with what the program says of itself; returns how many addresses were compared. */
async function checkAgainstRuntime(program: RunningProgram): Promise<number> {
  const said = program.lines.filter(line => !line.startsWith('c ')).map(line => line.split(' '));
  const frames = await framesOf(
    program.pid,
    said.map(([, address]) => BigInt(address ?? '0')),
  );
  const wrong: string[] = [];
  let chains = 0;
  let wrongChains = 0;
  for (const [i, [kind, address, ...expected]] of said.entries()) {
    const lines = frames[i]?.lines.map(textOf) ?? [];
    const got = kind === 'chain' ? lines.join(' ') : (lines[0] ?? '');
    chains += kind === 'chain' && expected.length > 1 ? 1 : 0;
    if (
      got !== asWritten(expected.join(' '), got) ||
      (frames[i]?.kind !== 'go' && (expected[0] ?? '').includes('.')) ||
      frames[i]?.isGuess
    ) {
      wrongChains += kind === 'chain' ? 1 : 0;
      wrong.push(`${address}: ${frames[i]?.kind} ${got} instead of ${expected.join(' ')}`);
    }
  }
  assert.ok(said.length >= 2000, `${said.length} addresses`);
  assert.ok(chains >= 12, `${chains} chains of inlined calls`);
  console.log(`${said.length - wrong.length} of ${said.length} addresses as the runtime says, ${chains} with inlined calls`);
  // The chains are too few to be judged by a share.
  assert.ok(wrongChains === 0 && wrong.length < said.length / 100, wrong.slice(0, 10).join('\n'));
  return said.length;
}

/** The same addresses by `go tool addr2line`, which names the function that holds them and the line of the innermost. */
async function checkAgainstTool(path: string, program: RunningProgram): Promise<void> {
  const bias = biasOf(program.pid, path);
  const addresses = program.lines.filter(line => line.startsWith('pc ')).map(line => BigInt(line.split(' ')[1] ?? '0'));
  const input = addresses.map(address => `0x${(address - bias).toString(16)}\n`).join('');
  const output = execFileSync('go', ['tool', 'addr2line', path], { input, encoding: 'utf8', maxBuffer: 1 << 26 }).split('\n');
  const frames = await framesOf(program.pid, addresses);
  let right = 0;
  const wrong: string[] = [];
  for (const [i, frame] of frames.entries()) {
    const expected = `${(output[2 * i] ?? '').replace(/\[.*\]/, '[...]')} ${output[2 * i + 1]?.replace(/^\??:-1$/, ':0')}`;
    const got = `${frame.lines.at(-1)?.name} ${frame.lines[0]?.file}:${frame.lines[0]?.line}`;
    if (expected === got) right += 1;
    else wrong.push(`${got} instead of ${expected}`);
  }
  console.log(`${right} of ${addresses.length} addresses as go tool addr2line says`);
  assert.ok(addresses.length >= 2000 && wrong.length < addresses.length / 100, wrong.slice(0, 10).join('\n'));
}

const skip = hasCommand('go') ? false : 'go is not installed';

describe('Go of this machine', { skip }, () => {
  for (const [name, args] of [
    ['stripped', ['-ldflags=-s -w']],
    ['with symbols', []],
    ['position independent', ['-buildmode=pie']],
    ['position independent, stripped', ['-buildmode=pie', '-ldflags=-s -w']],
  ] as const) {
    test(name, async () => {
      const path = buildGo(name.replaceAll(/\W/g, '-'), 'local', args) ?? '';
      const program = await start(path);
      await checkAgainstRuntime(program);
      await checkAgainstTool(path, program);
      await program.stop();
    });
  }

  test('without section headers', async () => {
    const path = buildGo('headless', 'local', ['-ldflags=-s -w']) ?? '';
    const bytes = readFileSync(path);
    // e_shoff, and e_shentsize, e_shnum, e_shstrndx: as strippers do it.
    bytes.fill(0, 0x28, 0x30);
    bytes.fill(0, 0x3a, 0x40);
    writeFileSync(path, bytes);
    const program = await start(path);
    await checkAgainstRuntime(program);
    await program.stop();
  });

  for (const [name, args] of [
    ['linked by Go', ['-ldflags=-s -w -linkmode=internal']],
    ['linked by gcc', ['-ldflags=-s -w -linkmode=external']],
    ['position independent', ['-buildmode=pie', '-ldflags=-s -w']],
    ['with symbols', ['-ldflags=-linkmode=external']],
  ] as const) {
    test(`with C, ${name}`, { skip: hasCommand('gcc') ? false : 'gcc is not installed' }, async () => {
      const path = buildGo(`cgo-${name.replaceAll(' ', '-')}`, 'local', args, '1') ?? '';
      const program = await start(path);
      await checkAgainstRuntime(program);
      const [, address, c] = program.lines.find(line => line.startsWith('c '))?.split(' ') ?? [];
      const [frame] = await framesOf(program.pid, [BigInt(address ?? '0')]);
      assert.equal(frame?.kind, 'native', 'C is not Go');
      // Stripped, and linked by gcc, nothing is left that has its name.
      if (name === 'with symbols' || name === 'linked by Go') assert.equal(frame?.lines[0]?.name, c);
      await program.stop();
    });
  }
});

/** Distance of the program's addresses from those in its file. */
function biasOf(pid: number, path: string): bigint {
  const first = readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .find(line => line.endsWith(path));
  // Go's linker puts position independent files to 0x400000 too.
  return BigInt(`0x${first?.split('-')[0]}`) - 0x400000n;
}

describe('older Go', { skip }, () => {
  for (const version of ['go1.18.10', 'go1.20.14', 'go1.22.12', 'go1.24.4']) {
    for (const mode of ['exe', 'pie']) {
      test(`${version}, ${mode}, stripped`, { timeout: 300_000 }, async t => {
        const path = buildGo(`${version}-${mode}`, version, [`-buildmode=${mode}`, '-ldflags=-s -w']);
        if (path === undefined) {
          t.skip(`${version} cannot be fetched here`);
          return;
        }
        const program = await start(path);
        await checkAgainstRuntime(program);
        await program.stop();
      });
    }
  }
});

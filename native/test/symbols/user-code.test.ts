/** Programs in C, C++, Rust, Go and JavaScript are started, and the addresses that they print of their own functions are named. */

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { loadAddon } from '../../../agent/bpf/addon.ts';
import type { FrameInfo, NativeSymbolizer } from '../../../agent/bpf/native.ts';
import { build, buildDir, hasCommand, packed, type RunningProgram, start } from './programs.ts';

let symbolizer: NativeSymbolizer;
before(() => {
  symbolizer = loadAddon().createSymbolizer({ maxBytes: 128 << 20 });
});
after(() => symbolizer.close());

/** Frames of single addresses, each located as a leaf. */
async function framesOf(pid: number, addresses: readonly bigint[]): Promise<FrameInfo[]> {
  const ids = addresses.map(address => symbolizer.locate(pid, packed([address]), false)[0] ?? 0);
  return symbolizer.describe(Uint32Array.from(ids));
}

/** "name address" lines of functions.c. */
function functionsOf(program: RunningProgram): Map<string, bigint> {
  return new Map(
    program.lines.map(line => {
      const [name = '', address = ''] = line.split(' ');
      return [name, BigInt(address)];
    }),
  );
}

/** All but hidden ones where the file has lost its .symtab. */
async function checkFunctions(program: RunningProgram, module: string, isStripped = false): Promise<void> {
  const functions = [...functionsOf(program)].filter(([name]) => name !== 'library_function');
  const frames = await framesOf(
    program.pid,
    functions.map(([, address]) => address + 4n),
  );
  for (const [i, [name]] of functions.entries()) {
    const frame = frames[i];
    assert.ok(frame);
    assert.equal(frame.kind, 'native');
    assert.equal(frame.module, module);
    assert.match(frame.buildId, /^[0-9a-f]{40}$/);
    if (isStripped) {
      assert.equal(frame.lines[0]?.name, `${basename(module)}+0x${frame.address.toString(16)}`);
      assert.ok(frame.isGuess);
    } else {
      assert.equal(frame.lines[0]?.name, name);
      assert.ok(!frame.isGuess);
    }
  }
}

describe('C programs', () => {
  const variants: readonly (readonly [string, readonly string[], boolean])[] = [
    ['pie', ['-O2', '-fPIE', '-pie'], false],
    ['non-pie', ['-O2', '-no-pie'], false],
    ['static', ['-O2', '-static', '-no-pie'], false],
    ['static-pie', ['-O2', '-static-pie', '-fPIE'], false],
    ['one-segment', ['-O2', '-Wl,-z,noseparate-code'], false],
    ['far-sections', ['-O2', '-Wl,--section-start=.text.far=0x40000000', '-no-pie'], false],
    ['large-pages', ['-O2', '-Wl,-z,max-page-size=0x200000'], false],
    ['stripped', ['-O2', '-s'], true],
    ...(hasCommand('ld.gold') ? ([['gold', ['-O2', '-fuse-ld=gold'], false]] as const) : []),
  ];
  for (const [name, flags, isStripped] of variants) {
    test(name, async () => {
      const path = build(name, 'gcc', [...flags, '-Wl,--build-id=sha1', '-w', '-o', '{out}', '{src}functions.c', '-ldl']);
      const program = await start(path);
      await checkFunctions(program, path, isStripped);
      assert.match(symbolizer.executableBuildId(program.pid), /^[0-9a-f]{40}$/);
      await program.stop();
    });
  }

  test('a library loaded later', async () => {
    const library = build('liblate.so', 'gcc', ['-O2', '-shared', '-fPIC', '-o', '{out}', '{src}library.c']);
    const path = build('loader', 'gcc', ['-O2', '-o', '{out}', '{src}functions.c', '-ldl']);
    const program = await start(path, [library]);
    const [frame] = await framesOf(program.pid, [(functionsOf(program).get('library_function') ?? 0n) + 2n]);
    assert.equal(frame?.lines[0]?.name, 'library_function');
    assert.equal(frame?.module, library);
    await program.stop();
  });

  test('the caller of a function that does not return is named, not the function behind it', async () => {
    const path = build('callers', 'gcc', ['-O2', '-o', '{out}', '{src}functions.c', '-ldl']);
    const program = await start(path);
    const address = functionsOf(program).get('hidden_function') ?? 0n;
    // As a leaf the address is the first of hidden_function; as a caller's it is the end of what stands before it.
    const [leaf, caller] = await symbolizer.describe(symbolizer.locate(program.pid, packed([address, address]), false));
    assert.equal(leaf?.lines[0]?.name, 'hidden_function');
    assert.notEqual(caller?.lines[0]?.name, 'hidden_function');
    assert.equal(caller?.address, (leaf?.address ?? 0n) - 1n);
    await program.stop();
  });

  test('stubs of the procedure linkage table', async () => {
    const path = build('stubs', 'gcc', ['-O2', '-no-pie', '-fcf-protection=none', '-o', '{out}', '{src}functions.c', '-ldl']);
    const program = await start(path);
    const listing = execFileSync('objdump', ['-d', '-j', '.plt', path], { encoding: 'utf8' });
    const stubs = [...listing.matchAll(/^([0-9a-f]+) <(\w+@plt)>:/gm)].map(found => [found[2], BigInt(`0x${found[1]}`)] as const);
    assert.ok(stubs.length >= 3);
    const frames = await framesOf(
      program.pid,
      stubs.map(([, address]) => address),
    );
    assert.deepEqual(
      frames.map(frame => frame.lines[0]?.name),
      stubs.map(([name]) => name),
    );
    await program.stop();
  });
});

describe('mangled names', () => {
  /** "address name" lines. */
  async function checkNames(path: string, kind: string, normalize = (name: string) => name): Promise<void> {
    const program = await start(path);
    assert.ok(program.lines.length >= 3);
    const addresses = program.lines.map(line => BigInt(line.split(' ', 1)[0] ?? '0'));
    const frames = await framesOf(program.pid, addresses);
    for (const [i, line] of program.lines.entries()) {
      assert.equal(normalize(frames[i]?.lines[0]?.name ?? ''), line.slice(line.indexOf(' ') + 1));
      assert.equal(frames[i]?.kind, kind);
      assert.ok(!frames[i]?.isGuess);
    }
    await program.stop();
  }

  test('C++ with templates', async () => {
    await checkNames(build('templates', 'g++', ['-O2', '-std=c++20', '-o', '{out}', '{src}templates.cc']), 'native');
  });

  const rust = ['-O', '--crate-name', 'names', '-o', '{out}', '{src}names.rs'];
  test('Rust v0', { skip: hasCommand('rustc') ? false : 'rustc is not installed' }, async () => {
    const path = build('rust-v0', 'rustc', ['-C', 'symbol-mangling-version=v0', ...rust]);
    await checkNames(path, 'rust', name => name.replace(/::<alloc::vec::Vec<i32>>$/, ''));
  });

  test('Rust legacy', { skip: hasCommand('rustc') ? false : 'rustc is not installed' }, async () => {
    const path = build('rust-legacy', 'rustc', ['-Z', 'unstable-options', '-C', 'symbol-mangling-version=legacy', ...rust], {
      RUSTC_BOOTSTRAP: '1',
    });
    await checkNames(path, 'rust');
  });

  test('Go', { skip: hasCommand('go') ? false : 'go is not installed' }, async () => {
    const path = build('go', 'go', ['build', '-o', '{out}', '{src}names.go'], { GOFLAGS: '-mod=mod', CGO_ENABLED: '0' });
    await checkNames(path, 'go');
    const [plain] = symbolizer.findSymbols(path, 'main.plain', 10);
    assert.ok(plain?.isGo);
    const listing = execFileSync('go', ['tool', 'objdump', '-s', '^main.plain$', path], { encoding: 'utf8' });
    const returns = [...listing.matchAll(/0x([0-9a-f]+)\s+[0-9a-f]+\s+RET/g)].map(found => Number(`0x${found[1]}`));
    assert.ok(returns.length >= 2, 'main.plain has two ways out');
    // Go's linker maps its text segment at file offset 0.
    const text = execFileSync('readelf', ['-lW', path], { encoding: 'utf8' }).match(/LOAD\s+(0x\w+) (0x\w+) \S+ \S+ \S+ R E/);
    const bias = Number(text?.[2]) - Number(text?.[1]);
    assert.deepEqual(
      plain.returnOffsets,
      returns.map(address => address - bias),
    );
  });
});

describe('files that are hard to reach', () => {
  test('a binary deleted while it runs, and one put in its place', async () => {
    const path = build('deleted', 'gcc', ['-O2', '-o', '{out}', '{src}functions.c', '-ldl']);
    const program = await start(path);
    rmSync(path);
    writeFileSync(path, 'not the program any more');
    await checkFunctions(program, path);
    await program.stop();
  });

  test('a process that ends after its frames were located', async () => {
    const path = build('ended', 'gcc', ['-O2', '-o', '{out}', '{src}functions.c', '-ldl']);
    const program = await start(path);
    const functions = [...functionsOf(program)];
    const addresses = packed(functions.map(([, address]) => address + 4n));
    const ids = symbolizer.locate(program.pid, addresses, false);
    await program.stop();
    rmSync(path);
    symbolizer.processExited(program.pid);
    const frames = await symbolizer.describe(ids);
    assert.deepEqual(
      frames.map(frame => frame.lines[0]?.name),
      functions.map(([name]) => name),
    );
    // Samples may come in after the exit, too.
    assert.deepEqual(symbolizer.locate(program.pid, addresses, false), ids);
  });

  test('a process that is gone has nothing, and that is no error', async () => {
    const frames = await framesOf(0x3ffffff, [0x1234n]);
    assert.equal(frames[0]?.lines[0]?.name, '[unknown]+0x1234');
    assert.equal(frames[0]?.kind, 'unresolved');
    assert.equal(symbolizer.executableBuildId(0x3ffffff), '');
    // What a broken frame pointer led to is one location, however many numbers there were.
    const ids = symbolizer.locate(process.pid, packed([0x1234n, 1n, 0x646e617473005444n, 0x1234n]), false);
    assert.deepEqual([...new Set(ids.slice(1))].length, 1);
    const [, caller] = await symbolizer.describe(ids);
    assert.deepEqual(caller?.lines, [{ name: '[unknown]', file: '', line: 0 }]);
  });

  test('a process with a root of its own', async () => {
    const root = join(buildDir, 'root');
    mkdirSync(join(root, 'bin'), { recursive: true });
    const path = build('inside', 'gcc', ['-O2', '-static', '-Wl,--build-id=sha1', '-w', '-o', '{out}', '{src}functions.c']);
    cpSync(path, join(root, 'bin/service'));
    const program = await start('chroot', [root, '/bin/service']);
    // The kernel shows the path as we see it, for the chroot is within our own mounts.
    await checkFunctions(program, join(root, 'bin/service'));
    await program.stop();
  });

  test('a process in a mount and pid namespace of its own', async t => {
    const root = join(buildDir, 'mounts');
    mkdirSync(root, { recursive: true });
    const path = build('contained', 'gcc', ['-O2', '-static', '-Wl,--build-id=sha1', '-w', '-o', '{out}', '{src}functions.c']);
    const script = `mount -t tmpfs none ${root} && cp ${path} ${root}/service && exec ${root}/service`;
    try {
      execFileSync('unshare', ['--mount', 'true'], { stdio: 'ignore' });
    } catch {
      t.skip('unshare is not permitted here');
      return;
    }
    const program = await start('unshare', ['--mount', 'sh', '-c', script]);
    assert.ok(!existsSync(join(root, 'service')), 'it is not to be seen from here');
    await checkFunctions(program, join(root, 'service'));
    await program.stop();
  });

  test('a pid that runs another program after exec', async () => {
    const path = build('after-exec', 'gcc', ['-O2', '-no-pie', '-o', '{out}', '{src}functions.c', '-ldl']);
    // The same program before and after, but the first time in a library's stead: a shell that waits.
    const child = spawn('sh', ['-c', `read line; exec ${path}`], { stdio: ['pipe', 'pipe', 'inherit'] });
    const pid = child.pid ?? 0;
    const address = BigInt(`0x${execFileSync('nm', [path], { encoding: 'utf8' }).match(/(\w+) T exported_function/)?.[1]}`);
    const [before] = await framesOf(pid, [address]);
    assert.equal(before?.kind, 'unresolved');
    child.stdin.write('go\n');
    await once(child.stdout, 'data');
    symbolizer.processChanged(pid);
    const [frame] = await framesOf(pid, [address]);
    assert.equal(frame?.lines[0]?.name, 'exported_function');
    child.stdin.end();
    await once(child, 'exit');
  });
});

describe('the node binary', () => {
  test('names, and what they cost', async () => {
    const own = loadAddon().createSymbolizer({ maxBytes: 128 << 20 });
    const mapping = readFileSync('/proc/self/maps', 'utf8')
      .split('\n')
      .find(line => line.includes(' r-xp ') && line.endsWith(basename(process.execPath)));
    const begin = BigInt(`0x${mapping?.split('-')[0]}`);
    const addresses = Array.from({ length: 100 }, (_, i) => begin + BigInt(i) * 0x4000n);
    const ids = own.locate(process.pid, packed(addresses), false);
    const startedAt = performance.now();
    const frames = await own.describe(ids);
    const loadMs = performance.now() - startedAt;
    assert.ok(frames.filter(frame => !frame.isGuess).length > 90);
    const bytes = packed(addresses);
    const rounds = 5000;
    const from = process.hrtime.bigint();
    for (let i = 0; i < rounds; i += 1) own.locate(process.pid, bytes, false);
    const nsPerFrame = Number(process.hrtime.bigint() - from) / rounds / addresses.length;
    console.log(`symbols of node read in ${loadMs.toFixed(0)} ms; cached locate ${nsPerFrame.toFixed(0)} ns a frame`);
    const memory = own.memory();
    console.log(`memory: ${JSON.stringify(memory)}; resident ${(process.memoryUsage.rss() / 1e6).toFixed(0)} MB`);
    // In the VMs of the kernel matrix time means nothing.
    if (!process.env.HOTSPAN_VM) assert.ok(nsPerFrame < 200, 'a cached frame takes less than 200 ns');
    assert.ok(memory.bytes > 1e6 && memory.bytes < 64e6 && memory.locations >= 100 && memory.processes === 1);
    own.close();
    assert.throws(() => own.describe(ids), /closed/);
    assert.throws(() => own.locate(1, bytes, false), /closed/);
    assert.ok(readdirSync('/proc/self/task').length < 64);
  });
});

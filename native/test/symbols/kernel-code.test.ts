/** Names of kernel code, held against /proc/kallsyms. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../../../agent/bpf/addon.ts';
import type { NativeSymbolizer } from '../../../agent/bpf/native.ts';
import { packed } from './programs.ts';

const bpfObjectPath = (source: string) => fileURLToPath(new URL(`../../../.build/bpf/${source}.bpf.o`, import.meta.url));

interface KernelSymbol {
  readonly address: bigint;
  readonly name: string;
  readonly module: string;
}

/** Functions, without the padding in front of them that some kernels list as symbols of its own. */
function readKallsyms(): KernelSymbol[] {
  const symbols: KernelSymbol[] = [];
  for (const line of readFileSync('/proc/kallsyms', 'utf8').split('\n')) {
    const found = /^([0-9a-f]+) [tTwW] (\S+)(?:\t(\[\S+\]))?$/.exec(line);
    const name = found?.[2] ?? '__pfx_';
    if (/^__(pfx|cfi)_/.test(name)) continue;
    symbols.push({ address: BigInt(`0x${found?.[1]}`), name, module: found?.[3] ?? '[kernel]' });
  }
  return symbols;
}

describe('kernel code', () => {
  let symbolizer: NativeSymbolizer;
  before(() => {
    symbolizer = loadAddon().createSymbolizer({ maxBytes: 64 << 20 });
  });
  after(() => symbolizer.close());

  test('1,000 addresses are named as in kallsyms', async () => {
    const symbols = readKallsyms();
    assert.ok(symbols.length > 10_000, 'kallsyms can be read; set kernel.kptr_restrict to 0 or 1 and run as root');
    const namesAt = new Map<bigint, string[]>();
    for (const { address, name } of symbols) namesAt.set(address, [...(namesAt.get(address) ?? []), name]);
    const step = symbols.length / 1000;
    const picked = Array.from({ length: 1000 }, (_, i) => symbols[Math.floor(i * step)]).filter(symbol => symbol !== undefined);
    const ids = picked.map(({ address }) => symbolizer.locate(0, packed([address]), true)[0] ?? 0);
    const frames = await symbolizer.describe(Uint32Array.from(ids));
    for (const [i, symbol] of picked.entries()) {
      const frame = frames[i];
      if (/^_(etext|einittext)$|_text_end$/.test(symbol.name)) continue;
      assert.ok(
        namesAt.get(symbol.address)?.includes(frame?.lines[0]?.name ?? ''),
        `${symbol.name}: ${JSON.stringify(frame?.lines)}`,
      );
      assert.equal(frame?.kind, 'kernel');
      assert.equal(frame?.module, symbol.module);
      assert.equal(frame?.address, symbol.address);
      assert.ok(!frame?.isGuess);
    }
  });

  test('an address within a function, and as a return address at its end', async () => {
    const symbols = readKallsyms()
      .filter(symbol => symbol.module === '[kernel]')
      .sort((a, b) => (a.address < b.address ? -1 : 1));
    const at = symbols.findIndex(symbol => symbol.name === 'vfs_read');
    const [before, read] = [symbols[at - 1], symbols[at]];
    assert.ok(before && read && before.address < read.address);
    const ids = symbolizer.locate(0, packed([read.address + 1n, read.address]), true);
    const [leaf, caller] = await symbolizer.describe(ids);
    assert.equal(leaf?.lines[0]?.name, 'vfs_read');
    assert.notEqual(caller?.lines[0]?.name, 'vfs_read');
  });

  test('an address where there is no kernel code', async () => {
    const ids = symbolizer.locate(0, packed([0x1000n, 0xffffffffffffff00n]), true);
    const frames = await symbolizer.describe(ids);
    assert.deepEqual(
      frames.map(frame => [frame.lines[0]?.name, frame.isGuess]),
      [
        ['[kernel]+0x1000', true],
        ['[kernel]+0xfffffffffffffeff', true],
      ],
    );
  });

  test('functions are found by glob', () => {
    const names = (pattern: string, limit = 100) => symbolizer.findKernelFunctions(pattern, limit).map(found => found.name);
    assert.deepEqual(names('vfs_read'), ['vfs_read']);
    assert.ok(names('vfs_*').length > 10);
    assert.equal(names('vfs_*', 3).length, 3);
    assert.ok(names('vfs_[rw]*').every(name => /^vfs_[rw]/.test(name)));
    assert.deepEqual(names('no_such_function_anywhere'), []);
    const [found] = symbolizer.findKernelFunctions('vfs_read', 1);
    assert.equal(found?.address, readKallsyms().find(symbol => symbol.name === 'vfs_read')?.address);
  });

  test('the table is compact', async () => {
    const own = loadAddon().createSymbolizer({ maxBytes: 64 << 20 });
    await own.describe(own.locate(0, packed([0xffffffff81000000n]), true));
    const count = readKallsyms().length;
    const { bytes } = own.memory();
    console.log(`${count} kernel functions take ${(bytes / 1e6).toFixed(1)} MB`);
    assert.ok(bytes < 15e6);
    own.close();
  });
});

describe('code that comes and goes', () => {
  test('BPF programs are named, also those loaded later', async t => {
    if (readFileSync('/proc/sys/net/core/bpf_jit_kallsyms', 'utf8').trim() === '0') {
      t.skip('net.core.bpf_jit_kallsyms is 0: the kernel does not list BPF programs');
      return;
    }
    const addon = loadAddon();
    const symbolizer = addon.createSymbolizer({ maxBytes: 64 << 20 });
    await symbolizer.describe(symbolizer.locate(0, packed([0xffffffff81000000n]), true));
    const before = new Set(readKallsyms().map(symbol => symbol.address));
    const object = addon.openObject(bpfObjectPath('cpu'));
    object.load();
    const programs = readKallsyms().filter(symbol => symbol.module === '[bpf]' && !before.has(symbol.address));
    assert.ok(programs.length > 0, 'the loaded program is in kallsyms');
    const [program] = programs;
    const address = program?.address ?? 0n;
    const [frame] = await symbolizer.describe(symbolizer.locate(0, packed([address + 8n]), true));
    assert.equal(frame?.lines[0]?.name, program?.name);
    assert.equal(frame?.module, '[bpf]');
    object.close();
    // What stands there later is not that program any more.
    for (let i = 0; ; i += 1) {
      const [id = 0] = symbolizer.locate(0, packed([address + 8n]), true);
      if (id !== frame?.id) break;
      assert.ok(i < 200, 'the location has not changed');
      await new Promise(resolve => setTimeout(resolve, 50));
    }
    symbolizer.close();
  });
});

/** Go programs and their symbols, by files laid out by hand. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readElfSymbols } from './elf-symbols.ts';
import { GoPrograms, samplesFor } from './go-programs.ts';

test('a sampled allocation stands for the more, the smaller it is', () => {
  // runtime/pprof's own figures for the default rate: 1 / (1 - exp(-size / rate)).
  assert.equal(Math.round(samplesFor(64, 524_288)), 8193);
  assert.ok(Math.abs(samplesFor(524_288, 524_288) - 1.582) < 1e-3);
  assert.ok(Math.abs(samplesFor(1 << 30, 524_288) - 1) < 1e-9);
  assert.equal(samplesFor(64, 1), 1, 'every allocation is sampled');
});

/** A program of one segment, one function and one variable, laid out by hand after the ELF specification. */
function elfFile(isGo: boolean): Buffer {
  const text = '\0.symtab\0.strtab\0.shstrtab\0.go.buildinfo\0';
  const strings = '\0runtime.profilealloc\0runtime.MemProfileRate\0';
  const file = Buffer.alloc(1024);
  file.write('\x7fELF\x02\x01', 0, 'latin1');
  file.writeUInt16LE(2, 16);
  file.writeBigUInt64LE(64n, 32);
  file.writeBigUInt64LE(512n, 40);
  file.writeUInt16LE(1, 56);
  file.writeUInt16LE(5, 60);
  file.writeUInt16LE(3, 62);
  // One loaded segment: 0x400000 is at offset 0x80 of the file, 0x1000 bytes.
  file.writeUInt32LE(1, 64);
  file.writeBigUInt64LE(0x80n, 72);
  file.writeBigUInt64LE(0x400000n, 80);
  file.writeBigUInt64LE(0x1000n, 96);
  file.write(text, 128, 'latin1');
  file.write(strings, 192, 'latin1');
  const symbols: [number, bigint][] = [
    [1, 0x400010n],
    [1 + 'runtime.profilealloc\0'.length, 0x400100n],
  ];
  for (const [i, [name, value]] of symbols.entries()) {
    file.writeUInt32LE(name, 256 + (i + 1) * 24);
    file.writeBigUInt64LE(value, 256 + (i + 1) * 24 + 8);
  }
  const section = (i: number, values: { name: string; type: number; offset: number; bytes: number; link?: number }): void => {
    const at = 512 + i * 64;
    file.writeUInt32LE(text.indexOf(`\0${values.name}\0`) + 1, at);
    file.writeUInt32LE(values.type, at + 4);
    file.writeBigUInt64LE(BigInt(values.offset), at + 24);
    file.writeBigUInt64LE(BigInt(values.bytes), at + 32);
    file.writeUInt32LE(values.link ?? 0, at + 40);
  };
  section(1, { name: '.symtab', type: 2, offset: 256, bytes: 72, link: 2 });
  section(2, { name: '.strtab', type: 3, offset: 192, bytes: strings.length });
  section(3, { name: '.shstrtab', type: 3, offset: 128, bytes: text.length });
  if (isGo) section(4, { name: '.go.buildinfo', type: 1, offset: 0, bytes: 0 });
  return file;
}

function inFolder(body: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'go-programs-'));
  try {
    body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('symbols are read from a file, and nothing from what is none or is damaged', () => {
  inFolder(folder => {
    const path = join(folder, 'program');
    const names = new Set(['runtime.profilealloc', 'absent']);
    writeFileSync(path, elfFile(true));
    const elf = readElfSymbols(path, '.go.buildinfo', names);
    assert.deepEqual([...(elf?.addresses ?? [])], [['runtime.profilealloc', 0x400010n]]);
    assert.equal(elf?.offsetOf(0x400010n), 0x90n);
    assert.equal(elf?.offsetOf(0x500000n), undefined);
    const other = readElfSymbols(path, '.absent', names);
    assert.deepEqual([other?.hasSection, other?.addresses.size], [false, 0]);
    writeFileSync(path, 'no program at all, but long enough to be read as the header of one, which has 64 bytes');
    assert.equal(readElfSymbols(path, '.go.buildinfo', names), undefined);
    for (let bytes = 0; bytes < 832; bytes += 13) {
      writeFileSync(path, elfFile(true).subarray(0, bytes));
      assert.equal(readElfSymbols(path, '.go.buildinfo', names), undefined, `${bytes} bytes of it`);
    }
    const lying = elfFile(true);
    lying.writeBigUInt64LE(1n << 60n, 512 + 64 + 32);
    writeFileSync(path, lying);
    assert.equal(readElfSymbols(path, '.go.buildinfo', names), undefined);
  });
});

test('Go programs are found once each, and their sampling rate is read from their memory', () => {
  inFolder(proc => {
    for (const [pid, isGo] of [
      ['7', true],
      ['8', false],
    ] as const) {
      mkdirSync(join(proc, pid));
      writeFileSync(join(proc, pid, 'exe'), elfFile(isGo));
    }
    const memory = Buffer.alloc(0x400108);
    memory.writeBigInt64LE(1n << 16n, 0x400100);
    writeFileSync(join(proc, '7', 'mem'), memory);
    // Another one, whose function looks at its stack's end first.
    const checking = elfFile(true);
    checking.write('\x49\x3b\x66\x10\x0f\x86', 0x90, 'latin1');
    mkdirSync(join(proc, '10'));
    writeFileSync(join(proc, '10', 'exe'), checking);
    const programs = new GoPrograms({ findSymbols: () => [] }, proc);
    const found = programs.look();
    assert.deepEqual(found.map(({ path, offset }) => [path, offset]).sort(), [
      [join(proc, '10', 'exe'), 0x9a],
      [join(proc, '7', 'exe'), 0x90],
    ]);
    assert.deepEqual(programs.look(), []);
    // One that could not be read is looked at again, as another process may let it be.
    mkdirSync(join(proc, '11', 'exe'), { recursive: true });
    assert.equal(programs.lookAt(11), undefined);
    rmSync(join(proc, '11', 'exe'), { recursive: true });
    writeFileSync(join(proc, '11', 'exe'), elfFile(true));
    assert.equal(programs.lookAt(11)?.offset, 0x90);
    assert.equal(programs.lookAt(11), undefined, 'once');
    assert.equal(programs.rateOf(7), 1 << 16);
    assert.equal(programs.rateOf(8), undefined);
    assert.equal(programs.rateOf(9), undefined);
    assert.ok(readFileSync(join(proc, '7', 'mem')).length > 0);
  });
});

/**
 * Source lines and inlined functions: programs are built with debug information of all kinds, and at thousands of addresses in each
 * the symbolizer's frames are held against what addr2line and llvm-symbolizer say.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { loadAddon } from '../../../agent/bpf/addon.ts';
import type { NativeSymbolizer } from '../../../agent/bpf/native.ts';
import { aliasesAt, askAddr2line, askLlvm, functionsIn, isSame, pickAddresses } from './debug-truth.ts';
import { build, hasCommand, packed, start } from './programs.ts';

let symbolizer: NativeSymbolizer;
before(() => {
  symbolizer = loadAddon().createSymbolizer({ maxBytes: 48 << 20 });
});
after(() => symbolizer.close());

const addressCount = 2000;
const leastShare = 0.98;

/** What to add to an ELF address of a position-independent program. */
function biasOf(pid: number, path: string): bigint {
  const line = readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .find(text => text.endsWith(path) && text.includes(' 00000000 '));
  return BigInt(`0x${line?.split('-')[0] ?? '0'}`);
}

async function checkTruth(name: string, path: string): Promise<void> {
  const functions = functionsIn(path);
  const addresses = pickAddresses(functions, addressCount);
  const program = await start(path, ['alpha12', 'beta', 'alpha3', '(1+2)*3']);
  const bias = biasOf(program.pid, path);
  const ids = addresses.map(address => symbolizer.locate(program.pid, packed([address + bias]), false)[0] ?? 0);
  const begin = process.hrtime.bigint();
  const frames = await symbolizer.describe(Uint32Array.from(ids));
  const tookMs = Number(process.hrtime.bigint() - begin) / 1e6;
  await program.stop();
  const addr2line = askAddr2line(path, addresses);
  const llvm = hasCommand('llvm-symbolizer') ? askLlvm(path, addresses) : addr2line;
  let [byAddr2line, byLlvm, byEither, inlined] = [0, 0, 0, 0];
  const differing: string[] = [];
  for (const [i, frame] of frames.entries()) {
    const aliases = aliasesAt(functions, addresses[i] ?? 0n);
    const isLikeAddr2line = isSame(frame, addr2line[i] ?? [], aliases);
    const isLikeLlvm = isSame(frame, llvm[i] ?? [], aliases);
    byAddr2line += Number(isLikeAddr2line);
    byLlvm += Number(isLikeLlvm);
    byEither += Number(isLikeAddr2line || isLikeLlvm);
    inlined += Number(frame.lines.length > 1);
    if (!isLikeAddr2line && !isLikeLlvm)
      differing.push(JSON.stringify({ ours: frame.lines, addr2line: addr2line[i], llvm: llvm[i] }).slice(0, 1500));
  }
  const share = (count: number): string => `${((100 * count) / frames.length).toFixed(2)} %`;
  console.log(
    `${name}: ${frames.length} addresses in ${functions.length} functions, ${share(inlined)} with inlined calls; as addr2line ${share(byAddr2line)}, as llvm-symbolizer ${share(byLlvm)}, as one of them ${share(byEither)}; ${tookMs.toFixed(0)} ms`,
  );
  assert.ok(inlined > frames.length / 5, 'the program has inlined calls to find');
  assert.ok(byEither >= leastShare * frames.length, differing.slice(0, 5).join('\n'));
}

const cpp = ['-O2', '-std=c++17', '-w', '-o', '{out}', '{src}inlined.cc'];
const c = ['-O2', '-w', '-o', '{out}', '{src}inlined.c'];

/** addr2line of binutils 2.40 misreads the file numbers of clang's DWARF 5, and knows the units in .dwo files only by their lines. */
const builds: readonly (readonly [string, string, readonly string[]])[] = [
  ['gcc-c-5', 'gcc', ['-gdwarf-5', ...c]],
  ['gcc-c-4', 'gcc', ['-gdwarf-4', ...c]],
  ['gcc-c-3', 'gcc', ['-gdwarf-3', '-gstrict-dwarf', ...c]],
  ['gcc-c-dwarf64', 'gcc', ['-gdwarf-5', '-gdwarf64', ...c]],
  ['gcc-c-lto', 'gcc', ['-g', '-flto', ...c]],
  ['gcc-cpp-5', 'g++', ['-gdwarf-5', ...cpp]],
  ['gcc-cpp-4', 'g++', ['-gdwarf-4', ...cpp]],
  ['gcc-cpp-O3-sections', 'g++', ['-g', '-O3', '-ffunction-sections', '-Wl,--gc-sections', ...cpp.slice(1)]],
  ['gcc-cpp-zlib', 'g++', ['-g', '-gz', ...cpp]],
  ['gcc-cpp-zlib-gnu', 'g++', ['-g', '-gz=zlib-gnu', ...cpp]],
  ['gcc-cpp-split-5', 'g++', ['-gdwarf-5', '-gsplit-dwarf', ...cpp]],
  ['gcc-cpp-split-4', 'g++', ['-gdwarf-4', '-gsplit-dwarf', ...cpp]],
  ['gcc-cpp-types', 'g++', ['-gdwarf-5', '-fdebug-types-section', ...cpp]],
  ['clang-c-5', 'clang', ['-gdwarf-5', ...c]],
  ['clang-cpp-5', 'clang++', ['-gdwarf-5', ...cpp]],
  ['clang-cpp-4', 'clang++', ['-gdwarf-4', ...cpp]],
  ['rust', 'rustc', ['-g', '-O', '-o', '{out}', '{src}inlined.rs']],
  ['rust-lto', 'rustc', ['-g', '-C', 'opt-level=3', '-C', 'lto=fat', '-C', 'codegen-units=1', '-o', '{out}', '{src}inlined.rs']],
];

describe('frames are those of other tools', () => {
  for (const [name, command, args] of builds) {
    test(name, { skip: hasCommand(command) ? false : `${command} is not installed` }, async () => {
      await checkTruth(name, build(name, command, args));
    });
  }
});

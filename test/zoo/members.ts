/**
 * The programs whose stacks are compared with gdb's: one table of program x compiler x flags. All sources lie in stacks/, and each runs
 * until its starter ends or kills it.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { projectDir } from '../../scripts/lib/bpf.ts';
import { runTool } from '../../scripts/lib/steps.ts';

const sourceDir = join(import.meta.dirname, 'stacks');

type Tool = 'gcc' | 'g++' | 'clang' | 'clang++' | 'musl-gcc' | 'rustc' | 'go';

export interface Member {
  readonly name: string;
  /** A file or, for Go, a folder in stacks/. */
  readonly source: string;
  readonly tool: Tool;
  readonly flags: readonly string[];
  /** What the program is started with; {library} is the shared library plt-library.c. */
  readonly args: readonly string[];
  /** One of those that every `npm test` and the VMs run; the others run with `truth.ts`. */
  readonly isCore: boolean;
  /** Its symbols are taken off by these flags; gdb reads those of a twin that is built without them, whose code is the same. */
  readonly strip: readonly string[];
  /** Threads of it have a known end that is not the root, because there is code that nothing describes. */
  readonly hasBlindCode: boolean;
}

type Extras = Partial<Pick<Member, 'args' | 'isCore' | 'strip' | 'hasBlindCode'>>;

function member(name: string, tool: Tool, source: string, flags: readonly string[], extras: Extras = {}): Member {
  return { name, tool, source, flags, args: [], isCore: false, strip: [], hasBlindCode: false, ...extras };
}

const core: Extras = { isCore: true };

/** What the same chain of calls is built with, to see what compilers do. */
const CHAIN_FLAGS: Readonly<Record<string, readonly string[]>> = {
  O0: ['-O0'],
  O1: ['-O1'],
  O2: ['-O2', '-fomit-frame-pointer'],
  O3: ['-O3'],
  Os: ['-Os'],
  'frame-pointer': ['-O2', '-fno-omit-frame-pointer'],
  'no-pie': ['-O2', '-no-pie', '-fno-pie'],
  static: ['-O2', '-static'],
  'static-pie': ['-O2', '-static-pie'],
  stripped: ['-O2', '-s'],
  realigned: ['-O2', '-mstackrealign'],
};

const chains = (['gcc', 'clang'] as const).flatMap(tool =>
  Object.entries(CHAIN_FLAGS).map(([name, flags]) =>
    member(`chain-${tool}-${name}`, tool, 'chain.c', flags, {
      isCore: name === 'O2' || (tool === 'gcc' && (name === 'static' || name === 'O0')),
    }),
  ),
);

const special: readonly Member[] = [
  member('chain-gcc-lto', 'gcc', 'chain.c', ['-O2', '-flto']),
  member('chain-clang-lto', 'clang', 'chain.c', ['-O2', '-flto', '-fuse-ld=lld']),
  member('chain-debug-frame', 'gcc', 'chain.c', ['-O2', '-g', '-fno-asynchronous-unwind-tables'], core),
  member('chain-musl', 'musl-gcc', 'chain.c', ['-O2'], { hasBlindCode: true }),
  member('chain-musl-static', 'musl-gcc', 'chain.c', ['-O2', '-static'], { hasBlindCode: true }),
  member('recursion-gcc', 'gcc', 'recursion.c', ['-O2'], core),
  member('recursion-clang', 'clang', 'recursion.c', ['-O2']),
  member('signals', 'gcc', 'signals.c', ['-O2'], core),
  member('signals-alternate', 'gcc', 'signals.c', ['-O2'], { args: ['alternate'], isCore: true }),
  member('signals-clang', 'clang', 'signals.c', ['-O3'], { args: ['alternate'] }),
  member('vforks', 'gcc', 'vforks.c', ['-O2'], core),
  member('plt-lazy', 'gcc', 'plt.c', ['-O2', '-Wl,-z,lazy', '{library}'], core),
  member('plt-dlopen', 'gcc', 'plt.c', ['-O2', '-Wl,-z,lazy', '{library}'], { args: ['{library}'], isCore: true }),
  member('plt-clang', 'clang', 'plt.c', ['-O2', '-Wl,-z,lazy', '-fuse-ld=lld', '{library}'], { args: ['{library}'] }),
  member('frames-gcc', 'gcc', 'frames.c', ['-O2'], core),
  member('frames-clang', 'clang', 'frames.c', ['-O2']),
  member('realign-gcc', 'gcc', 'realign.c', ['-O2'], core),
  member('realign-gcc-O0', 'gcc', 'realign.c', ['-O0']),
  member('realign-clang', 'clang', 'realign.c', ['-O2']),
  member('callbacks', 'gcc', 'callbacks.c', ['-O2'], core),
  member('callbacks-lto', 'gcc', 'callbacks.c', ['-O3', '-flto', '-static']),
  member('vdso', 'gcc', 'vdso.c', ['-O2'], core),
  member('blocked', 'gcc', 'blocked.c', ['-O2'], core),
  member('coroutines-gcc', 'gcc', 'coroutines.c', ['-O2'], core),
  member('coroutines-clang', 'clang', 'coroutines.c', ['-O2']),
  member('assembly', 'gcc', 'assembly.c', ['-O2']),
  member('assembly-bare', 'gcc', 'assembly.c', ['-O2', '-DBARE'], { hasBlindCode: true }),
  member('exceptions-gcc', 'g++', 'exceptions.cc', ['-O2'], core),
  member('exceptions-clang', 'clang++', 'exceptions.cc', ['-O2']),
  member('exceptions-static', 'g++', 'exceptions.cc', ['-O2', '-static']),
  member('objects-O0', 'g++', 'objects.cc', ['-O0']),
  member('objects-gcc', 'g++', 'objects.cc', ['-O2']),
  member('objects-clang', 'clang++', 'objects.cc', ['-O3']),
  member('objects-lto', 'g++', 'objects.cc', ['-O3', '-flto']),
  member('rust', 'rustc', 'rust.rs', ['-O'], core),
  member('rust-debug', 'rustc', 'rust.rs', []),
  member('go', 'go', 'gostacks', []),
  member('go-stripped', 'go', 'gostacks', [], { strip: ['-ldflags=-s -w'], isCore: true }),
  member('cgo', 'go', 'gocallbacks', []),
];

export const MEMBERS: readonly Member[] = [...chains, ...special];

export interface BuiltMember {
  readonly binary: string;
  /** Where gdb finds symbols: the binary itself, or its twin that was not stripped. */
  readonly symbolFile: string;
  readonly args: readonly string[];
}

/** What is missing on this machine to build it. */
export function missingTool({ tool, flags }: Member): string | undefined {
  const needed = flags.includes('-fuse-ld=lld') ? [tool, 'ld.lld'] : [tool];
  return needed.find(name => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0);
}

/** Those of the core; in a VM, which has the compilers too, they were built before it. */
export const CORE_MEMBERS: readonly Member[] = MEMBERS.filter(({ isCore }) => isCore);

const warnings = ['-Wall', '-Wextra', '-Werror', '-Wno-psabi'];

function compilerArguments({ tool, source }: Member, flags: readonly string[], output: string): string[] {
  const path = join(sourceDir, source);
  switch (tool) {
    case 'go':
      return ['build', '-C', path, ...flags, '-o', output, '.'];
    case 'rustc':
      return ['--edition', '2021', '-g', ...flags, '-o', output, path];
    case 'g++':
    case 'clang++':
      return ['-std=c++17', '-g', ...warnings, '-pthread', '-o', output, path, ...flags];
    default:
      return ['-g', ...warnings, '-pthread', '-o', output, path, ...flags];
  }
}

/** Compiles into .build/zoo, in a folder named after all that the program is made from, and gives back its path. */
async function compile(member: Member, flags: readonly string[], fileName: string): Promise<string> {
  const path = join(sourceDir, member.source);
  const inputs = statSync(path).isDirectory()
    ? readdirSync(path).map(file => join(path, file))
    : [path, join(sourceDir, 'stacks.h')];
  const hash = createHash('sha256').update([member.tool, ...flags].join('\0'));
  for (const input of inputs) hash.update(readFileSync(input));
  const folder = join(projectDir, '.build', 'zoo', hash.digest('hex').slice(0, 16));
  const binary = join(folder, fileName);
  if (existsSync(binary)) return binary;
  mkdirSync(folder, { recursive: true });
  const partial = `${binary}.${process.pid}`;
  await runTool(member.tool, compilerArguments(member, flags, partial));
  renameSync(partial, binary);
  return binary;
}

const libraryMember = member('plt-library', 'gcc', 'plt-library.c', ['-O2', '-shared', '-fPIC', '-Wl,-z,lazy']);

/** Throws an Error with the compiler's words. */
export async function buildMember(member: Member): Promise<BuiltMember> {
  const needsLibrary = [...member.flags, ...member.args].includes('{library}');
  const library = needsLibrary ? await compile(libraryMember, libraryMember.flags, 'plt-library.so') : '';
  const fill = (texts: readonly string[]) => texts.map(text => text.replace('{library}', library));
  const flags = fill(member.flags);
  const symbolFile = await compile(member, flags, member.name);
  const binary = member.strip.length === 0 ? symbolFile : await compile(member, [...flags, ...member.strip], member.name);
  return { binary, symbolFile, args: fill(member.args) };
}

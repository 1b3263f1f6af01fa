/** From targets to functions: names and globs looked up in the kernel and in binaries. */

import type { NativeAddon, NativeSymbolizer, ValueType } from '../../bpf/native.ts';
import type { Hook, HookWay } from '../source.ts';
import { syscallsOf } from './syscalls.ts';
import { compilerPiece, isGlob, type Target } from './target.ts';
import { type ArgumentWord, argumentWords, longResult } from './value.ts';

/** FUNC_TARGETS_MAX of bpf/func/func.h: slots of the map of sums. func.test.ts reads it from there. */
export const maxFunctions = 512;

/** One function to probe. */
export interface ProbedFunction {
  /** What makes it the same function as another target's: kernel:NAME or uprobe:PATH:OFFSET. */
  readonly key: string;
  readonly name: string;
  /** Path of the binary; '' for the kernel. */
  readonly module: string;
  /** As kallsyms has it; 0n for a program's function, whose address is known in each process only. */
  readonly address: bigint;
  /** Arguments where the kernel's types tell them. */
  readonly argumentWords: readonly ArgumentWord[] | undefined;
  /** The same for calls that are seen by a system call. */
  readonly syscallArgumentWords: readonly ArgumentWord[] | undefined;
  readonly returnsValue: boolean;
  /** undefined for functions of programs. */
  readonly resultType: ValueType | undefined;
  /** Constants that the programs of some way need. */
  readonly constants: Readonly<Record<string, number>>;
  readonly hook: Hook;
  /** Ways that are not even tried, with the reason. */
  readonly refused: readonly { readonly way: HookWay['name']; readonly reason: string }[];
}

export interface Resolved {
  readonly functions: readonly ProbedFunction[];
  /** One sentence for each target that names nothing that can be probed. */
  readonly problems: readonly string[];
}

export interface Lookup {
  readonly native: Pick<NativeAddon, 'kernelFunctionPrototype' | 'tracepointFields'>;
  readonly symbolizer: Pick<NativeSymbolizer, 'findKernelFunctions' | 'findSymbols'>;
}

/** Throws a RangeError when the targets name more functions than can be probed at once. */
export function resolveTargets(lookup: Lookup, targets: readonly Target[]): Resolved {
  const functions = new Map<string, ProbedFunction>();
  const problems: string[] = [];
  /** System calls that are taken: two functions seen by one system call cannot be told apart. */
  const takenBy = new Map<string, string>();
  for (const target of targets) {
    try {
      for (const found of target.kind === 'kernel' ? kernelFunctions(lookup, target) : userFunctions(lookup, target)) {
        if (functions.has(found.key)) continue;
        functions.set(found.key, claimSyscalls(found, takenBy));
      }
    } catch (error) {
      if (!(error instanceof TargetProblem)) throw error;
      problems.push(error.message);
    }
    if (functions.size > maxFunctions) {
      throw new RangeError(
        `the targets name more than ${maxFunctions} functions, which is the most that can be probed at once; narrow ${target.text}`,
      );
    }
  }
  return { functions: [...functions.values()], problems };
}

/** Why a target names nothing that can be probed; one sentence that begins with the target. */
class TargetProblem extends Error {
  override name = 'TargetProblem';
}

function kernelFunctions(lookup: Lookup, target: Target): ProbedFunction[] {
  const { pattern, text } = target;
  const found = new Map(
    lookup.symbolizer.findKernelFunctions(pattern, maxFunctions * 4).map(({ name, address }) => [name, address]),
  );
  if (isGlob(pattern)) {
    const whole = [...found].filter(([name]) => compilerPiece(name) === undefined);
    if (whole.length === 0) throw new TargetProblem(`${text}: no kernel function has such a name`);
    return whole.map(([name, address]) => kernelFunction(lookup, name, address));
  }
  const address = found.get(pattern);
  if (address !== undefined) return [kernelFunction(lookup, pattern, address)];
  const pieces = lookup.symbolizer.findKernelFunctions(`${pattern}.*`, 4).map(({ name }) => name);
  const [piece] = pieces;
  if (piece === undefined) {
    throw new TargetProblem(`${text}: this kernel has no function of that name, or the compiler has inlined it everywhere`);
  }
  throw new TargetProblem(
    `${text}: this kernel has only ${pieces.join(', ')} (${compilerPiece(piece) ?? 'renamed'}); ask for kernel:${piece} to probe it`,
  );
}

function kernelFunction({ native }: Lookup, name: string, address: bigint): ProbedFunction {
  const prototype = native.kernelFunctionPrototype(name);
  const calls = syscallsOf(name);
  const bySyscall = calls === undefined ? undefined : syscallWay(native, calls);
  const ways: HookWay[] = [];
  const refused: { way: HookWay['name']; reason: string }[] = [];
  if (prototype === undefined) refused.push({ way: 'fentry', reason: `the kernel's types have no function ${name}` });
  else ways.push(fentryWay);
  ways.push(kprobeWay(name));
  if (calls === undefined) refused.push({ way: 'tracepoint', reason: `${name} is not what a system call runs as a whole` });
  else if (bySyscall === undefined)
    refused.push({ way: 'tracepoint', reason: `there are no tracepoints of ${calls.join(', ')}` });
  else ways.push(bySyscall.way);
  return {
    key: `kernel:${name}`,
    name,
    module: '',
    address,
    argumentWords: prototype === undefined ? undefined : argumentWords(prototype),
    syscallArgumentWords: bySyscall?.words,
    returnsValue: prototype?.returnsValue ?? true,
    resultType: prototype?.resultType ?? longResult,
    constants: bySyscall?.constants ?? {},
    hook: { observes: `kernel:${name}`, ways },
    refused,
  };
}

/** Return before entry: a call that begins between the two is then not seen, instead of waiting for its return for ever. */
const fentryWay: HookWay = {
  name: 'fentry',
  programs: [
    { program: 'func_fexit', attach: { type: 'auto' } },
    { program: 'func_fentry', attach: { type: 'auto' } },
  ],
};

function kprobeWay(symbol: string): HookWay {
  return {
    name: 'kprobe',
    programs: [
      { program: 'func_kretprobe', attach: { type: 'kprobe', symbol, isReturn: true } },
      { program: 'func_kprobe', attach: { type: 'kprobe', symbol, isReturn: false } },
    ],
  };
}

/** Programs for the entries of system calls, one for each, with the constant that tells each how many arguments its call has. */
const entryPrograms = [
  { program: 'func_enter', constant: 'enter_args' },
  { program: 'func_enter2', constant: 'enter2_args' },
  { program: 'func_enter3', constant: 'enter3_args' },
  { program: 'func_enter4', constant: 'enter4_args' },
] as const;

interface SyscallWay {
  readonly way: HookWay;
  readonly constants: Readonly<Record<string, number>>;
  readonly words: readonly ArgumentWord[];
}

/** The way by the system calls that the kernel has of those named, and what goes with it. */
function syscallWay(native: Lookup['native'], calls: readonly string[]): SyscallWay | undefined {
  const constants: Record<string, number> = {};
  let argumentNames: readonly string[] = [];
  const entries: HookWay['programs'][number][] = [];
  const exits: HookWay['programs'][number][] = [];
  for (const call of calls) {
    const fields = native.tracepointFields('syscalls', `sys_enter_${call}`);
    const entry = entryPrograms[entries.length];
    if (fields === undefined || entry === undefined) continue;
    // Fields of the kernel's own are __syscall_nr and, from 6.19 on, copies of what arguments point to (__filename_val).
    const names = fields.filter(name => !name.startsWith('__'));
    constants[entry.constant] = names.length;
    if (names.length > argumentNames.length) argumentNames = names;
    entries.push({ program: entry.program, attach: { type: 'tracepoint', category: 'syscalls', name: `sys_enter_${call}` } });
    exits.push({ program: 'func_exit', attach: { type: 'tracepoint', category: 'syscalls', name: `sys_exit_${call}` } });
  }
  if (entries.length === 0) return undefined;
  // Several calls have their arguments in different places: numbers then, up to the most that one of them has.
  const words = argumentNames.map((name, i) => ({ name: entries.length > 1 ? String(i) : name, type: undefined }));
  return { way: { name: 'tracepoint', programs: [...exits, ...entries] }, constants, words };
}

/** A function whose system calls are watched for another one already cannot have that way: the two could not be told apart. */
function claimSyscalls(found: ProbedFunction, takenBy: Map<string, string>): ProbedFunction {
  const calls = found.module === '' ? (syscallsOf(found.name) ?? []) : [];
  const taken = calls.find(call => takenBy.has(call));
  if (taken === undefined) {
    for (const call of calls) takenBy.set(call, found.key);
    return found;
  }
  const reason = `the system call ${taken} is watched for ${takenBy.get(taken)} already`;
  return {
    ...found,
    hook: { ...found.hook, ways: found.hook.ways.filter(way => way.name !== 'tracepoint') },
    refused: [...found.refused, { way: 'tracepoint', reason }],
  };
}

function userFunctions({ symbolizer }: Lookup, target: Target): ProbedFunction[] {
  const { pattern, text } = target;
  const path = target.kind === 'user' ? target.path : '';
  let symbols: ReturnType<NativeSymbolizer['findSymbols']>;
  try {
    symbols = symbolizer.findSymbols(path, pattern, maxFunctions + 1);
  } catch (error) {
    throw new TargetProblem(`${text}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  const wanted = isGlob(pattern) ? symbols.filter(({ name }) => compilerPiece(name) === undefined) : symbols;
  if (wanted.length === 0) {
    const pieces = isGlob(pattern)
      ? []
      : symbolizer.findSymbols(path, `${pattern}.*`, 4).filter(({ name }) => compilerPiece(name));
    const [piece] = pieces;
    throw new TargetProblem(
      piece === undefined
        ? `${text}: ${path} has no function symbol of that name; it may be inlined, or the file stripped`
        : `${text}: ${path} has only ${piece.name} (${compilerPiece(piece.name)}); ask for that name to probe it`,
    );
  }
  const broken = wanted.find(symbol => symbol.isGo && symbol.returnOffsets.length === 0);
  if (broken !== undefined && !isGlob(pattern)) {
    throw new TargetProblem(`${text}: the Go function never returns, or its code could not be read to the end`);
  }
  return wanted.filter(symbol => !symbol.isGo || symbol.returnOffsets.length > 0).map(symbol => userFunction(path, symbol));
}

/** A uretprobe puts its own address on the stack, which Go's runtime trips over when it moves the stack: never for Go. */
function userFunction(path: string, symbol: ReturnType<NativeSymbolizer['findSymbols']>[number]): ProbedFunction {
  const at = (program: string, offset: number, isReturn: boolean): HookWay['programs'][number] => ({
    program,
    attach: { type: 'uprobe', path, offset, isReturn },
  });
  const programs = symbol.isGo
    ? [...symbol.returnOffsets.map(offset => at('func_go_return', offset, false)), at('func_go_entry', symbol.offset, false)]
    : [at('func_uretprobe', symbol.offset, true), at('func_uprobe', symbol.offset, false)];
  return {
    key: `uprobe:${path}:${symbol.offset}`,
    name: symbol.name,
    module: path,
    address: 0n,
    argumentWords: undefined,
    returnsValue: true,
    resultType: undefined,
    syscallArgumentWords: undefined,
    constants: {},
    hook: { observes: `uprobe:${path}:${symbol.name}`, ways: [{ name: 'uprobe', programs }] },
    refused: [],
  };
}

/**
 * Stacks that a source's kernel sums refer to by number (bpf/lib/stack-table.h): kept as they are told, forgotten on both sides when
 * there are too many.
 */

import type { NativeObject } from '../bpf/native.ts';
import type { UnwindEnd } from '../events/index.ts';
import type { FunctionNames } from './function-names.ts';
import type { StackBytes } from './source.ts';

/** A stack that was told, kept as long as sums refer to it. */
export interface KnownStack {
  readonly pid: number;
  readonly stack: StackBytes;
  /** Of the names of its kernel functions, which were asked for when it was told. */
  readonly kernelIds: Uint32Array;
  /** Kernel time at which it was last referred to. */
  usedNs: number;
}

/** What every <source>_stack_event has: STACK_RECORD_FIELDS of bpf/lib/stack-record.h. */
export interface StackRecord {
  readonly timeNs: number;
  readonly pid: number;
  readonly stack: bigint;
  readonly userEnd: UnwindEnd;
  readonly kernelStack: Uint8Array;
  readonly userStack: Uint8Array;
  readonly userRaw: Uint8Array;
}

/** The kernel's map of stacks has 16,384 entries; beyond this many the oldest are forgotten on both sides. */
const maxStacks = 12_000;
const keptStacks = 8000;

/** Per CPU: a copied stack serves one sum alone, so that few of them are worth their 16 KiB. */
const copyBytesPerSecond = 256 << 10;

/** Stacks kept with a copy of their memory, 16 KiB each. */
const maxRaw = 256;

/** What a wait is for is told by the functions next to it: a library's, and who called that. */
const namedUserFrames = 12;

const noBytes = new Uint8Array(0);
/** Of what has none. */
export const emptyStack: StackBytes = { kernel: noBytes, user: noBytes, end: 'none', raw: noBytes };
/** Of what has one that could not be told, and says so. */
const untoldStack: StackBytes = { ...emptyStack, end: 'untold' };

/** Of a tracepoint's program on kernels 5.10 to 7.2. */
const ownFrame = /^(bpf_prog_|bpf_trace_run|__bpf_trace_|__traceiter_|bpf_trampoline_|trace_sched_)/;

/** Before the programs are loaded: whom they never tell of, and how much of stacks they may copy. */
export function setStackConstants(object: NativeObject, ownPid: number): void {
  object.setConstant('own_pid', ownPid);
  object.setConstant('unwind_copy_bytes_per_second', copyBytesPerSecond);
}

/** Where the names of a stack's functions come from. */
export type StackNames = Pick<FunctionNames, 'want' | 'wantUser' | 'of'>;

export class KnownStacks {
  private readonly names: StackNames;
  private readonly stacks = new Map<bigint, KnownStack>();
  private readonly withRaw = new Set<bigint>();

  constructor(names: StackNames) {
    this.names = names;
  }

  get size(): number {
    return this.stacks.size;
  }

  /** Keeps what was told. Its bytes are copied: the record's are valid only as long as its batch. */
  tell({ pid, stack, timeNs, kernelStack, userStack, userEnd, userRaw }: StackRecord): void {
    const raw = this.keepRaw(stack, userRaw);
    const kept = { kernel: kernelStack.slice(), user: userStack.slice(), end: userEnd, raw };
    const kernelIds = this.names.want(kept.kernel);
    this.stacks.set(stack, { pid, stack: kept, kernelIds, usedNs: timeNs });
  }

  /** What a number stands for; undefined for 0 and what was lost. Marks it as used. */
  get(stack: bigint, nowNs: number): KnownStack | undefined {
    const known = this.stacks.get(stack);
    if (known !== undefined) known.usedNs = nowNs;
    return known;
  }

  /**
   * Names of the innermost of the program's own functions, leaf first; empty until they are known. Located anew each time: of a process
   * that was not known yet when the stack was told they are other ones.
   */
  callers({ pid, stack }: KnownStack): readonly string[] {
    return this.names.of(this.names.wantUser(pid, stack.user.subarray(0, namedUserFrames * 8))) ?? [];
  }

  /** Without our own programs and what called them, which stand on top of what they observe. */
  shown(known: KnownStack | undefined): StackBytes {
    if (known === undefined) return untoldStack;
    const names = this.names.of(known.kernelIds) ?? [];
    const own = names.findIndex(name => !ownFrame.test(name));
    return own <= 0 ? known.stack : { ...known.stack, kernel: known.stack.kernel.subarray(own * 8) };
  }

  /** Forgets the stacks that were not referred to for longest, here and in the kernel, which tells them anew if they come again. */
  trim(object: Pick<NativeObject, 'mapDelete'>): void {
    if (this.stacks.size <= maxStacks) return;
    const byUse = [...this.stacks].sort((a, b) => a[1].usedNs - b[1].usedNs);
    const key = Buffer.alloc(8);
    for (const [stack] of byUse.slice(0, byUse.length - keptStacks)) {
      this.withRaw.delete(stack);
      this.stacks.delete(stack);
      key.writeBigUInt64LE(stack);
      object.mapDelete('known_stacks', key);
    }
  }

  /** Copies of stacks are large, and each is of one moment: the oldest go first. What remains is the walk as far as it came. */
  private keepRaw(stack: bigint, raw: Uint8Array): Uint8Array {
    if (raw.length === 0) return noBytes;
    this.withRaw.add(stack);
    for (const oldest of this.withRaw) {
      if (this.withRaw.size <= maxRaw) break;
      this.withRaw.delete(oldest);
      const known = this.stacks.get(oldest);
      if (known !== undefined) this.stacks.set(oldest, { ...known, stack: { ...known.stack, raw: noBytes } });
    }
    return raw.slice();
  }
}

/**
 * Holds back what has a stack until every location in it has a name, so that the store gets each frame once and right. Names
 * come from the symbolizer's own thread in a few milliseconds; what waits is bounded.
 */

import type { FrameInfo, FrameKind, NativeSymbolizer } from './bpf/native.ts';
import type { UnwindEnd } from './events/index.ts';
import type { Mark, StackBytes, TimeKind } from './sources/source.ts';
import { incompleteReason } from './unwinding.ts';

/** More than this many waiting samples or spans means that names do not keep up; further ones are dropped and counted. */
const maxWaiting = 65_536;

/** The symbolizer gives ids from 256 on: those below are frames that are no code. 0 is what it gives when it has no more. */
const maxMarks = 255;

/** Frames that are no code and are called by what was observed have ids from here on, far above those of the symbolizer. */
export const firstObjectId = 0x8000_0000;
/** Beyond these a further one is called like the first of its kind. */
const maxObjects = 16_384;

/** A location, or a frame that is no code. */
export type CapturedFrame = Omit<FrameInfo, 'kind'> & { readonly kind: FrameKind | TimeKind };

interface Waiting {
  readonly stack: Uint32Array;
  readonly deliver: () => void;
}

export class StackResolver {
  private readonly symbolizer: NativeSymbolizer;
  private readonly output: { frame(info: CapturedFrame): void };
  /** Ids that have been described. Ids are given out from 1 upwards, so a bitmap serves. */
  private named = new Uint8Array(1 << 14);
  /** Ids of addresses outside every mapping: no code lies there, so the walk had lost its way. */
  private readonly unmapped = new Set<number>();
  /** Ids of frames that are no code, by kind and name. */
  private readonly marks = new Map<string, number>();
  /** Ids of frames that are called by what was observed, by kind and name. */
  private readonly objects = new Map<string, number>();
  private readonly asked = new Set<number>();
  private fresh: number[] = [];
  private waiting: Waiting[] = [];
  private describing: Promise<void> | undefined;

  constructor(symbolizer: NativeSymbolizer, output: { frame(info: CapturedFrame): void }) {
    this.symbolizer = symbolizer;
    this.output = output;
    this.mark('(unknown)');
  }

  get pending(): number {
    return this.waiting.length;
  }

  /**
   * Id of a frame that stands for no code: why a stack is incomplete, what a thread waited for. There are at most 255 of them, so
   * their names come from tables, never from what was observed; a further one is called like the first.
   */
  mark(name: string, kind: CapturedFrame['kind'] = 'unresolved'): number {
    const key = `${kind} ${name}`;
    let id = this.marks.get(key);
    if (id !== undefined) return id;
    id = Math.min(this.marks.size, maxMarks);
    this.marks.set(key, id);
    this.markNamed(id);
    this.tell(id, name, kind);
    return id;
  }

  /** Id of a frame that stands for something that was observed, such as a lock. */
  private object(name: string, kind: CapturedFrame['kind']): number {
    const key = `${kind} ${name}`;
    let id = this.objects.get(key);
    if (id !== undefined) return id;
    if (this.objects.size >= maxObjects) return this.mark('one of too many to name', kind);
    id = firstObjectId + this.objects.size;
    this.objects.set(key, id);
    this.tell(id, name, kind);
    return id;
  }

  private tell(id: number, name: string, kind: CapturedFrame['kind']): void {
    // The store knows a frame by module and address, over restarts too.
    const address = hashOf(`${kind} ${name}`);
    this.output.frame({ id, kind, module: '', buildId: '', address, lines: [{ name, file: '', line: 0 }], isGuess: false });
  }

  /** The stack with a frame on top that says what the time was spent on. */
  withMark(stack: Uint32Array, mark: Mark | undefined): Uint32Array {
    if (mark === undefined) return stack;
    const id = mark.isObserved === true ? this.object(mark.name, mark.kind) : this.mark(mark.name, mark.kind);
    return joined(stack, [id], []);
  }

  /** Who woke whom: on the stack that waited, the waker's, whose own root is on top. */
  wokenBy(waited: Uint32Array, waker: Uint32Array, mark: Mark = { name: 'woken by', kind: 'waiting' }): Uint32Array {
    return joined(this.withMark(waited, mark), [], waker.toReversed());
  }

  /** Locations of a raw stack, root first: user frames below, kernel frames on top. */
  locate(pid: number, stack: StackBytes): Uint32Array {
    const user = stack.user.length === 0 ? undefined : this.symbolizer.locate(pid, stack.user, false);
    const kernel = stack.kernel.length === 0 ? undefined : this.symbolizer.locate(pid, stack.kernel, true);
    const userDepth = user?.length ?? 0;
    const kernelDepth = kernel?.length ?? 0;
    const located = new Uint32Array(userDepth + kernelDepth);
    for (let i = 0; i < userDepth; i += 1) located[i] = user?.[userDepth - 1 - i] ?? 0;
    for (let i = 0; i < kernelDepth; i += 1) located[userDepth + i] = kernel?.[kernelDepth - 1 - i] ?? 0;
    return located;
  }

  isNamed(stack: Uint32Array): boolean {
    for (const id of stack) if (id < firstObjectId && this.named[id] !== 1) return false;
    return true;
  }

  /** A named stack as it is shown: one without its true root stands under a root of its own that says why. */
  shown(stack: Uint32Array, end: UnwindEnd): Uint32Array {
    if (end === 'frame_pointer') return this.cutWhereLost(stack);
    const reason = incompleteReason(end);
    if (reason === '') return stack;
    // An address outside of all code is the reason itself, and no frame.
    const isRootLost = end === 'no_mapping' && this.unmapped.has(stack[0] as number);
    const kept = stack.subarray(isRootLost ? 1 : 0);
    const marked = new Uint32Array(kept.length + 1);
    marked[0] = this.mark(`incomplete: ${reason}`);
    marked.set(kept, 1);
    return marked;
  }

  /**
   * Walked by frame pointers alone. Code built without them leaves any value in their register; what the walk found from there on is no
   * caller, so it is cut off and the rest stands under a root of its own that says so.
   */
  private cutWhereLost(stack: Uint32Array): Uint32Array {
    if (this.unmapped.size === 0) return stack;
    for (let i = stack.length - 1; i >= 0; i -= 1) {
      if (!this.unmapped.has(stack[i] as number)) continue;
      const kept = new Uint32Array(stack.length - i);
      kept[0] = this.mark('incomplete: no frame pointer');
      kept.set(stack.subarray(i + 1), 1);
      return kept;
    }
    return stack;
  }

  /** Keeps a stack until its names are there. False when too many wait already. */
  queue(stack: Uint32Array, deliver: () => void): boolean {
    if (this.waiting.length >= maxWaiting) return false;
    for (const id of stack) {
      if (id >= firstObjectId || this.named[id] === 1 || this.asked.has(id)) continue;
      this.asked.add(id);
      this.fresh.push(id);
    }
    this.waiting.push({ stack, deliver });
    return true;
  }

  /** Asks for the names of new locations, unless a question is under way; then they are asked for after it. */
  describeSoon(): void {
    if (this.describing !== undefined || this.fresh.length === 0) return;
    this.describing = this.describe().finally(() => {
      this.describing = undefined;
      this.describeSoon();
    });
  }

  /** Resolves when nothing waits any more. */
  async settle(): Promise<void> {
    this.describeSoon();
    while (this.describing !== undefined) await this.describing;
  }

  private async describe(): Promise<void> {
    const ids = Uint32Array.from(this.fresh);
    this.fresh = [];
    for (const info of await this.symbolizer.describe(ids)) {
      this.markNamed(info.id);
      if (info.kind === 'unresolved' && info.module === '') this.unmapped.add(info.id);
      this.output.frame(info);
    }
    // The symbolizer answers for every id that it gave out; one left out would keep its samples waiting for ever.
    for (const id of ids) this.asked.delete(id);
    const still: Waiting[] = [];
    for (const entry of this.waiting) {
      if (this.isNamed(entry.stack)) entry.deliver();
      else still.push(entry);
    }
    this.waiting = still;
  }

  private markNamed(id: number): void {
    if (id >= this.named.length) {
      const grown = new Uint8Array(Math.max(this.named.length * 2, id + 1));
      grown.set(this.named);
      this.named = grown;
    }
    this.named[id] = 1;
  }
}

function joined(below: Uint32Array, middle: readonly number[], above: Uint32Array | readonly number[]): Uint32Array {
  const stack = new Uint32Array(below.length + middle.length + above.length);
  stack.set(below);
  stack.set(middle, below.length);
  stack.set(above, below.length + middle.length);
  return stack;
}

/** FNV-1a, 64 bits. */
function hashOf(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}

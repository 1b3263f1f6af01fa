/**
 * How user stacks are walked: makes the unwinder, has every object that walks stacks share its tables, and takes over the stacks whose
 * walk lacked a table or a mapping that was still to come.
 */

import { BpfError } from './bpf/errors.ts';
import type { NativeAddon, NativeObject, NativeUnwinder, UnwinderStats } from './bpf/native.ts';
import { type UnwindEnd, unwindEndNames } from './events/index.ts';
import type { StackBytes } from './sources/source.ts';

/** What a broken stack's own root frame says after "incomplete: ", for every end that is not the thread's root. */
const reasons: Readonly<Record<UnwindEnd, string>> = {
  root: '',
  none: '',
  no_process: 'process not known yet',
  no_mapping: 'address outside of all code',
  no_table: 'unwind table not made yet',
  no_room: 'no room for the unwind table',
  no_rule: 'code without call frame information',
  unsupported: 'unwind rule of a form that is not supported',
  unreadable: 'stack could not be read',
  limit: 'more than 1,024 frames',
  bad_frame: 'frame below the one that it called',
  unknown_jit: 'code made at run time, without frame pointers',
  compat: '32-bit code',
  frame_pointer: '',
  short_copy: 'unwind table came late, and no more of the stack was copied',
  untold: 'no stack, too many new ones at once',
};

/** Why a user stack has not its true root, in plain words; '' where it has, or where only its frames can tell. */
export function incompleteReason(end: UnwindEnd): string {
  return reasons[end];
}

export interface UnwindOptions {
  /** Kernel memory for tables and lists of mappings; 0 for none, and stacks are walked by frame pointers alone. */
  readonly maxBytes: number;
  /** Where tables are kept from one start to the next; '' for nowhere. */
  readonly cacheDir: string;
}

export const defaultUnwindBytes = 32 << 20;
/** Less would not hold the tables of one ordinary program and its libraries. */
const minUnwindBytes = 1 << 20;

/** How long tables stay after the last source that uses them has stopped: one that is started again finds them. */
const lingerMs = 500;

/** Holds the unwinder while sources that walk stacks run, and no longer: a stopped source leaves no map in the kernel. */
export class Unwinding {
  private readonly native: NativeAddon;
  private readonly options: UnwindOptions;
  private readonly warn: (message: string) => void;
  private unwinder: NativeUnwinder | undefined;
  /** It was tried, and cannot be had here. */
  private hasFailed = false;
  private lingering: NodeJS.Timeout | undefined;
  private waiting = 0;
  private onSettled: (() => void)[] = [];

  constructor(native: NativeAddon, options: UnwindOptions, warn: (message: string) => void) {
    this.native = native;
    this.options = options;
    this.warn = warn;
  }

  /** The unwinder, made where there is none; undefined where stacks are walked by frame pointers alone. */
  private open(): NativeUnwinder | undefined {
    clearTimeout(this.lingering);
    const { maxBytes, cacheDir } = this.options;
    if (this.unwinder !== undefined || this.hasFailed || maxBytes === 0) return this.unwinder;
    try {
      this.unwinder = this.native.createUnwinder({ maxBytes: Math.max(maxBytes, minUnwindBytes), cacheDir });
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      this.hasFailed = true;
      this.warn(`user stacks are walked by frame pointers alone: ${error.message}`);
    }
    return this.unwinder;
  }

  /** No source runs any more. */
  release(): void {
    clearTimeout(this.lingering);
    this.lingering = setTimeout(() => this.close(), lingerMs);
  }

  /** Copied stacks that wait for their tables. */
  get pending(): number {
    return this.waiting;
  }

  stats(): UnwinderStats | undefined {
    return this.unwinder?.stats();
  }

  /** Resolves when the tables of all files that were mapped at the start are made, or after `maxMs`. */
  async ready(maxMs: number): Promise<void> {
    this.open();
    const endMs = performance.now() + maxMs;
    while (this.stats()?.readyMs === 0 && performance.now() < endMs) await new Promise(resolve => setTimeout(resolve, 10));
  }

  /** The addon as sources are to use it: what they open walks by our tables. */
  shared(): NativeAddon {
    return { ...this.native, openObject: path => this.share(this.native.openObject(path)) };
  }

  private share(object: NativeObject): NativeObject {
    try {
      if (object.maps.some(({ name }) => name === 'unwind_blocks')) this.open()?.share(object);
      return object;
    } catch (error) {
      object.close();
      throw error;
    }
  }

  /** Whether the stack can be walked on, later. */
  canResume({ raw }: StackBytes): boolean {
    return raw.length > 0 && this.unwinder !== undefined;
  }

  /** Walks on once the table is there. Views into the batch are copied; never rejects. */
  async resume(pid: number, timeNs: number, stack: StackBytes): Promise<StackBytes> {
    const kernel = stack.kernel.slice();
    const user = stack.user.slice();
    this.waiting += 1;
    try {
      const { addresses, end } = (await this.unwinder?.resume(pid, timeNs, stack.raw)) ?? noFurther;
      return { kernel, user: Buffer.concat([user, addresses]), end: unwindEndNames[end] ?? stack.end, raw: nothing };
    } catch {
      // ECANCELED: the unwinder was closed; what was walked so far stands.
      return { kernel, user, end: stack.end, raw: nothing };
    } finally {
      this.waiting -= 1;
      if (this.waiting === 0) for (const settled of this.onSettled.splice(0)) settled();
    }
  }

  /** A table that had no room is asked for again, since its code was seen. */
  noteEnd(pid: number, timeNs: number, { user, end }: StackBytes): void {
    if (end !== 'no_room' || user.length < 8) return;
    const last = Buffer.from(user.buffer, user.byteOffset + user.length - 8, 8).readBigUInt64LE(0);
    this.unwinder?.want(pid, timeNs, user.length > 8 ? last - 1n : last);
  }

  /** Resolves when no stack waits any more: some seconds at most. */
  async settle(): Promise<void> {
    while (this.waiting > 0) await new Promise<void>(resolve => this.onSettled.push(resolve));
  }

  close(): void {
    clearTimeout(this.lingering);
    this.unwinder?.close();
    this.unwinder = undefined;
  }
}

const nothing = new Uint8Array(0);
const noFurther = { addresses: nothing, end: -1 };

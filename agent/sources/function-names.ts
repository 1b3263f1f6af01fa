/** Names of functions on stacks, each asked for once. They come a few milliseconds later, from the symbolizer's thread. */

import type { NativeSymbolizer } from '../bpf/native.ts';

/** The kernel has some ten thousand places where a thread can sleep, and a program mostly a few hundred. */
const maxNames = 100_000;

export class FunctionNames {
  private readonly symbolizer: Pick<NativeSymbolizer, 'locate' | 'describe'>;
  private readonly names = new Map<number, string>();

  constructor(symbolizer: Pick<NativeSymbolizer, 'locate' | 'describe'>) {
    this.symbolizer = symbolizer;
  }

  /** Asks for the names of kernel addresses (u64 little endian, leaf first) and gives their ids. */
  want(addresses: Uint8Array): Uint32Array {
    return this.ids(this.symbolizer.locate(0, addresses, true));
  }

  /** The same of a process's own addresses. */
  wantUser(pid: number, addresses: Uint8Array): Uint32Array {
    return this.ids(this.symbolizer.locate(pid, addresses, false));
  }

  private ids(ids: Uint32Array): Uint32Array {
    if (this.names.size > maxNames) this.names.clear();
    const fresh = ids.filter(id => !this.names.has(id));
    if (fresh.length > 0) void this.ask(fresh);
    return ids;
  }

  /** Names of a stack, leaf first; undefined while one of them is not there yet. */
  of(ids: Uint32Array): string[] | undefined {
    const names: string[] = [];
    for (const id of ids) {
      const name = this.names.get(id);
      if (name === undefined) return undefined;
      names.push(name);
    }
    return names;
  }

  private async ask(ids: Uint32Array): Promise<void> {
    try {
      for (const { id, lines } of await this.symbolizer.describe(ids)) this.names.set(id, lines[0]?.name ?? '');
    } catch {
      // The symbolizer was closed while it was asked: the source stops too, and nobody needs the names any more.
    }
  }
}

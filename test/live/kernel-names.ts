/** Names of kernel code by /proc/kallsyms alone, to check what the agent's own symbolizer and programs make of it. */

import { readFileSync } from 'node:fs';

interface Symbol {
  readonly address: bigint;
  readonly name: string;
}

let symbols: readonly Symbol[] | undefined;

function readSymbols(): readonly Symbol[] {
  return readFileSync('/proc/kallsyms', 'utf8')
    .split('\n')
    .map(line => /^([0-9a-f]+) [tTwW] (\S+)$/.exec(line))
    .filter(match => match !== null)
    .map(([, address = '0', name = '']) => ({ address: BigInt(`0x${address}`), name }))
    .sort((a, b) => (a.address < b.address ? -1 : 1));
}

/**
 * The functions of a stack of addresses, innermost first. Code outside of the kernel's own text, such as programs and trampolines,
 * is told as its address.
 */
export function kernelNames(bytes: Uint8Array): string[] {
  const stack = Buffer.from(bytes);
  symbols ??= readSymbols();
  const bound = (name: string) => symbols?.find(symbol => symbol.name === name)?.address ?? 0n;
  const [start, end] = [bound('_stext'), bound('_etext')];
  return Array.from({ length: stack.length / 8 }, (_, i) => {
    const address = stack.readBigUInt64LE(i * 8);
    if (address < start || address >= end) return `0x${address.toString(16)}`;
    return symbols?.findLast(symbol => symbol.address <= address)?.name ?? '';
  });
}

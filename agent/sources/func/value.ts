/** What registers hold: arguments and results as numbers or addresses, by type where the kernel's types tell it. Pure. */

import type { KernelFunctionPrototype, ValueType } from '../../bpf/native.ts';
import type { AttributeValue } from '../source.ts';

/** One register or word of a call's arguments. */
export interface ArgumentWord {
  readonly name: string;
  /** undefined where nothing is known of it. */
  readonly type: ValueType | undefined;
}

/** What a kernel function returns where its type is not known, and every system call. */
export const longResult: ValueType = { bytes: 8, isSigned: true };

const word: ValueType = { bytes: 8, isSigned: false };

/** Words in which the arguments are passed: a structure of up to 16 bytes takes two, a larger one is in memory and takes none. */
export function argumentWords({ arguments: names, argumentTypes }: KernelFunctionPrototype): ArgumentWord[] {
  return names.flatMap((name, i): ArgumentWord[] => {
    const type = argumentTypes[i];
    if (name === '...' || type === undefined || type.bytes > 16) return [];
    if (type.bytes <= 8) return [{ name, type }];
    return [
      { name: `${name}.0`, type: word },
      { name: `${name}.1`, type: word },
    ];
  });
}

/** Bits of a result in which a negative errno is looked for; 0 for a type that holds none. A pointer holds one as a long does. */
export function errnoWidth(type: ValueType): 0 | 32 | 64 {
  if (type.bytes === 8) return 64;
  return type.bytes === 4 && type.isSigned ? 32 : 0;
}

/** The positive errno that a kernel function returned, 0 for none. */
export function errnoOf(result: bigint, type: ValueType): number {
  const width = errnoWidth(type);
  if (width === 0) return 0;
  const value = BigInt.asIntN(width, result);
  return value < 0n && value >= -4095n ? Number(-value) : 0;
}

/** A value of a known type; the register's other bits mean nothing. Unsigned long words are numbers when small, addresses when not. */
export function readable(value: bigint, type: ValueType | undefined): AttributeValue {
  if (type === undefined) return guessed(value);
  if (type.bytes > 0 && type.bytes < 8) {
    return Number(type.isSigned ? BigInt.asIntN(type.bytes * 8, value) : BigInt.asUintN(type.bytes * 8, value));
  }
  if (!type.isSigned) return value <= 0xffffffffn ? Number(value) : hex(value);
  const number = BigInt.asIntN(64, value);
  return number >= Number.MIN_SAFE_INTEGER && number <= Number.MAX_SAFE_INTEGER ? Number(number) : number;
}

/** Without a type: small values are numbers of either sign, also where only the lower half was set as for -1 or AT_FDCWD; others addresses. */
function guessed(value: bigint): AttributeValue {
  const narrow = BigInt.asIntN(32, value);
  if (value <= 0xffffffffn && narrow < 0n && narrow >= -4095n) return Number(narrow);
  const number = BigInt.asIntN(64, value);
  return number >= -0x80000000n && number <= 0xffffffffn ? Number(number) : hex(value);
}

export function hex(value: bigint): string {
  return `0x${BigInt.asUintN(64, value).toString(16)}`;
}

/** Flags of open() as text. */

import { constants } from 'node:fs';

/** Bits whose place depends on the architecture come from Node, which was compiled on it. */
const bits: readonly (readonly [name: string, bit: number])[] = [
  ['O_CREAT', constants.O_CREAT],
  ['O_EXCL', constants.O_EXCL],
  ['O_NOCTTY', constants.O_NOCTTY],
  ['O_TRUNC', constants.O_TRUNC],
  ['O_APPEND', constants.O_APPEND],
  ['O_NONBLOCK', constants.O_NONBLOCK],
  // Before O_DSYNC, whose bit is one of its two.
  ['O_SYNC', constants.O_SYNC],
  ['O_DSYNC', constants.O_DSYNC],
  ['O_ASYNC', 0o20000],
  ['O_DIRECT', constants.O_DIRECT],
  ['O_TMPFILE', 0o20000000 | constants.O_DIRECTORY],
  ['O_DIRECTORY', constants.O_DIRECTORY],
  ['O_NOFOLLOW', constants.O_NOFOLLOW],
  ['O_NOATIME', constants.O_NOATIME],
  ['O_CLOEXEC', 0o2000000],
  ['O_PATH', 0o10000000],
];

/** The kernel sets it for every 64-bit program, so it says nothing. */
const largeFile = process.arch === 'arm64' ? 0o400000 : 0o100000;

const accessModes = ['O_RDONLY', 'O_WRONLY', 'O_RDWR', 'O_ACCMODE'] as const;

/** "O_WRONLY|O_CREAT|O_TRUNC"; bits without a name follow in hexadecimal. */
export function openFlagsText(flags: number): string {
  const words: string[] = [accessModes[flags & 3] ?? ''];
  let rest = flags & ~3 & ~largeFile;
  for (const [name, bit] of bits) {
    if ((rest & bit) !== bit) continue;
    words.push(name);
    rest &= ~bit;
  }
  if (rest !== 0) words.push(`0x${(rest >>> 0).toString(16)}`);
  return words.join('|');
}

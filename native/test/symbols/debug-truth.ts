/** What binutils' addr2line and llvm-symbolizer say of addresses, in the form in which the symbolizer's frames can be held against it. */

import { execFileSync } from 'node:child_process';
import { posix } from 'node:path';
import type { FrameInfo } from '../../../agent/bpf/native.ts';

export interface SymbolPlace {
  readonly address: bigint;
  readonly sizeBytes: number;
  readonly name: string;
}

/** Functions of a file with their sizes, demangled, all aliases included. */
export function functionsIn(path: string): SymbolPlace[] {
  const listing = execFileSync('nm', ['-S', '-C', '--defined-only', path], { encoding: 'utf8', maxBuffer: 1 << 28 });
  return [...listing.matchAll(/^([0-9a-f]+) ([0-9a-f]+) [tTwWi] (.*)$/gm)].map(([, address = '0', size = '0', name = '']) => ({
    address: BigInt(`0x${address}`),
    sizeBytes: Number.parseInt(size, 16),
    name,
  }));
}

/** The first byte of each function and bytes inside of them at random, from one fixed seed: at least `count`. */
export function pickAddresses(functions: readonly SymbolPlace[], count: number): bigint[] {
  let state = 7;
  const below = (bound: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
  const withSize = functions.filter(one => one.sizeBytes > 0);
  const picked = withSize.map(one => one.address);
  while (picked.length < count + withSize.length) {
    const one = withSize[below(withSize.length)];
    if (one !== undefined) picked.push(one.address + BigInt(below(one.sizeBytes)));
  }
  return picked;
}

/** One function of a place, innermost first: name, and file:line. */
type Line = readonly [string, string];

/** Clones and parts of a function ("f.isra.0", "f.cold") go by its name; blanks, and a Rust symbol's hash, tell nothing. */
function plainName(name: string): string {
  return name
    .replace(/\s*[[(](?:clone )?\.[a-z_]+[.\d]*[\])]/g, '')
    .replace(/(?:\.(?:cold|isra|part|constprop|lto_priv|llvm)(?:\.\d+)?)+$/, '')
    .replace(/::h[0-9a-f]{16}$/, '')
    .replace(/\s/g, '')
    .slice(0, 1000);
}

function plainPlace(text: string): string {
  const place = text.replace(/ \(discriminator \d+\)$/, '').replace(/^(.*:\d+):\d+$/, '$1');
  const colon = place.lastIndexOf(':');
  const line = place.slice(colon + 1);
  const file = posix.normalize(place.slice(0, colon));
  // A unit without a line table: one tool gives the unit's name, the other question marks.
  return line === '?' || line === '0' || file === '??' ? '?' : `${file}:${line}`;
}

function ask(command: string, args: readonly string[], addresses: readonly bigint[]): Line[][] {
  const input = addresses.map(address => `0x${address.toString(16)}\n`).join('');
  const output = execFileSync(command, args, { input, encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['pipe', 'pipe', 'ignore'] });
  const answers: Line[][] = [];
  const texts: string[] = [];
  const finish = (): void => {
    const lines = answers.at(-1);
    for (let i = 0; lines !== undefined && i + 1 < texts.length; i += 2)
      lines.push([plainName(texts[i] ?? ''), plainPlace(texts[i + 1] ?? '')]);
    texts.length = 0;
  };
  for (const text of output.split('\n')) {
    if (/^0x[0-9a-f]+$/.test(text)) {
      finish();
      answers.push([]);
    } else if (text !== '') {
      texts.push(text);
    }
  }
  finish();
  return answers;
}

export function askAddr2line(path: string, addresses: readonly bigint[]): Line[][] {
  return ask('addr2line', ['-a', '-i', '-f', '-C', '-e', path], addresses);
}

export function askLlvm(path: string, addresses: readonly bigint[]): Line[][] {
  return ask('llvm-symbolizer', ['--inlines', '-f', '-C', '--output-style=GNU', '-a', '-e', path], addresses);
}

/**
 * Whether a frame says what a tool says: all functions with file and line. For the outermost one a name from the symbol table is as
 * good as DWARF's: aliases differ.
 */
export function isSame(frame: FrameInfo, answer: readonly Line[], aliases: ReadonlySet<string>): boolean {
  if (frame.lines.length !== answer.length) return false;
  return frame.lines.every(({ name, file, line }, i) => {
    const [otherName, place] = answer[i] ?? ['', ''];
    const shown = plainName(name);
    const isName = shown === otherName || (i === answer.length - 1 && aliases.has(shown));
    return isName && (line === 0 ? '?' : `${posix.normalize(file)}:${line}`) === place;
  });
}

/** Names of all symbols that cover an address, as isSame() takes them. */
export function aliasesAt(functions: readonly SymbolPlace[], address: bigint): Set<string> {
  const covering = functions.filter(one => address >= one.address && address < one.address + BigInt(one.sizeBytes));
  return new Set(covering.map(one => plainName(one.name)));
}

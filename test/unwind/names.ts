/** Compares the names that hotspan gives to code with those that addr2line -f -i gives: inlined functions, innermost first. */

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { loadAddon } from '../../agent/bpf/addon.ts';
import type { FrameInfo, NativeSymbolizer } from '../../agent/bpf/native.ts';
import type { GdbFrame } from './gdb.ts';

export interface NameTally {
  /** Different addresses that addr2line can name. */
  addresses: number;
  /** The function that stands in the symbol table, or that all others are inlined into, is named the same. */
  right: number;
  /** All inlined functions are those of addr2line or of gdb too. */
  chains: number;
  /** In words, by place. */
  readonly wrong: Map<string, number>;
}

/**
 * What two demanglers agree on: no parameters, no template arguments, no return type, no hash of Rust's, no mark of what the compiler
 * made of a function.
 */
export function bareName(name: string): string {
  let bare = name.replace(/::h[0-9a-f]{16}$/, '').replace(/\.(part|isra|constprop|cold|lto_priv|llvm|localalias)\b.*$/, '');
  // Go's assembly that was written for the older calling convention.
  bare = bare
    .replace(/\.abi0$/, '')
    .replace(/\s*\[clone [^\]]*\]/g, '')
    .replace(/\boperator(<<|>>|<=>|<=|>=|->|<|>|\(\))/g, 'operator');
  for (let before = ''; before !== bare; ) {
    before = bare;
    bare = bare.replace(/<[^<>]*>/g, '').replace(/\([^()]*\)/g, '');
  }
  bare = bare.replace(/ (const|volatile|&|&&)$/g, '').replace(/@@?[\w.]+$/, '');
  return bare.split(' ').at(-1)?.split('::').filter(Boolean).at(-1) ?? bare;
}

interface Answer {
  /** Innermost first. */
  readonly names: readonly string[];
  /** It was read from debug information; else it is the symbol before the address, however far. */
  readonly hasLine: boolean;
}

/** "address\nname\nfile:line\nname\nfile:line..." for each address that was asked for. */
function parseAnswers(text: string): Answer[] {
  return text
    .split(/^0x[0-9a-f]{16}\n/m)
    .slice(1)
    .map(part => {
      const lines = part.trimEnd().split('\n');
      return { names: lines.filter((_, i) => i % 2 === 0), hasLine: !/^\?\?:/.test(lines[1] ?? '??:') };
    });
}

function addr2line(path: string, addresses: readonly number[]): Answer[] {
  const text = execFileSync('addr2line', ['-a', '-f', '-i', '-C', '-e', path], {
    input: addresses.map(address => `0x${address.toString(16)}\n`).join(''),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  return parseAnswers(text);
}

interface SymbolRange {
  readonly start: number;
  readonly end: number;
}

const symbolsOf = new Map<string, Map<string, SymbolRange[]>>();

/** Where a distribution puts what it stripped off, by build id. */
function debugFileOf(path: string): string[] {
  const notes = execFileSync('readelf', ['--notes', path], { encoding: 'latin1', stdio: ['ignore', 'pipe', 'ignore'] });
  const [, first = '', rest = ''] = /Build ID: ([0-9a-f]{2})([0-9a-f]+)/.exec(notes) ?? [];
  const file = `/usr/lib/debug/.build-id/${first}/${rest}.debug`;
  return existsSync(file) ? [file] : [];
}

/** Functions of a file's symbol tables by bare name. */
function symbols(path: string): Map<string, SymbolRange[]> {
  const known = symbolsOf.get(path);
  if (known) return known;
  const found = new Map<string, SymbolRange[]>();
  const options = {
    encoding: 'utf8' as const,
    maxBuffer: 1 << 29,
    stdio: ['ignore' as const, 'pipe' as const, 'ignore' as const],
  };
  for (const file of [path, ...debugFileOf(path)]) {
    const text = execFileSync('readelf', ['--wide', '--symbols', '--dyn-syms', '--demangle', file], options);
    const pattern = /^\s*\d+: ([0-9a-f]{16})\s+(\S+)\s+(?:FUNC|IFUNC|NOTYPE)\s+\S+\s+\S+\s+\S+\s+(.+)$/gm;
    for (const [, address = '', size = '', name = ''] of text.matchAll(pattern)) {
      const start = Number.parseInt(address, 16);
      const bare = bareName(name.trim());
      found.set(bare, [...(found.get(bare) ?? []), { start, end: start + Number(size) }]);
    }
  }
  symbolsOf.set(path, found);
  return found;
}

function covers(path: string, name: string, address: number): boolean {
  return (symbols(path).get(name) ?? []).some(({ start, end }) => address >= start && address < end);
}

interface Asked {
  readonly frame: FrameInfo;
  readonly gdbNames: readonly string[];
}

/** Collects code of one program while it runs, and is asked for its judgement afterwards. */
export class NameJudge {
  readonly #symbolizer: NativeSymbolizer;
  readonly #symbolFile: string;
  readonly #binary: string;
  readonly #asked = new Map<string, Map<number, Asked>>();

  constructor(binary: string, symbolFile: string) {
    this.#symbolizer = loadAddon().createSymbolizer({ maxBytes: 256 << 20 });
    this.#binary = binary;
    this.#symbolFile = symbolFile;
  }

  /** gdb's stack of a thread of the process, which must still have its mappings. */
  async add(pid: number, stack: readonly GdbFrame[]): Promise<void> {
    const packed = Buffer.alloc(8 * stack.length);
    for (const [i, { pc }] of stack.entries()) packed.writeBigUInt64LE(pc, 8 * i);
    const ids = this.#symbolizer.locate(pid, packed, false);
    const described = new Map((await this.#symbolizer.describe(ids)).map(frame => [frame.id, frame]));
    for (const [i, { names }] of stack.entries()) {
      const frame = described.get(ids[i] ?? 0);
      if (!frame?.module.startsWith('/') || names.length === 0) continue;
      const ofFile = this.#asked.get(frame.module) ?? new Map<number, Asked>();
      this.#asked.set(frame.module, ofFile);
      ofFile.set(Number(frame.address), { frame, gdbNames: names });
    }
  }

  judge(): NameTally {
    const tally: NameTally = { addresses: 0, right: 0, chains: 0, wrong: new Map() };
    for (const [path, asked] of this.#asked) {
      const file = path === this.#binary && this.#symbolFile !== '' ? this.#symbolFile : path;
      const answers = addr2line(file, [...asked.keys()]);
      for (const [i, frame] of [...asked.values()].entries())
        judgeOne(tally, file, frame, answers[i] ?? { names: [], hasLine: false });
    }
    return tally;
  }

  close(): void {
    this.#symbolizer.close();
  }
}

function judgeOne(tally: NameTally, file: string, { frame, gdbNames }: Asked, answer: Answer): void {
  const address = Number(frame.address);
  const theirs = answer.names.map(bareName);
  const outer = theirs.at(-1) ?? '??';
  // The symbol before the address does not reach it: addr2line names what no table names.
  if (outer === '??' || (!answer.hasLine && !covers(file, outer, address))) return;
  const ours = frame.lines.map(({ name }) => bareName(name));
  const ourOuter = ours.at(-1) ?? '';
  // A function may have several names: one is as right as another.
  const isRight = ourOuter === outer || (!frame.isGuess && covers(file, ourOuter, address));
  tally.addresses += 1;
  if (isRight) tally.right += 1;
  // addr2line calls the innermost of C++'s inlined functions by the name of the outermost, and knows none of Go's: gdb does.
  const inlined = ours.slice(0, -1).join('\n');
  const isSameChain = (names: readonly string[]) => inlined === names.slice(0, -1).join('\n');
  if (isRight && (isSameChain(theirs) || isSameChain(gdbNames.map(bareName)))) {
    tally.chains += 1;
    return;
  }
  const place = `${file.split('/').at(-1)}+${address.toString(16)}`;
  const text = `${place}: addr2line ${answer.names.join(' < ')}, gdb ${gdbNames.join(' < ')}, hotspan ${frame.lines.map(({ name }) => name).join(' < ')}`;
  tally.wrong.set(text, (tally.wrong.get(text) ?? 0) + 1);
}

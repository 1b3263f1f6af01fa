/** Runs hotspan's walk, built for user space (walk-stopped.cc), over processes that stand still and over core files. */

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { projectDir } from '../../scripts/lib/bpf.ts';
import { runTool } from '../../scripts/lib/steps.ts';
import type { Walk } from './compare.ts';

/** What is walked: the pid of a process that stands still, or the path of a core file. */
export type Walked = number | string;

/** What hotspan's tables say about the code at an address. */
export interface CodeAt {
  /** Empty where the address lies in no file. */
  readonly path: string;
  readonly elfAddress: number;
  /** In words; "none" where there is no rule. */
  readonly rule: string;
}

const hex = (value: bigint): string => value.toString(16);

/** Compiles the tool, if its sources have changed, and gives back its path. */
export async function buildWalker(): Promise<string> {
  const folder = join(projectDir, '.build', 'walk-stopped');
  await runTool('cmake', ['-S', import.meta.dirname, '-B', folder]);
  await runTool('cmake', ['--build', folder, '--parallel', '2']);
  return join(folder, 'walk-stopped');
}

/** One process of the tool; it keeps the tables of the files that it has met. */
export class Walker {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: Interface;
  readonly #answers: AsyncIterator<string>;

  constructor(tool: string) {
    this.#child = spawn(tool, [], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout });
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  async #ask(question: string): Promise<string[]> {
    this.#child.stdin.write(`${question}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error(`the walker ended when it was asked "${question}"`);
    const [kind = '', ...words] = (value as string).split('\t');
    if (kind === 'error') throw new Error(`the walker was asked "${question}" and says: ${words.join(' ')}`);
    return words;
  }

  /** Reads the mappings of the process, which may have changed while it ran, or the core. Throws with what is wrong with a core. */
  async refresh(walked: Walked): Promise<void> {
    await this.#ask(`maps ${walked}`);
  }

  /** The instruction pointer and the registers of a thread in a core, as the walker itself reads them. */
  async registers(core: string, tid: number): Promise<{ ip: bigint; registers: readonly bigint[] }> {
    const [ip = 0n, ...registers] = (await this.#ask(`registers ${core} ${tid}`)).map(word => BigInt(`0x${word}`));
    return { ip, registers };
  }

  async walk(walked: Walked, ip: bigint, registers: readonly bigint[]): Promise<Walk> {
    const [end = '', ...addresses] = await this.#ask(`walk ${walked} ${hex(ip)} ${registers.map(hex).join(' ')}`);
    return { end, addresses: addresses.map(address => BigInt(`0x${address}`)) };
  }

  async codeAt(walked: Walked, address: bigint): Promise<CodeAt> {
    const [path = '', elfAddress = '0', rule = ''] = await this.#ask(`rule ${walked} ${hex(address)}`);
    return { path, elfAddress: Number.parseInt(elfAddress, 16), rule };
  }

  stop(): void {
    this.#lines.close();
    this.#child.kill('SIGKILL');
  }
}

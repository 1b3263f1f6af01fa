/**
 * Stops a process at random points with gdb, and gives gdb's own stack and the registers of each thread at each stop; or has gdb read them
 * out of core files.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';

export interface GdbFrame {
  readonly pc: bigint;
  readonly sp: bigint;
  readonly type: 'normal' | 'signal' | 'arch';
  /** Functions inlined here, innermost first, and the one that they are inlined into; none for frames far up. '' where gdb knows none. */
  readonly names: readonly string[];
}

export interface StoppedThread {
  readonly tid: number;
  readonly ip: bigint;
  /** By DWARF number. */
  readonly registers: readonly bigint[];
  /** Innermost first; inlined functions and deduced tail calls are left out, since they have no place on the stack. */
  readonly frames: readonly GdbFrame[];
  /** Why gdb saw no more frames, in its own words. */
  readonly end: string;
}

export interface StopOptions {
  readonly pid: number;
  readonly symbolFile: string;
  readonly stops: number;
  readonly seed: number;
  /** At most so many threads at each stop, the one that was stopped among them. */
  readonly threads: number;
}

const STOP_TIMEOUT_MS = 60_000;

interface RawStop {
  readonly error?: string;
  readonly threads?: readonly {
    tid: number;
    ip: string;
    registers: string[];
    frames: [string, string, GdbFrame['type'], string[]][];
    end: string;
  }[];
}

const address = (hex: string): bigint => BigInt(`0x${hex}`);

function parseStop(line: string): StoppedThread[] {
  const stop = JSON.parse(line) as RawStop;
  if (!stop.threads) throw new Error(`gdb says: ${stop.error}`);
  return stop.threads.map(({ tid, ip, registers, frames, end }) => ({
    tid,
    ip: address(ip),
    registers: registers.map(address),
    frames: frames.map(([pc, sp, type, names]) => ({ pc: address(pc), sp: address(sp), type, names })),
    end,
  }));
}

/** A gdb that runs a script of ours, and the socket that the script answers on. */
class Gdb {
  readonly #folder = mkdtempSync(join(tmpdir(), 'hotspan-gdb-'));
  #child: ChildProcess | undefined;
  #socket: Socket | undefined;
  #lines: Interface | undefined;
  #answers: AsyncIterator<string> | undefined;
  /** What it printed. */
  #words = '';

  async start(script: string, settings: Readonly<Record<string, string>>): Promise<void> {
    const socketPath = join(this.#folder, 'gdb');
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    const server = createServer(resolve).on('error', reject);
    const timer = setTimeout(() => reject(this.#problem('gdb did not come up')), STOP_TIMEOUT_MS);
    server.listen(socketPath, () => {
      this.#child = spawn('gdb', ['-q', '-nx', '-batch', '-x', join(import.meta.dirname, script)], {
        env: { ...process.env, ...settings, STOPS_SOCKET: socketPath },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      for (const stream of [this.#child.stdout, this.#child.stderr])
        stream?.setEncoding('utf8').on('data', (text: string) => {
          this.#words = (this.#words + text).slice(-2000);
        });
    });
    try {
      this.#socket = await promise;
    } finally {
      clearTimeout(timer);
      server.close();
    }
    this.#lines = createInterface({ input: this.#socket });
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  #problem(text: string): Error {
    return new Error(`${text}\n${this.#words}`);
  }

  send(line: string): void {
    this.#socket?.write(`${line}\n`);
  }

  /** The next line of the script; undefined where it is done. Throws an Error with gdb's words where none comes in time. */
  async line(): Promise<string | undefined> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#lines?.close();
    }, STOP_TIMEOUT_MS);
    const next = await this.#answers?.next();
    clearTimeout(timer);
    if (isLate) throw this.#problem(`gdb said nothing for ${STOP_TIMEOUT_MS} ms`);
    return next?.done ? undefined : next?.value;
  }

  async expectLine(): Promise<string> {
    const line = await this.line();
    if (line === undefined) throw this.#problem('gdb left');
    return line;
  }

  stop(): void {
    this.#socket?.destroy();
    this.#child?.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Stands still until it is let go: `writeCore` has a core of it written by gdb's gcore meanwhile. */
export interface Stop {
  readonly threads: readonly StoppedThread[];
  writeCore(path: string): Promise<void>;
}

/** Stops the process again and again and calls `onStop` while it stands still. Throws an Error with gdb's words. */
export async function stopAtRandom(options: StopOptions, onStop: (stop: Stop) => Promise<void>): Promise<void> {
  const gdb = new Gdb();
  const writeCore = async (path: string) => {
    gdb.send(`core ${path}`);
    const line = await gdb.expectLine();
    if ((JSON.parse(line) as { core?: string }).core !== path) throw new Error(`no core was written: ${line}`);
  };
  try {
    await gdb.start('stops.py', {
      STOPS_PID: String(options.pid),
      STOPS_SYMBOLS: options.symbolFile,
      STOPS_SEED: String(options.seed),
      STOPS_THREADS: String(options.threads),
    });
    for (let count = 1; count <= options.stops; count += 1) {
      await onStop({ threads: parseStop(await gdb.expectLine()), writeCore });
      gdb.send(count < options.stops ? 'go' : 'end');
    }
    // It detaches before it ends.
    await gdb.line();
  } finally {
    gdb.stop();
  }
}

/** A gdb that reads core files, one after the other. */
export class CoreGdb {
  readonly #gdb = new Gdb();
  #started: Promise<void> | undefined;

  /** Of at most so many threads, the one that the core was written for first. `symbols`: the program's file, with its symbols. */
  async read(core: string, symbols: string, threads: number): Promise<readonly StoppedThread[]> {
    this.#started ??= this.#gdb.start('cores.py', {});
    await this.#started;
    this.#gdb.send(JSON.stringify({ core, symbols, threads }));
    return parseStop(await this.#gdb.expectLine());
  }

  stop(): void {
    this.#gdb.stop();
  }
}

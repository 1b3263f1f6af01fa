/** Stops a process at random points with gdb, and gives gdb's own stack and the registers of each thread at each stop. */

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

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

/** Resolves with the connection of the gdb that is started by `start`. */
function accept(socketPath: string, start: () => void): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const server = createServer(socket => {
      server.close();
      resolve(socket);
    });
    server.on('error', reject);
    server.listen(socketPath, start);
    setTimeout(() => reject(new Error('gdb did not come up')), STOP_TIMEOUT_MS).unref();
  });
}

/**
 * Stops the process again and again and calls `onStop` while it stands still. What `onStop` answers may be the path of a core file
 * that gdb is to write of this very stop. Throws an Error with gdb's words.
 */
export async function stopAtRandom(
  options: StopOptions,
  onStop: (threads: readonly StoppedThread[]) => Promise<string | undefined>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'hotspan-gdb-'));
  const socketPath = join(folder, 'gdb');
  const env = {
    ...process.env,
    STOPS_SOCKET: socketPath,
    STOPS_PID: String(options.pid),
    STOPS_SYMBOLS: options.symbolFile,
    STOPS_SEED: String(options.seed),
    STOPS_THREADS: String(options.threads),
  };
  let words = '';
  let gdb: ReturnType<typeof spawn> | undefined;
  try {
    const socket = await accept(socketPath, () => {
      gdb = spawn('gdb', ['-q', '-nx', '-batch', '-x', join(import.meta.dirname, 'stops.py')], {
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      for (const stream of [gdb.stdout, gdb.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (words += text));
    });
    let stopCount = 0;
    const timer = setTimeout(() => socket.destroy(new Error(`no stop within ${STOP_TIMEOUT_MS} ms`)), STOP_TIMEOUT_MS);
    for await (const line of createInterface({ input: socket })) {
      timer.refresh();
      const core = await onStop(parseStop(line));
      stopCount += 1;
      socket.write(stopCount >= options.stops ? 'end\n' : core === undefined ? 'go\n' : `core ${core}\n`);
    }
    clearTimeout(timer);
    if (stopCount < options.stops) throw new Error(`gdb left after ${stopCount} stops`);
  } catch (cause) {
    throw new Error(`${cause instanceof Error ? cause.message : cause}\n${words.slice(-2000)}`, { cause });
  } finally {
    gdb?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs hotspan's command line as a person would, to its end, and reads what it said. For tests. */

import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { bpfObjects, eventually, launcher, type TestAgent } from './agent.ts';

export interface Outcome {
  /** 128 + signal where a signal ended it. */
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface CommandOptions {
  /** Program and arguments that start hotspan in their turn, such as setpriv with its flags. */
  readonly wrapper?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Called with the running process's pid, for tests that do something meanwhile. */
  readonly onStart?: (pid: number) => void;
}

/** A command that takes longer than this hangs. */
const timeoutMs = 60_000;

export function hotspan(args: readonly string[], { wrapper = [], env = {}, onStart }: CommandOptions = {}): Promise<Outcome> {
  const [program = launcher, ...rest] = [...wrapper, launcher, ...args];
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`hotspan ${args.join(' ')} did not end within ${timeoutMs} ms; it said: ${out}${err}`));
    }, timeoutMs);
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code: code ?? (signal === null ? -1 : 128), out, err });
    });
    onStart?.(child.pid ?? 0);
  });
}

/** Runs hotspan in a mount namespace of its own, in which these shell commands were run before. */
export function afterMounts(commands: string): readonly string[] {
  return ['unshare', '-m', 'sh', '-c', `${commands} && exec "$@"`, 'sh'];
}

/** Programs and maps that a process holds open, as "prog 17" and "map 4". */
export function bpfIdsOf(pid: number): string[] {
  const ids = new Set<string>();
  for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
    try {
      const [, kind, id] = /^(prog|map)_id:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')) ?? [];
      if (kind !== undefined && id !== undefined) ids.add(`${kind} ${id}`);
    } catch {
      // ENOENT: the descriptor was closed since the folder was listed.
    }
  }
  return [...ids];
}

/** Ends the agent by SIGTERM, and sees that nothing of it stays in the kernel. Resolves with the exit code. */
export async function stopClean(agent: TestAgent): Promise<number> {
  const held = bpfIdsOf(agent.pid);
  const code = await agent.stop();
  await eventually('the kernel has freed what the agent had loaded', 5000, async () => {
    const { programs, maps } = bpfObjects();
    const there = new Set([
      ...programs.map(entry => `prog ${entry.split(' ')[0]}`),
      ...maps.map(entry => `map ${entry.split(' ')[0]}`),
    ]);
    return held.some(id => there.has(id)) ? undefined : true;
  });
  return code;
}

/** Lines of the log as objects. */
export function logLines(agent: TestAgent): { level: string; text: string }[] {
  const lines = agent.log().split('\n');
  return lines
    .filter(line => line.startsWith('{') && line.endsWith('}'))
    .map(line => JSON.parse(line) as { level: string; text: string });
}

/** Waits for a line of the log that matches, and gives its text. Fails with all of the log. */
export async function logged(agent: TestAgent, pattern: RegExp, waitMs = 10_000): Promise<string> {
  const what = `a line of the log like ${pattern}`;
  return eventually(what, waitMs, async () => logLines(agent).find(({ text }) => pattern.test(text))?.text).catch(cause => {
    throw new Error(`${what} is missing in: ${agent.log()}`, { cause });
  });
}

/** Resident memory of a process in bytes. */
export function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
}

/**
 * Asks a JVM to do something by HotSpot's attach protocol, as jcmd does: a file .attach_pidN in the JVM's directory and SIGQUIT make
 * it open the socket /tmp/.java_pidN, which takes one request a connection. This writes into another process's world, so nothing
 * uses it unless it was asked for. Protocol: src/hotspot/os/posix/attachListener_posix.cpp of OpenJDK.
 */

import { lstat, open, readFile, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** The JVM looks for the file when the signal comes; 5 s are jcmd's patience, too. */
const openPatienceMs = 5000;
const answerPatienceMs = 10_000;
const maxAnswerBytes = 65_536;

/** Signals from 1 are bits from 0: SIGQUIT is 3. */
const sigquitBit = 1n << 2n;

interface Jvm {
  readonly pid: number;
  /** Its pid in its own namespace, by which it names its files. */
  readonly innerPid: number;
  readonly uid: number;
  readonly isSigquitCaught: boolean;
}

/** Start of a process in ticks after boot: with the pid it names the process for good. */
export async function startTicks(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1');
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

async function readJvm(pid: number): Promise<Jvm> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1');
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '';
  const innerPid = Number(field('NSpid').split(/\s+/).at(-1) ?? pid);
  return {
    pid,
    innerPid,
    uid: Number(field('Uid').split(/\s+/)[1]),
    isSigquitCaught: (BigInt(`0x${field('SigCgt') || '0'}`) & sigquitBit) !== 0n,
  };
}

/** Has the JVM execute a jcmd command and gives its answer; throws with the reason where it cannot or will not. */
export async function askJvm(pid: number, command: string): Promise<string> {
  const ticks = await startTicks(pid);
  const jvm = await readJvm(pid);
  const socketPath = `/proc/${pid}/root/tmp/.java_pid${jvm.innerPid}`;
  if (!(await isSocketOf(jvm, socketPath))) await openSocket(jvm, ticks, socketPath);
  return converse(socketPath, ['1', 'jcmd', command, '', '']);
}

/** Anyone may write to /tmp: only a socket of the JVM's own user, or of root, is spoken to. */
async function isSocketOf(jvm: Jvm, path: string): Promise<boolean> {
  try {
    const found = await lstat(path);
    return found.isSocket() && (found.uid === jvm.uid || found.uid === 0);
  } catch {
    // ENOENT as a rule: nobody has attached yet.
    return false;
  }
}

/** Makes the JVM open its socket. A process that would die of SIGQUIT, or is no JVM, gets none. */
async function openSocket(jvm: Jvm, ticks: string, socketPath: string): Promise<void> {
  const { pid } = jvm;
  if (!jvm.isSigquitCaught || !(await readFile(`/proc/${pid}/maps`, 'latin1')).includes('/libjvm.so')) {
    throw new Error(`process ${pid} takes no attaching: it is no HotSpot JVM, or runs with -Xrs`);
  }
  // The directory that the link leads to is the JVM's own; a name below it can be no link, for it is made here.
  const trigger = `/proc/${pid}/cwd/.attach_pid${jvm.innerPid}`;
  await (await open(trigger, 'wx', 0o600)).close();
  try {
    // The kernel gives pids anew: without this look another process could get the signal.
    if ((await startTicks(pid)) !== ticks) throw new Error(`process ${pid} is gone`);
    process.kill(pid, 'SIGQUIT');
    for (const deadline = Date.now() + openPatienceMs; Date.now() < deadline; await sleep(50)) {
      if (await isSocketOf(jvm, socketPath)) return;
    }
    throw new Error(`the JVM ${pid} does not open its socket for attaching`);
  } finally {
    await unlink(trigger).catch(() => {
      // The JVM's directory is gone; so is the file.
    });
  }
}

/** Sends one request and reads the answer: a line with the result code, 0 for success, then text. */
function converse(path: string, words: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let answer = '';
    const fail = (error: Error) => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(answerPatienceMs, () => fail(new Error('the JVM does not answer')));
    socket.setEncoding('utf8');
    socket.on('error', fail);
    socket.on('connect', () => socket.write(words.map(word => `${word}\0`).join('')));
    socket.on('data', (text: string) => {
      answer += text;
      if (answer.length > maxAnswerBytes) fail(new Error('the JVM says too much'));
    });
    socket.on('end', () => {
      const [code = '', ...lines] = answer.split('\n');
      if (code.trim() === '0') resolve(lines.join('\n').trim());
      else reject(new Error(lines.join(' ').trim() || `the JVM answers with code ${code.trim() || 'none'}`));
      socket.end();
    });
  });
}

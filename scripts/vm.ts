// `npm run vm -- KERNEL COMMAND...`: runs a command inside a VM with another kernel, on the machine's own tree.

import { PassThrough, type Writable } from 'node:stream';
import { ensureKernel, KERNEL_NAMES, type KernelName, vmCacheDir } from './vm/kernels.ts';
import { runInVm } from './vm/machine.ts';

const USAGE = `Usage: npm run vm -- [--timeout SECONDS] KERNEL COMMAND...

KERNEL is ${KERNEL_NAMES.join(', ')}, or all (each in turn, two at a time). The command runs as root in this folder; one
argument with spaces is a shell line. It sees this machine's files through an overlay, so whatever it changes is gone with
the VM, except under $HOTSPAN_VM_RESULTS. Its exit code becomes this command's. Kernels are kept in ${vmCacheDir()}.

  npm run vm -- 6.1 uname -r
  npm run vm -- all 'cd /tmp && node -p process.version'
  npm run vm -- all fetch          fetch the kernels and run nothing
`;

const DEFAULT_TIMEOUT_S = 600;

interface VmCommand {
  readonly kernels: readonly KernelName[];
  readonly command: readonly string[];
  readonly timeoutMs: number;
}

/** Reads the arguments; a string is a complaint of one sentence. */
function parse(args: string[]): VmCommand | string {
  let timeoutS = DEFAULT_TIMEOUT_S;
  if (args[0] === '--timeout') {
    timeoutS = Number(args[1]);
    if (!(timeoutS > 0)) return `--timeout asks for a number of seconds, not "${args[1]}"`;
    args = args.slice(2);
  }
  const [kernel, ...command] = args;
  if (kernel === undefined || command.length === 0) return 'a kernel and a command are asked for';
  const kernels = kernel === 'all' ? KERNEL_NAMES : KERNEL_NAMES.filter(name => name === kernel);
  if (kernels.length === 0) return `no kernel ${kernel} in the matrix; there are ${KERNEL_NAMES.join(', ')} and all`;
  const [first = ''] = command;
  const isShellLine = command.length === 1 && /\s/.test(first);
  return { kernels, command: isShellLine ? ['sh', '-c', first] : command, timeoutMs: timeoutS * 1000 };
}

/** Puts the kernel's name in front of each line, for output that comes from two VMs at once. */
function labelled(kernel: KernelName, target: Writable): Writable {
  const stream = new PassThrough({ encoding: 'utf8' });
  let rest = '';
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) target.write(`${kernel.padEnd(4)} | ${line}\n`);
  });
  stream.on('end', () => rest && target.write(`${kernel.padEnd(4)} | ${rest}\n`));
  return stream;
}

async function runOne(kernel: KernelName, task: VmCommand): Promise<number> {
  const isAlone = task.kernels.length === 1;
  const stdout = isAlone ? process.stdout : labelled(kernel, process.stdout);
  const stderr = isAlone ? process.stderr : labelled(kernel, process.stderr);
  try {
    return await runInVm({ kernel, command: task.command, cwd: process.cwd(), timeoutMs: task.timeoutMs, stdout, stderr });
  } catch (error) {
    stderr.write(`${error instanceof Error ? error.message : error}\n`);
    return 1;
  } finally {
    if (!isAlone) for (const stream of [stdout, stderr]) stream.end();
  }
}

function fetchOnly(kernels: readonly KernelName[]): void {
  try {
    for (const kernel of kernels) console.log(`kernel ${kernel}: ${ensureKernel(kernel, console.error).packageName}`);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}

/** Two at a time: more VMs than that only slow each other down on two cores. */
async function runAll(task: VmCommand): Promise<number> {
  const waiting = [...task.kernels];
  const codes: number[] = [];
  const lane = async () => {
    for (let kernel = waiting.shift(); kernel !== undefined; kernel = waiting.shift()) codes.push(await runOne(kernel, task));
  };
  await Promise.all([lane(), lane()]);
  return codes.find(code => code !== 0) ?? 0;
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.on(signal, () => process.exit(code));

const task = parse(process.argv.slice(2));
if (typeof task === 'string') {
  process.stderr.write(`vm: ${task}\n\n${USAGE}`);
  process.exitCode = 2;
} else if (task.command.join(' ') === 'fetch') {
  fetchOnly(task.kernels);
} else {
  process.exitCode = await runAll(task);
}

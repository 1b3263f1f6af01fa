// Runs one command inside a test VM: makes the initramfs, starts QEMU on the machine's own tree, carries the output, and
// gives back the command's exit code.

import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Writable } from 'node:stream';
import { compileCacheDir } from '../lib/bpf.ts';
import { packInitramfs } from './initramfs.ts';
import { ensureKernel, type KernelName } from './kernels.ts';

export interface VmRun {
  readonly kernel: KernelName;
  /** The command and its arguments, run in `cwd` as root. */
  readonly command: readonly string[];
  readonly cwd: string;
  readonly timeoutMs: number;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** A folder of the machine that the guest sees, writable, at HOTSPAN_VM_RESULTS. A temporary one is used when it is left out. */
  readonly resultsDir?: string;
}

/** Exit code that timeout(1) gives, taken over for a VM that was stopped at its limit. */
const TIMED_OUT = 124;

const HERE = import.meta.dirname;
const PROJECT = dirname(dirname(HERE));
const BUSYBOX = '/bin/busybox';

/** Where guest-init.sh mounts the writable share. */
const GUEST_RESULTS = '/run/hotspan-vm';

/** What is running now, so that an interrupted script leaves no VM behind. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Resolves with the command's exit code. Rejects with an Error of one sentence when the VM could not run it; never leaves a VM behind. */
export async function runInVm(options: VmRun): Promise<number> {
  const kernel = ensureKernel(options.kernel, line => options.stderr.write(`${line}\n`));
  const share = options.resultsDir ?? mkdtempSync(join(tmpdir(), 'hotspan-vm-'));
  const scratch = mkdtempSync(join(tmpdir(), 'hotspan-vm-boot-'));
  try {
    mkdirSync(share, { recursive: true });
    rmSync(join(share, 'exit-code'), { force: true });
    writeFileSync(join(share, 'guest-main.sh'), readFileSync(join(HERE, 'guest-main.sh')));
    writeFileSync(join(share, 'command.sh'), commandScript(options));
    const initramfs = join(scratch, 'initramfs.cpio');
    writeFileSync(initramfs, initramfsFor(kernel.modulePaths));
    const consoleLog = join(scratch, 'console.log');
    const ending = await runQemu(qemuArguments({ image: kernel.imagePath, initramfs, share, consoleLog }), options);
    keepCompiledCode(share);
    if (ending === 'timeout') {
      options.stderr.write(
        `kernel ${options.kernel}: stopped after ${options.timeoutMs / 1000} s; give it more with --timeout\n`,
      );
      return TIMED_OUT;
    }
    if (existsSync(join(share, 'exit-code'))) return Number(readFileSync(join(share, 'exit-code'), 'utf8'));
    throw new Error(
      `kernel ${options.kernel}: the VM ended before its command did (${ending}); its console said: ${lastLines(consoleLog)}`,
    );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
    if (options.resultsDir === undefined) rmSync(share, { recursive: true, force: true });
  }
}

/** Takes over what the guest's Node compiled: an emulated CPU is another one than the machine's, so only the next guest can use it. */
function keepCompiledCode(share: string): void {
  const compiled = join(share, 'compile-cache');
  if (!existsSync(compiled)) return;
  cpSync(compiled, compileCacheDir, { recursive: true });
  rmSync(compiled, { recursive: true });
}

function initramfsFor(modulePaths: readonly string[]): Buffer {
  if (!existsSync(BUSYBOX))
    throw new Error(`${BUSYBOX} is missing; run \`npm run setup -- test\`, which installs busybox-static`);
  const modules = modulePaths.map(path => ({ path: `modules/${path.split('/').at(-1)}`, bytes: readFileSync(path) }));
  return packInitramfs([
    { path: 'bin/busybox', bytes: readFileSync(BUSYBOX), executable: true },
    { path: 'init', bytes: readFileSync(join(HERE, 'guest-init.sh')), executable: true },
    ...modules,
  ]);
}

/** The shell script that the guest runs: the caller's folder and the part of its environment that a command may depend on. */
function commandScript(options: VmRun): string {
  const environment: Record<string, string> = {
    PATH: [join(PROJECT, 'node_modules', '.bin'), process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin'].join(':'),
    HOME: process.env.HOME ?? '/root',
    HOTSPAN_VM: options.kernel,
    HOTSPAN_VM_RESULTS: GUEST_RESULTS,
    // Emulated, the types of all that a test imports are stripped in 8 s, and read back from here in one.
    NODE_COMPILE_CACHE: compileCacheDir,
  };
  const passed = /^(CI|LANG|TERM|NO_COLOR|FORCE_COLOR|GO\w+|NODE_OPTIONS|HOTSPAN_\w+|OTEL_\w+)$/;
  for (const [key, value] of Object.entries(process.env)) {
    if (value !== undefined && passed.test(key) && environment[key] === undefined) environment[key] = value;
  }
  const exports = Object.entries(environment).map(([key, value]) => `export ${key}=${quote(value)}\n`);
  // The overlay ends with the machine, so what Node compiled since is carried out of it.
  const keep = `mkdir -p compile-cache && cd ${quote(compileCacheDir)} 2>/dev/null &&
  find . -type f -newer ${GUEST_RESULTS}/command.sh -exec cp --parents -t ${GUEST_RESULTS}/compile-cache {} +`;
  const command = options.command.map(quote).join(' ');
  return `${exports.join('')}cd ${quote(options.cwd)} || exit 1\n${command}\ncode=$?\ncd ${GUEST_RESULTS}\n${keep}\nexit $code\n`;
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

interface QemuFiles {
  readonly image: string;
  readonly initramfs: string;
  readonly share: string;
  readonly consoleLog: string;
}

/**
 * TCG on purpose: nested KVM opens on some cloud machines and then hangs. Both CPUs in one thread: with a thread each, QEMU 7.2 now
 * and then runs the stale translation of an instruction that a uprobe's slot held before (two CPUs write and run the same page), and
 * the probed program dies of it. Two VMs at a time use two cores all the same. Descriptors 3 and 4 carry the guest's stdout and stderr.
 */
function qemuArguments(files: QemuFiles): string[] {
  const folder = (id: string, path: string, tag: string, readonly: boolean): string[] => [
    '-fsdev',
    `local,id=${id},path=${path},security_model=none,multidevs=remap${readonly ? ',readonly=on' : ''}`,
    '-device',
    `virtio-9p-pci,fsdev=${id},mount_tag=${tag}`,
  ];
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-machine', 'q35', '-accel', 'tcg,thread=single', '-cpu', 'max,la57=off', '-smp', '2', '-m', '2048'],
    ...['-kernel', files.image, '-initrd', files.initramfs],
    // panic=-1 reboots at once, which -no-reboot turns into an end of QEMU.
    ...['-append', 'console=ttyS0 quiet panic=-1 mitigations=off'],
    ...['-chardev', `file,id=console,path=${files.consoleLog}`, '-serial', 'chardev:console'],
    ...folder('root', '/', 'hostroot', true),
    ...folder('share', files.share, 'results', false),
    ...['-device', 'virtio-serial-pci'],
    ...['-chardev', 'socket,id=stdout,fd=3', '-device', 'virtserialport,chardev=stdout,name=stdout'],
    ...['-chardev', 'socket,id=stderr,fd=4', '-device', 'virtserialport,chardev=stderr,name=stderr'],
  ];
}

/** Resolves when QEMU has ended and all output is written: 'timeout', or how it ended. */
function runQemu(args: readonly string[], options: VmRun): Promise<string> {
  return new Promise((resolve, reject) => {
    // setpriv: the VM dies with this process, also when that is killed without a chance to clean up.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...args], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    });
    running.add(child);
    let isTimedOut = false;
    const timer = setTimeout(() => {
      isTimedOut = true;
      child.kill('SIGKILL');
    }, options.timeoutMs);
    let complaint = '';
    child.stderr?.setEncoding('utf8').on('data', text => {
      complaint = (complaint + text).slice(-2000);
    });
    child.stdio[3]?.on('data', bytes => options.stdout.write(bytes));
    child.stdio[4]?.on('data', bytes => options.stderr.write(bytes));
    child.on('error', cause =>
      reject(new Error(`cannot start QEMU: ${cause.message}; run \`npm run setup -- test\``, { cause })),
    );
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      resolve(isTimedOut ? 'timeout' : complaint.trim() || `QEMU ended with ${signal ?? code}`);
    });
  });
}

function lastLines(path: string): string {
  if (!existsSync(path)) return '(nothing)';
  return readFileSync(path, 'utf8').trim().split('\n').slice(-5).join(' | ') || '(nothing)';
}

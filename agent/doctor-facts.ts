/** Reads from this host what the doctor judges. Nothing here needs root; what cannot be read is undefined. */

import { accessSync, constants, existsSync, readFileSync, readlinkSync, statfsSync } from 'node:fs';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { ProbeResult } from './doctor-worker.ts';
import { type CapabilityName, effectiveCapabilities } from './lib/capabilities.ts';
import { objectDir, uiDir } from './paths.ts';
import { kits } from './sources/index.ts';

export interface HostFacts {
  /** "6.1.0-18-amd64" */
  readonly kernel: string;
  readonly architecture: string;
  readonly node: { readonly version: string; readonly napi: number };
  readonly isRoot: boolean;
  readonly capabilities: ReadonlySet<CapabilityName>;
  readonly hasBtf: boolean;
  /** "none", "integrity", "confidentiality"; undefined where securityfs is not mounted. */
  readonly lockdown: string | undefined;
  readonly kptrRestrict: number | undefined;
  readonly perfEventParanoid: number | undefined;
  readonly unprivilegedBpfDisabled: number | undefined;
  readonly maxSampleRateHz: number | undefined;
  readonly hasTracefs: boolean;
  /** 1 also where version 2 is mounted beside it without controllers. */
  readonly cgroupVersion: 1 | 2 | undefined;
  /** Infinity for unlimited. */
  readonly memlockBytes: number | undefined;
  readonly isHostPidNamespace: boolean | undefined;
  readonly dataDir: { readonly path: string; readonly freeBytes: number | undefined; readonly isWritable: boolean };
  /** Names of sources whose object file has not been built. */
  readonly missingObjects: readonly string[];
  readonly isUiBuilt: boolean;
  readonly probe: ProbeResult;
}

export async function readHostFacts(dataDir: string): Promise<HostFacts> {
  const limits = readText('/proc/self/limits');
  return {
    kernel: release(),
    architecture: process.arch,
    node: { version: process.version, napi: Number(process.versions.napi) },
    isRoot: process.geteuid?.() === 0,
    capabilities: effectiveCapabilities(),
    hasBtf: existsSync('/sys/kernel/btf/vmlinux'),
    lockdown: /\[(\w+)\]/.exec(readText('/sys/kernel/security/lockdown') ?? '')?.[1],
    kptrRestrict: readNumber('/proc/sys/kernel/kptr_restrict'),
    perfEventParanoid: readNumber('/proc/sys/kernel/perf_event_paranoid'),
    unprivilegedBpfDisabled: readNumber('/proc/sys/kernel/unprivileged_bpf_disabled'),
    maxSampleRateHz: readNumber('/proc/sys/kernel/perf_event_max_sample_rate'),
    hasTracefs: existsSync('/sys/kernel/tracing/events') || existsSync('/sys/kernel/debug/tracing/events'),
    cgroupVersion: cgroupVersion(),
    memlockBytes: limits === undefined ? undefined : parseMemlock(limits),
    isHostPidNamespace: isHostPidNamespace(),
    dataDir: dataDirFacts(dataDir),
    missingObjects: Object.keys(kits).filter(name => !existsSync(join(objectDir, `${name}.bpf.o`))),
    isUiBuilt: existsSync(join(uiDir, 'index.html')),
    probe: await probeKernel(),
  };
}

/** undefined where there is no such file or it may not be read: the doctor says then that it does not know. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return undefined;
  }
}

function readNumber(path: string): number | undefined {
  const text = readText(path)?.trim();
  return text === undefined || !/^-?\d+$/.test(text) ? undefined : Number(text);
}

/** The soft limit of "Max locked memory" in /proc/PID/limits. */
export function parseMemlock(limits: string): number | undefined {
  const soft = /^Max locked memory\s+(\S+)/m.exec(limits)?.[1];
  return soft === undefined ? undefined : soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}

function cgroupVersion(): 1 | 2 | undefined {
  if (existsSync('/sys/fs/cgroup/cgroup.controllers')) return 2;
  return existsSync('/sys/fs/cgroup') ? 1 : undefined;
}

/** PROC_PID_INIT_INO of include/linux/proc_ns.h: the inode of the pid namespace that the kernel starts with. */
const hostPidNamespace = 'pid:[4026531836]';

function isHostPidNamespace(): boolean | undefined {
  try {
    return readlinkSync('/proc/self/ns/pid') === hostPidNamespace;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return undefined;
  }
}

/** Of the folder, or of the nearest one above it that is there: that is where it would be made. */
function dataDirFacts(path: string): HostFacts['dataDir'] {
  let folder = path;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  return { path, freeBytes: freeBytes(folder), isWritable: isWritable(folder) };
}

function freeBytes(folder: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return undefined;
  }
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return false;
  }
}

/** 10 s: ten times what the slowest kernel under emulation took. */
const probeTimeoutMs = 10_000;

function probeKernel(): Promise<ProbeResult> {
  return new Promise(resolve => {
    const worker = new Worker(new URL('./doctor-worker.ts', import.meta.url), { name: 'hotspan-doctor' });
    const timer = setTimeout(
      () => settle({ error: `the kernel was probed for ${probeTimeoutMs / 1000} s without an end` }),
      probeTimeoutMs,
    );
    const settle = (result: ProbeResult) => {
      clearTimeout(timer);
      void worker.terminate();
      resolve(result);
    };
    worker.on('message', (result: ProbeResult) => settle(result));
    worker.on('error', error => settle({ error: error instanceof Error ? error.message : String(error) }));
    worker.on('exit', code => settle({ error: `probing the kernel ended with code ${code}` }));
  });
}

/** Processes that are there already, from /proc: pure parsers of its files, and the walk that reads them. */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

export interface ProcessStat {
  readonly pid: number;
  readonly comm: string;
  /** One letter of proc(5): R, S, D, Z, ... */
  readonly state: string;
  readonly parentPid: number;
  readonly threads: number;
  /** Since boot, time suspended included. */
  readonly startTicks: number;
}

/** A process as /proc shows it. */
export interface ScannedProcess {
  readonly pid: number;
  readonly parentPid: number;
  readonly comm: string;
  /** ktime; exact to a tick of 10 ms. */
  readonly startNs: number;
  /** ktime just after it was read: what started later under this pid is another process. */
  readonly seenNs: number;
  /** '' for kernel threads. */
  readonly executable: string;
  readonly commandLine: string;
  readonly cgroupPath: string;
}

/** USER_HZ, in which /proc counts time: 100 on every architecture that we run on. */
const tickNs = 1e7;

/** /proc/PID/stat. undefined where the text is not one: the comm in parentheses may itself hold any character. */
export function parseStat(text: string): ProcessStat | undefined {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) return undefined;
  // proc(5) counts fields from 1; the state, field 3, is the first after the comm.
  const fields = text.slice(close + 2).split(' ');
  const [state = ''] = fields;
  const stat = {
    pid: Number(text.slice(0, open)),
    comm: text.slice(open + 1, close),
    state,
    parentPid: Number(fields[1]),
    threads: Number(fields[17]),
    startTicks: Number(fields[19]),
  };
  const isWhole = [stat.pid, stat.parentPid, stat.threads, stat.startTicks].every(Number.isInteger);
  return isWhole && /^[A-Za-z]$/.test(state) ? stat : undefined;
}

/** /proc/PID/cmdline, or the text of an image event: words that end in a NUL each. Control characters would break lists. */
export function parseCommandLine(text: string): string {
  return text.replace(/\0+$/, '').replaceAll(/[\0\n\r\t]/g, ' ');
}

/**
 * /proc/PID/cgroup: the unified hierarchy's path, or the memory controller's where all processes are in the root of the former
 * (hosts with version 1). The same choice as cgroup_node() in bpf/lib/path.h makes.
 */
export function parseCgroup(text: string): string {
  let unified = '';
  let memory = '';
  for (const line of text.split('\n')) {
    const [id, controllers, ...path] = line.split(':');
    if (id === '0' && controllers === '') unified = path.join(':');
    else if (controllers?.split(',').includes('memory')) memory = path.join(':');
  }
  return unified === '' || unified === '/' ? memory || unified : unified;
}

/** CLOCK_BOOTTIME minus CLOCK_MONOTONIC: the time suspended, in nanoseconds. /proc/uptime counts hundredths, so less than two is none. */
export function suspendedNs(uptimeText: string, monotonicNs: number): number {
  const difference = Number(uptimeText.split(' ')[0]) * 1e9 - monotonicNs;
  return Math.abs(difference) < 2 * tickNs ? 0 : difference;
}

/** All processes of `procDir`; those that end meanwhile are left out, because their exit is told by the kernel. */
export function scanProcesses(procDir: string): ScannedProcess[] {
  const suspended = suspendedNs(readFileSync(join(procDir, 'uptime'), 'latin1'), monotonicNs());
  const pids = readdirSync(procDir).filter(name => /^\d+$/.test(name));
  return pids.flatMap(pid => scanProcess(join(procDir, pid), suspended) ?? []);
}

function scanProcess(folder: string, suspended: number): ScannedProcess | undefined {
  try {
    const stat = parseStat(readFileSync(join(folder, 'stat'), 'latin1'));
    // A zombie has ended, unless only its first thread has.
    if (stat === undefined || ((stat.state === 'Z' || stat.state === 'X') && stat.threads <= 1)) return undefined;
    return {
      pid: stat.pid,
      parentPid: stat.parentPid,
      comm: stat.comm,
      startNs: Math.max(0, stat.startTicks * tickNs - suspended),
      executable: readExecutable(folder),
      commandLine: parseCommandLine(readFileSync(join(folder, 'cmdline'), 'utf8')),
      cgroupPath: parseCgroup(readFileSync(join(folder, 'cgroup'), 'utf8')),
      seenNs: monotonicNs(),
    };
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** The link's text comes from the kernel; the file itself is not touched. */
function readExecutable(folder: string): string {
  try {
    return readlinkSync(join(folder, 'exe'));
  } catch (error) {
    // ENOENT: a kernel thread, or a process that has just ended.
    if (isGone(error)) return '';
    throw error;
  }
}

function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES';
}

/** CLOCK_MONOTONIC, the clock of ktime. */
function monotonicNs(): number {
  return Number(process.hrtime.bigint());
}

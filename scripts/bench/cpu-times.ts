/** What a process and the whole host have used of the CPUs. */

import { readFileSync } from 'node:fs';

/** USER_HZ: the unit of /proc/PID/stat on every Linux. */
const tickMs = 10;

export function cpuTimes(pid: number): { timeMs: number; agentMs: number; hostMs: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // Fields 14 and 15 of proc(5).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const host = /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'latin1'))?.[1]?.split(' ').map(Number) ?? [];
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = host;
  return {
    timeMs: performance.now(),
    agentMs: (Number(fields[11]) + Number(fields[12])) * tickMs,
    hostMs: (user + nice + system + irq + softirq) * tickMs,
  };
}

/** Processes and threads that were started since boot. */
export function forksSinceBoot(): number {
  return Number(/^processes (\d+)$/m.exec(readFileSync('/proc/stat', 'latin1'))?.[1] ?? 0);
}

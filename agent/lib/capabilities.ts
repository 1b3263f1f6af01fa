/** Linux capabilities of this process. */

import { readFileSync } from 'node:fs';

/** Numbers of include/uapi/linux/capability.h, those that hotspan has a use for. */
export const capabilityNumbers = {
  CAP_SYS_PTRACE: 19,
  CAP_SYS_ADMIN: 21,
  CAP_SYS_RESOURCE: 24,
  CAP_SYSLOG: 34,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
} as const;

export type CapabilityName = keyof typeof capabilityNumbers;

/** Effective capabilities of this process, from CapEff of /proc/self/status. */
export function effectiveCapabilities(): ReadonlySet<CapabilityName> {
  return parseCapabilities(readFileSync('/proc/self/status', 'utf8'));
}

export function parseCapabilities(status: string): ReadonlySet<CapabilityName> {
  const bits = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const names = Object.entries(capabilityNumbers) as [CapabilityName, number][];
  return new Set(names.filter(([, number]) => (bits >> BigInt(number)) & 1n).map(([name]) => name));
}

/** What is missing to load and attach eBPF programs and to read other processes; CAP_SYS_ADMIN stands in for BPF and PERFMON. */
export function missingCapabilities(present: ReadonlySet<CapabilityName>): readonly CapabilityName[] {
  const isAdmin = present.has('CAP_SYS_ADMIN');
  const needed: readonly CapabilityName[] = isAdmin ? ['CAP_SYS_PTRACE'] : ['CAP_BPF', 'CAP_PERFMON', 'CAP_SYS_PTRACE'];
  return needed.filter(name => !present.has(name));
}

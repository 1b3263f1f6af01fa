/** The doctor: what works on this host, what does not, why, and what to do about it. */

import { type HostFacts, readHostFacts } from './doctor-facts.ts';
import { btfSubject, featureFindings, hookReports } from './doctor-features.ts';
import { missingCapabilities } from './lib/capabilities.ts';
import { formatSize } from './lib/units.ts';
import type { DoctorFinding, DoctorReport } from './server/api.ts';

export interface DoctorOptions {
  readonly dataDir: string;
}

export async function makeDoctorReport({ dataDir }: DoctorOptions): Promise<DoctorReport> {
  return diagnose(await readHostFacts(dataDir));
}

/** The report of given facts; pure. */
export function diagnose(facts: HostFacts): DoctorReport {
  const { probe } = facts;
  return {
    kernel: facts.kernel,
    findings: [
      ...kernelFindings(facts),
      ...privilegeFindings(facts),
      ...settingFindings(facts),
      ...('features' in probe
        ? // A kernel without BTF is told once, above.
          featureFindings(probe.features).filter(({ subject }) => facts.hasBtf || subject !== btfSubject)
        : [probeFailure(facts, probe.error)]),
      ...placeFindings(facts),
    ],
    sources: 'features' in probe ? hookReports(probe.features) : [],
  };
}

type Level = DoctorFinding['level'];

function finding(subject: string, level: Level, message: string, remedy = ''): DoctorFinding {
  return { subject, level, message, remedy };
}

/** Without rights every probe is refused: that is one matter, and not fifteen. */
function probeFailure({ isRoot }: HostFacts, error: string): DoctorFinding {
  return finding(
    'kernel probes',
    'error',
    `what this kernel can do was not found out: ${error}`,
    isRoot ? 'run "npm run build"' : 'run "sudo hotspan doctor"',
  );
}

/** The oldest kernel that hotspan is tested on. */
const floor = [5, 10] as const;

function kernelFindings({ kernel, architecture, hasBtf, node, isHostPidNamespace }: HostFacts): DoctorFinding[] {
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  const isOld = major < floor[0] || (major === floor[0] && minor < floor[1]);
  const findings = [
    isOld
      ? finding(
          'kernel',
          'error',
          `kernel ${kernel} is older than ${floor.join('.')}`,
          'update the kernel; Debian 11 and later have one that is new enough',
        )
      : finding('kernel', 'ok', `kernel ${kernel}`),
    hasBtf
      ? finding('BTF', 'ok', 'the kernel describes its types')
      : finding(
          'BTF',
          'error',
          'the kernel has no BTF, by which programs find its fields: nothing can be watched',
          'use a kernel built with CONFIG_DEBUG_INFO_BTF, as all major distributions have',
        ),
    node.napi >= 10
      ? finding('Node', 'ok', `Node ${node.version}`)
      : finding(
          'Node',
          'error',
          `Node ${node.version} is too old`,
          'use 22.18 or newer; scripts/hotspan takes the one that the project pins',
        ),
  ];
  if (architecture !== 'x64')
    findings.push(finding('architecture', 'warning', `${architecture} is not tested yet`, 'use x86-64'));
  if (isHostPidNamespace === false) {
    findings.push(
      finding(
        'pid namespace',
        'warning',
        'hotspan runs in a pid namespace of its own: most processes of the host cannot be named',
        'start the container with --pid host',
      ),
    );
  }
  return findings;
}

function privilegeFindings({ isRoot, capabilities, kernel, memlockBytes }: HostFacts): DoctorFinding[] {
  const missing = missingCapabilities(capabilities);
  const names = missing.join(', ');
  const remedy = isRoot
    ? `start the container with ${missing.map(name => `--cap-add ${name.slice(4)}`).join(' ')}`
    : 'run it with sudo';
  const findings = [
    missing.length === 0
      ? finding('capabilities', 'ok', 'programs may be loaded and processes read')
      : finding(
          'capabilities',
          'error',
          `${names} ${missing.length === 1 ? 'is' : 'are'} missing, without which nothing can be observed`,
          remedy,
        ),
  ];
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  // 5.11 counts BPF memory by cgroup; before, it counts against RLIMIT_MEMLOCK, which root's CAP_SYS_RESOURCE lets hotspan raise.
  const isCounted = major < 5 || (major === 5 && minor < 11);
  const needed = 64 * 2 ** 20;
  if (isCounted && (memlockBytes ?? 0) < needed && !capabilities.has('CAP_SYS_RESOURCE')) {
    findings.push(
      finding(
        'locked memory',
        'error',
        `only ${formatSize(memlockBytes ?? 0)} may be locked, and maps need more on this kernel`,
        'run with "ulimit -l unlimited"',
      ),
    );
  }
  return findings;
}

function settingFindings(facts: HostFacts): DoctorFinding[] {
  const { lockdown, kptrRestrict, capabilities, perfEventParanoid, maxSampleRateHz, unprivilegedBpfDisabled } = facts;
  const findings: DoctorFinding[] = [];
  if (lockdown === 'confidentiality') {
    findings.push(
      finding(
        'lockdown',
        'error',
        'lockdown is "confidentiality": programs may not read kernel memory',
        'boot with lockdown=integrity or without it',
      ),
    );
  } else {
    findings.push(
      finding(
        'lockdown',
        'ok',
        lockdown === undefined ? 'lockdown is off, or cannot be read' : `lockdown is "${lockdown}", which hinders nothing`,
      ),
    );
  }
  const hidesSymbols = kptrRestrict === 2 || (kptrRestrict === 1 && !capabilities.has('CAP_SYSLOG') && !facts.isRoot);
  findings.push(
    hidesSymbols
      ? finding(
          'kernel symbols',
          'warning',
          `kptr_restrict is ${kptrRestrict}: kernel functions have no names`,
          'sysctl -w kernel.kptr_restrict=1',
        )
      : finding('kernel symbols', 'ok', 'kernel functions can be named'),
  );
  if (perfEventParanoid !== undefined && perfEventParanoid > 2 && missingCapabilities(capabilities).length > 0) {
    findings.push(
      finding('perf events', 'warning', `perf_event_paranoid is ${perfEventParanoid}: only root may sample`, 'run it with sudo'),
    );
  }
  // The kernel lowers the limit by itself when sampling once took too long, and never raises it again.
  if (maxSampleRateHz !== undefined && maxSampleRateHz < 1000) {
    findings.push(
      finding(
        'sample rate',
        'warning',
        `the kernel allows at most ${maxSampleRateHz} samples a second on each CPU`,
        'sysctl -w kernel.perf_event_max_sample_rate=100000',
      ),
    );
  }
  if (unprivilegedBpfDisabled === 0) {
    findings.push(
      finding(
        'unprivileged BPF',
        'info',
        'every user may load programs; hotspan does not need that',
        'sysctl -w kernel.unprivileged_bpf_disabled=1 closes it',
      ),
    );
  }
  return findings;
}

/** Below this the store cannot hold a busy host's hour. */
const littleFreeBytes = 2 * 2 ** 30;
const tooLittleFreeBytes = 100 * 2 ** 20;

function placeFindings({ hasTracefs, cgroupVersion, dataDir, missingObjects, isUiBuilt }: HostFacts): DoctorFinding[] {
  const findings = [
    finding(
      'tracefs',
      'ok',
      hasTracefs ? 'tracefs is mounted' : 'tracefs is not mounted; hotspan uses a private one that nobody else sees',
    ),
    cgroupVersion === 2
      ? finding('control groups', 'ok', 'version 2')
      : finding(
          'control groups',
          'info',
          'version 1: containers are told from /proc instead of by the control group of an event',
        ),
  ];
  const { path, freeBytes, isWritable } = dataDir;
  const free = freeBytes === undefined ? 'unknown' : formatSize(freeBytes);
  if (!isWritable)
    findings.push(
      finding(
        'data directory',
        'error',
        `${path} cannot be written by this user`,
        'run it with sudo, or choose another with --data-dir',
      ),
    );
  else if (freeBytes !== undefined && freeBytes < littleFreeBytes) {
    const level = freeBytes < tooLittleFreeBytes ? 'error' : 'warning';
    findings.push(
      finding(
        'data directory',
        level,
        `only ${free} are free for ${path}`,
        'free some space, lower --retention-bytes, or choose another with --data-dir',
      ),
    );
  } else findings.push(finding('data directory', 'ok', `${path}: ${free} free`));
  if (missingObjects.length > 0)
    findings.push(finding('programs', 'error', `not built: ${missingObjects.join(', ')}`, 'run "npm run build"'));
  if (!isUiBuilt) findings.push(finding('UI', 'warning', 'the UI is not built', 'run "npm run build"'));
  return findings;
}

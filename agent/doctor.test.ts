import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KernelFeatures } from './bpf/native.ts';
import { doctorText } from './cli/doctor.ts';
import { diagnose, makeDoctorReport } from './doctor.ts';
import { type HostFacts, parseMemlock } from './doctor-facts.ts';
import { capabilityNumbers, missingCapabilities, parseCapabilities } from './lib/capabilities.ts';

const available = { isAvailable: true, reason: '' };
const allFeatures: KernelFeatures = {
  release: '6.1.0',
  btf: available,
  kprobe: available,
  fentry: available,
  tracepoint: available,
  rawTracepoint: available,
  btfTracepoint: available,
  perfCpuClock: available,
  hardwareCycles: available,
  uprobe: available,
  bpfCookie: available,
  kprobeFuncIp: available,
  tracingFuncIp: available,
  bpfStats: available,
  batchMaps: available,
};

const goodHost: HostFacts = {
  kernel: '6.1.0-18-amd64',
  architecture: 'x64',
  node: { version: 'v24.9.0', napi: 10 },
  isRoot: true,
  capabilities: new Set(Object.keys(capabilityNumbers) as (keyof typeof capabilityNumbers)[]),
  hasBtf: true,
  lockdown: 'none',
  kptrRestrict: 0,
  perfEventParanoid: 2,
  unprivilegedBpfDisabled: 2,
  maxSampleRateHz: 100_000,
  hasTracefs: true,
  cgroupVersion: 2,
  memlockBytes: 8 << 20,
  isHostPidNamespace: true,
  dataDir: { path: '/var/lib/hotspan', freeBytes: 100 * 2 ** 30, isWritable: true },
  missingObjects: [],
  isUiBuilt: true,
  probe: { features: allFeatures },
};

/** Findings that are not all right, as "level subject: message -> remedy". */
function troubles(change: Partial<HostFacts>): string[] {
  return diagnose({ ...goodHost, ...change })
    .findings.filter(({ level }) => level !== 'ok')
    .map(({ level, subject, message, remedy }) => `${level} ${subject}: ${message}${remedy === '' ? '' : ` -> ${remedy}`}`);
}

function withoutFeatures(missing: Partial<KernelFeatures>): Partial<HostFacts> {
  return { probe: { features: { ...allFeatures, ...missing } } };
}

test('a good host has nothing to look at, and every hook takes its best way', () => {
  assert.deepEqual(troubles({}), []);
  const report = diagnose(goodHost);
  assert.match(doctorText(report), /hotspan works here\.\n$/);
  for (const { name, hooks } of report.sources) {
    assert.ok(hooks.length > 0, `${name} lists no hooks`);
    for (const hook of hooks) assert.equal(hook.reason, '', `${name} ${hook.observes}`);
  }
});

test('each trouble of a host is one finding with its remedy', () => {
  const cases: readonly [Partial<HostFacts>, RegExp][] = [
    [{ kernel: '4.19.0' }, /^error kernel: kernel 4\.19\.0 is older than 5\.10 -> update the kernel/],
    [{ kernel: '5.4.0' }, /^error kernel:/],
    [{ hasBtf: false }, /^error BTF: .* -> use a kernel built with CONFIG_DEBUG_INFO_BTF/],
    [{ node: { version: 'v20.1.0', napi: 9 } }, /^error Node: Node v20\.1\.0 is too old -> use 22\.18/],
    [{ architecture: 'arm64' }, /^warning architecture: arm64 is not tested/],
    [{ isHostPidNamespace: false }, /^warning pid namespace: .* -> start the container with --pid host$/],
    [{ lockdown: 'confidentiality' }, /^error lockdown: .* -> boot with/],
    [{ kptrRestrict: 2 }, /^warning kernel symbols: kptr_restrict is 2.* -> sysctl -w kernel\.kptr_restrict=1$/],
    [{ maxSampleRateHz: 50 }, /^warning sample rate: .* 50 samples a second .* -> sysctl/],
    [{ unprivilegedBpfDisabled: 0 }, /^info unprivileged BPF: /],
    [{ cgroupVersion: 1 }, /^info control groups: version 1/],
    [{ dataDir: { ...goodHost.dataDir, freeBytes: 2 ** 30 } }, /^warning data directory: only 1 GiB are free/],
    [{ dataDir: { ...goodHost.dataDir, freeBytes: 2 ** 20 } }, /^error data directory: only 1 MiB are free/],
    [{ dataDir: { ...goodHost.dataDir, isWritable: false } }, /^error data directory: \/var\/lib\/hotspan cannot be written/],
    [{ missingObjects: ['cpu'] }, /^error programs: not built: cpu -> run "npm run build"$/],
    [{ isUiBuilt: false }, /^warning UI: /],
    [{ probe: { error: 'no addon' } }, /^error kernel probes: .*no addon -> run "npm run build"$/],
  ];
  for (const [change, expected] of cases) {
    const found = troubles(change);
    assert.equal(found.length, 1, `${JSON.stringify(change)}: ${found.join(' | ')}`);
    assert.match(found[0]!, expected);
  }
});

test('locked memory matters before kernel 5.11 and to those who cannot raise it', () => {
  const capabilities = new Set([...goodHost.capabilities].filter(name => name !== 'CAP_SYS_RESOURCE'));
  assert.deepEqual(troubles({ kernel: '5.11.0', capabilities, memlockBytes: 65_536 }), []);
  assert.deepEqual(troubles({ kernel: '5.10.0', memlockBytes: 65_536 }), []);
  assert.match(
    troubles({ kernel: '5.10.0', capabilities, memlockBytes: 65_536 })[0]!,
    /^error locked memory: only 64 KiB .* -> run with "ulimit -l unlimited"/,
  );
});

test('missing rights are named, with the remedy that fits the user', () => {
  const capabilities = new Set<never>();
  assert.match(
    troubles({ capabilities, isRoot: false })[0]!,
    /CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE are missing.* -> run it with sudo$/,
  );
  assert.match(
    troubles({ capabilities })[0]!,
    / -> start the container with --cap-add BPF --cap-add PERFMON --cap-add SYS_PTRACE$/,
  );
});

test('a kernel without kprobes and fentry is told what is used in their stead, and why for each hook', () => {
  const noKprobes = { isAvailable: false, reason: 'This kernel was built without CONFIG_KPROBES.' };
  const noFentry = { isAvailable: false, reason: 'Loading was refused (EPERM).' };
  const found = troubles(withoutFeatures({ kprobe: noKprobes, fentry: noFentry }));
  assert.deepEqual(found, [
    'info fentry: missing: Loading was refused (EPERM); tracepoints are used in their stead, which cost more a call',
    'info kprobes: missing: This kernel was built without CONFIG_KPROBES; tracepoints are used in their stead, and kernel functions by name cannot be probed',
  ]);
  const report = diagnose({ ...goodHost, ...withoutFeatures({ kprobe: noKprobes, fentry: noFentry }) });
  const opens = report.sources.find(source => source.name === 'file')?.hooks[0];
  assert.equal(opens?.way, 'tracepoint');
  assert.equal(
    opens?.reason,
    'not by fentry: Loading was refused (EPERM); not by kprobe: This kernel was built without CONFIG_KPROBES',
  );
  const onlyFentryMissing = diagnose({ ...goodHost, ...withoutFeatures({ fentry: noFentry }) });
  assert.equal(onlyFentryMissing.sources.find(source => source.name === 'file')?.hooks[0]?.way, 'kprobe');
});

test('a hook that no way is left for says so', () => {
  const missing = { isAvailable: false, reason: 'not here' };
  const report = diagnose({ ...goodHost, ...withoutFeatures({ perfCpuClock: missing }) });
  const [ticks] = report.sources.find(source => source.name === 'cpu')!.hooks;
  assert.deepEqual({ way: ticks?.way, reason: ticks?.reason }, { way: 'none', reason: 'not by perf_event: not here' });
  assert.match(doctorText(report), /hotspan cannot work here: 1 thing is in the way\.\n$/);
});

test('capabilities are read from the status of a process', () => {
  assert.deepEqual([...parseCapabilities('Name:\tx\nCapEff:\t0000000000000000\n')], []);
  assert.deepEqual([...parseCapabilities('CapEff:\t000000c000000000\n')], ['CAP_PERFMON', 'CAP_BPF']);
  assert.deepEqual(missingCapabilities(parseCapabilities('CapEff:\t0000000000280000\n')), []);
  assert.deepEqual(missingCapabilities(parseCapabilities('CapEff:\t000000c000000000\n')), ['CAP_SYS_PTRACE']);
});

test('the limit of locked memory is read', () => {
  assert.equal(parseMemlock('Max locked memory         8388608              8388608              bytes     \n'), 8_388_608);
  assert.equal(
    parseMemlock('Max locked memory         unlimited            unlimited            bytes     \n'),
    Number.POSITIVE_INFINITY,
  );
  assert.equal(parseMemlock(''), undefined);
});

test('this host can be examined, whatever it is', async () => {
  const report = await makeDoctorReport({ dataDir: '/nonexistent/hotspan' });
  assert.match(report.kernel, /^\d+\.\d+/);
  assert.ok(report.findings.length >= 8);
});

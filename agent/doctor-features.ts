/** What the probed features of this kernel mean: what is lost without one, what is used in its stead, and how hooks would attach. */

import type { Feature, KernelFeatures } from './bpf/native.ts';
import type { DoctorFinding, DoctorReport } from './server/api.ts';
import { kits } from './sources/index.ts';
import { featureOf, refusedByFeatures } from './sources/ladder.ts';
import type { Hook, SourceKit } from './sources/source.ts';

type FeatureName = Exclude<keyof KernelFeatures, 'release'>;

interface FeatureMeaning {
  readonly subject: string;
  /** What it gives. */
  readonly present: string;
  /** What follows from its absence, read after the reason. */
  readonly absent: string | ((features: KernelFeatures) => string);
  readonly level: DoctorFinding['level'];
  readonly remedy?: string;
}

export const btfSubject = 'BTF for programs';

const meanings: Readonly<Record<FeatureName, FeatureMeaning>> = {
  btf: {
    subject: btfSubject,
    present: 'programs find the fields of this kernel',
    absent: 'nothing can be watched',
    level: 'error',
    remedy: 'use a kernel built with CONFIG_DEBUG_INFO_BTF',
  },
  fentry: {
    subject: 'fentry',
    present: 'functions are entered and left at the least cost',
    absent: ({ kprobe }) => `${kprobe.isAvailable ? 'kprobes' : 'tracepoints'} are used in their stead, which cost more a call`,
    level: 'info',
  },
  kprobe: {
    subject: 'kprobes',
    present: 'any kernel function can be probed',
    absent: ({ fentry }) =>
      fentry.isAvailable
        ? 'fentry is used in their stead, for functions that BTF describes'
        : 'tracepoints are used in their stead, and kernel functions by name cannot be probed',
    level: 'info',
  },
  tracepoint: {
    subject: 'tracepoints',
    present: 'system calls and kernel events can be watched',
    absent: 'there is nothing to fall back on where fentry and kprobes are missing',
    level: 'warning',
  },
  rawTracepoint: {
    subject: 'raw tracepoints',
    present: 'kernel events can be watched at low cost',
    absent: 'plain tracepoints are used in their stead',
    level: 'warning',
  },
  btfTracepoint: {
    subject: 'BTF tracepoints',
    present: 'kernel events can be watched with typed arguments',
    absent: 'raw tracepoints are used in their stead',
    level: 'info',
  },
  perfCpuClock: {
    subject: 'CPU sampling',
    present: 'CPUs can be sampled by the software clock',
    absent: 'there are no CPU profiles',
    level: 'error',
  },
  hardwareCycles: {
    subject: 'hardware counters',
    present: 'cycles can be counted',
    absent: 'the software clock is used in their stead, as in most virtual machines',
    level: 'info',
  },
  uprobe: {
    subject: 'uprobes',
    present: 'functions of programs can be probed',
    absent: 'functions of programs cannot be probed',
    level: 'warning',
  },
  bpfCookie: {
    subject: 'BPF cookies',
    present: 'one program serves many functions',
    absent: 'functions are told apart by their address instead (kernels before 5.15)',
    level: 'info',
  },
  kprobeFuncIp: {
    subject: 'function address in kprobes',
    present: 'a kprobe knows its function',
    absent: 'the address is worked out from the registers (kernels before 5.15)',
    level: 'info',
  },
  tracingFuncIp: {
    subject: 'function address in fentry',
    present: 'an fentry program knows its function',
    absent: 'each function gets a program of its own (kernels before 5.17)',
    level: 'info',
  },
  bpfStats: {
    subject: 'program statistics',
    present: 'the cost of every program is measured',
    absent: 'the cost of programs is not known',
    level: 'info',
  },
  batchMaps: {
    subject: 'map batches',
    present: 'maps are read in one call',
    absent: 'maps are read entry by entry',
    level: 'info',
  },
};

function withoutStop(sentence: string): string {
  return sentence.replace(/\.\s*$/, '');
}

function featureFinding(name: FeatureName, features: KernelFeatures): DoctorFinding {
  const feature: Feature = features[name];
  const { subject, present, absent, level, remedy = '' } = meanings[name];
  if (feature.isAvailable) return { subject, level: 'ok', message: present, remedy: '' };
  return {
    subject,
    level,
    message: `missing: ${withoutStop(feature.reason)}; ${typeof absent === 'string' ? absent : absent(features)}`,
    remedy,
  };
}

export function featureFindings(features: KernelFeatures): DoctorFinding[] {
  const findings = (Object.keys(meanings) as FeatureName[]).map(name => featureFinding(name, features));
  return features.btf.isAvailable ? [...findings, stackFinding] : findings;
}

/** Of user code; kernel stacks the kernel walks by itself. */
const stackFinding: DoctorFinding = {
  subject: 'user stacks',
  level: 'ok',
  message: 'walked by unwind tables, and by frame pointers where a file has none',
  remedy: '',
};

/** For each source that lists its hooks, the way that the features leave, and why not a better one. */
export function hookReports(features: KernelFeatures): DoctorReport['sources'] {
  const all: readonly SourceKit[] = Object.values(kits) as readonly SourceKit[];
  return all.map(kit => ({ name: kit.name, hooks: (kit.hooks ?? []).map(hook => hookReport(hook, features)) }));
}

function hookReport(hook: Hook, features: KernelFeatures): DoctorReport['sources'][number]['hooks'][number] {
  if (!features.btf.isAvailable) return { observes: hook.observes, way: 'none', reason: 'the kernel has no BTF' };
  const best = hook.ways.find(way => featureOf(way, features).isAvailable);
  const reasons = refusedByFeatures(hook, features)
    // Ways after the best are not wanted; those before it are what a person would ask about.
    .filter(({ way }) => best === undefined || hook.ways.indexOf(way) < hook.ways.indexOf(best))
    .map(({ way, reason }) => `not by ${way.name}: ${withoutStop(reason)}`);
  return { observes: hook.observes, way: best?.name ?? 'none', reason: [...new Set(reasons)].join('; ') };
}

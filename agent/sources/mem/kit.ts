/** Source mem as the table lists it: its settings, and how its probes in programs come and go. */

import { readFileSync } from 'node:fs';
import type { NativeLink, NativeObject } from '../../bpf/native.ts';
import { writeMemSettings } from '../../events/index.ts';
import { FunctionNames } from '../function-names.ts';
import { setStackConstants } from '../known-stacks.ts';
import { startSource } from '../runtime.ts';
import { numberSetting, pidSetting, stacksSetting } from '../settings.ts';
import type { RunningSource, SettingSpec, SourceHost, SourceKit, SourceSettings } from '../source.ts';
import { TurningSums } from '../turning-sums.ts';
import { type GoProgram, GoPrograms } from './go-programs.ts';
import { type MemProbes, MemSource, memHooks } from './mem.ts';
import { MemCollector } from './mem-collector.ts';

const settings: readonly SettingSpec[] = [
  stacksSetting('Stacks walked at most; what is beyond that is summed without one.'),
  pidSetting,
  {
    key: 'malloc',
    kind: 'number',
    unit: 'process id',
    help: 'Count the calls of malloc of this process, each of which costs microseconds; 0 for none.',
    default: 0,
    min: 0,
    max: 2 ** 22,
  },
  {
    key: 'mallocs',
    kind: 'number',
    unit: 'a second and CPU',
    help: 'Calls of malloc allowed; beyond that their counting ends by itself.',
    default: 10_000,
    min: 0,
    max: 1e7,
  },
];

/** 256 KiB per CPU. */
const pagesPerCpu = 64;

/** Sentences about programs whose heap cannot be seen. */
const maxProblems = 20;

/** Rounds of one second between two looks for new Go programs. */
const roundsPerLook = 3;

export const memKit: SourceKit<'mem'> = {
  name: 'mem',
  title: 'Memory asked for: mmap, brk and munmap by stack, the Go heap by its own samples, out-of-memory kills',
  isDefault: false,
  settings,
  hooks: memHooks,
  start: startMem,
};

async function startMem(host: SourceHost, given: SourceSettings): Promise<RunningSource> {
  const probes = new Probes(host);
  const source = new MemSource(new FunctionNames(host.symbolizer), probes);
  let round = 0;
  const sums = new TurningSums('mem', given, (values, epoch) =>
    writeMemSettings({
      stacksPerSecond: Math.round(numberSetting(values, 'stacks')),
      pid: numberSetting(values, 'pid'),
      mallocsPerSecond: Math.round(numberSetting(values, 'mallocs')),
      epoch,
    }),
  );
  const collector = new MemCollector({
    stacks: source.stacks,
    sums,
    rateOf: pid => probes.programs.rateOf(pid),
  });
  const running = await startSource(
    host,
    {
      source,
      settingSpecs: settings,
      pagesPerCpu,
      configure: (object: NativeObject) => {
        setStackConstants(object, host.ownPid);
        probes.object = object;
      },
      settingsBytes: values => sums.settingsBytes(values),
      applied: (_ladder, values) => probes.probeMalloc(numberSetting(values, 'malloc')),
      collect: (object, sink, nowNs, isLast) => {
        if (!isLast && round % roundsPerLook === 0) probes.probeGo();
        round += 1;
        collector.collect(object, sink, nowNs, isLast);
      },
    },
    given,
  );
  try {
    probes.probeGo();
    probes.probeMalloc(numberSetting(sums.values, 'malloc'));
  } catch (error) {
    await running.stop();
    throw error;
  }
  return Object.assign(running, { problems: () => probes.problems() });
}

/** Uprobes in programs: in every Go program, and on one process's malloc. They go with the object. */
class Probes implements MemProbes {
  object: NativeObject | undefined;
  readonly programs: GoPrograms;
  private readonly host: SourceHost;
  private readonly refused = new Map<string, string>();
  private malloc: { readonly pid: number; readonly link: NativeLink } | undefined;

  constructor(host: SourceHost) {
    this.host = host;
    this.programs = new GoPrograms(host.symbolizer);
  }

  problems(): readonly string[] {
    return [...this.refused.values()];
  }

  probeGo(): void {
    if (!this.host.features.uprobe.isAvailable) {
      this.refused.set('go', `the Go heap and malloc cannot be seen: ${this.host.features.uprobe.reason}`);
      return;
    }
    for (const program of this.programs.look()) this.probeProgram(program);
  }

  /** At once: a program may allocate most of what it ever does in its first second. */
  execed(pid: number): void {
    const program = this.host.features.uprobe.isAvailable ? this.programs.lookAt(pid) : undefined;
    if (program !== undefined) this.probeProgram(program);
  }

  private probeProgram({ path, offset, pid }: GoProgram): void {
    try {
      this.object?.attach('mem_go_alloc', { type: 'uprobe', path, offset, isReturn: false });
      if (this.programs.rateOf(pid) === 0) this.refuse(path, 'its sampling is off, as in every program without runtime/pprof');
    } catch (error) {
      this.refuse(path, error instanceof Error ? error.message : String(error));
    }
  }

  private refuse(path: string, reason: string): void {
    if (this.refused.size < maxProblems) this.refused.set(path, `the Go heap of ${path} cannot be seen: ${reason}`);
  }

  /** Throws a RangeError where the process has no malloc that can be found. */
  probeMalloc(pid: number): void {
    if (this.malloc?.pid === pid) return;
    this.malloc?.link.detach();
    this.malloc = undefined;
    this.refused.delete('malloc');
    if (pid === 0) return;
    const place = mallocOf(this.host, pid);
    if (place === undefined || this.object === undefined)
      throw new RangeError(`setting "malloc": process ${pid} has no malloc that can be found`);
    const link = this.object.attach('mem_malloc', { type: 'uprobe', ...place, isReturn: false, pid });
    this.malloc = { pid, link };
  }

  endMalloc(): void {
    if (this.malloc === undefined) return;
    this.malloc.link.detach();
    const { pid } = this.malloc;
    this.malloc = undefined;
    this.refused.set(
      'malloc',
      `malloc of process ${pid} is no longer counted: it was called more often than setting "mallocs" allows`,
    );
  }
}

/** In the C library that the process has mapped, else in the program itself. */
function mallocOf({ symbolizer }: SourceHost, pid: number): { path: string; offset: number } | undefined {
  for (const path of codeFiles(pid)) {
    const inRoot = `/proc/${pid}/root${path}`;
    const [symbol] = /\/(libc[.-]|ld-musl)/.test(path) ? symbolizer.findSymbols(inRoot, 'malloc', 1) : [];
    if (symbol !== undefined) return { path: inRoot, offset: symbol.offset };
  }
  const [own] = symbolizer.findSymbols(`/proc/${pid}/exe`, 'malloc', 1);
  return own === undefined ? undefined : { path: `/proc/${pid}/exe`, offset: own.offset };
}

function codeFiles(pid: number): Set<string> {
  try {
    const lines = readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n');
    return new Set(lines.flatMap(line => /^\S+ r.xp .* (\/.*)$/.exec(line)?.[1] ?? []));
  } catch {
    // The process has ended: it has no code.
    return new Set();
  }
}

/**
 * Runs a source: an object file of BPF programs loaded, attached by the ladder, read, counted and stopped. What is common to all
 * sources is here; a source's kit adds its plan.
 */

import { join } from 'node:path';
import type { NativeObject, ProgramStats } from '../bpf/native.ts';
import { dropReasons, type SourceName } from '../events/index.ts';
import { climb, type Ladder } from './ladder.ts';
import { resolveSettings } from './settings.ts';
import type { HookWay, OperationSums, RunningSource, SettingSpec, Sink, Source, SourceHost, SourceSettings } from './source.ts';

/** What one source adds to the common run. */
export interface SourcePlan<N extends SourceName> {
  /** Made for this run; its `needs` are the hooks to attach. */
  readonly source: Source<N>;
  readonly settingSpecs: readonly SettingSpec[];
  /** Pages of perf buffer per CPU, a power of two; the host's bufferPages goes before it. */
  readonly pagesPerCpu: number;
  /** Before each load: constants, map sizes, attach targets. */
  configure?(object: NativeObject, ways: readonly HookWay[]): void;
  /** After each load, before anything is attached: what maps hold from the start. */
  fill?(object: NativeObject): void;
  /** The value of the one-entry map `<source>_settings`, as the source's BPF C lays it out. Without it there is no such map. */
  settingsBytes?(settings: SourceSettings): Uint8Array;
  /** After a change of settings: what the settings map cannot do, such as a new sampling frequency. Throws to refuse the change. */
  applied?(ladder: Ladder, settings: SourceSettings): void;
  /**
   * True where each event is one run of a program: runs that the kernel left out are then counted as seen and as missed. Where an
   * event takes an entry and a return, either tells that the other is missing.
   */
  readonly isOneRunPerEvent?: boolean;
  sums?(object: NativeObject): readonly OperationSums[];
  announce?(sink: Sink): void;
  /** Once a second: makes samples of what the programs summed. `isLast`: they are detached, and the maps are still there. */
  collect?(object: NativeObject, sink: Sink, nowNs: number, isLast: boolean): void;
}

/** Loads, attaches and reads a source. Throws a BpfError where a needed hook has no way, a RangeError for bad settings. */
export async function startSource<N extends SourceName>(
  host: SourceHost,
  plan: SourcePlan<N>,
  given: SourceSettings,
): Promise<RunningSource> {
  const { name, needs } = plan.source;
  const settings = resolveSettings(plan.settingSpecs, given);
  const ladder = await climb(host.native, host.features, {
    objectPath: join(host.objectDir, `${name}.bpf.o`),
    hooks: needs,
    configure: (object, ways) => plan.configure?.(object, ways),
    prepare: object => {
      plan.fill?.(object);
      writeSettings(object, plan, settings);
      host.reader.add(host.sourceIndex, object, `${name}_events`, host.bufferPages ?? plan.pagesPerCpu);
    },
    abandon: () => host.reader.remove(host.sourceIndex),
  });
  return new ObjectSource(host, plan, ladder, settings);
}

function writeSettings<N extends SourceName>(object: NativeObject, plan: SourcePlan<N>, settings: SourceSettings): void {
  if (plan.settingsBytes === undefined) return;
  object.mapUpdate(`${plan.source.name}_settings`, firstKey, plan.settingsBytes(settings));
}

/** Key 0 of a one-entry array map. */
const firstKey = Buffer.alloc(4);

/** What a source counted up to a moment; after stop the maps are gone, and this is what was last read from them. */
interface Totals {
  readonly counts: Readonly<Record<string, number>>;
  readonly sums: readonly OperationSums[];
  readonly programs: readonly ProgramStats[];
}

class ObjectSource<N extends SourceName> implements RunningSource {
  readonly source: Source;
  readonly hooks: Ladder['hooks'];
  private readonly host: SourceHost;
  private readonly plan: SourcePlan<N>;
  private readonly ladder: Ladder;
  private settings: SourceSettings;
  private stopping: Promise<void> | undefined;
  private final: Totals | undefined;
  private collected: { readonly sink: Sink; readonly atNs: number; readonly atMs: number } | undefined;

  constructor(host: SourceHost, plan: SourcePlan<N>, ladder: Ladder, settings: SourceSettings) {
    // The table in index.ts pairs each source with the events of its own name, so a caller never hands it another's.
    this.source = plan.source as unknown as Source;
    this.hooks = ladder.hooks;
    this.host = host;
    this.plan = plan;
    this.ladder = ladder;
    this.settings = settings;
  }

  announce(sink: Sink): void {
    this.plan.announce?.(sink);
  }

  collect(sink: Sink, nowNs: number): void {
    if (this.stopping !== undefined || this.plan.collect === undefined) return;
    this.collected = { sink, atNs: nowNs, atMs: performance.now() };
    this.plan.collect(this.ladder.object, sink, nowNs, false);
  }

  update(given: SourceSettings): void {
    if (this.stopping !== undefined) return;
    const settings = resolveSettings(this.plan.settingSpecs, given, this.settings);
    // First what can be refused, so that a change is made whole or not at all.
    this.plan.applied?.(this.ladder, settings);
    writeSettings(this.ladder.object, this.plan, settings);
    this.settings = settings;
  }

  counts(): Readonly<Record<string, number>> {
    if (this.final !== undefined) return this.final.counts;
    const counts = readCounts(this.ladder.object, this.plan.source.name);
    if (this.plan.isOneRunPerEvent !== true) return counts;
    const missed = this.ladder.object.stats().reduce((sum, program) => sum + program.missedRuns, 0);
    return { ...counts, seen: (counts.seen ?? 0) + missed, missed };
  }

  sums(): readonly OperationSums[] {
    return this.final?.sums ?? this.plan.sums?.(this.ladder.object) ?? [];
  }

  programs(): readonly ProgramStats[] {
    return this.final?.programs ?? this.ladder.object.stats();
  }

  mapBytes(): number {
    return this.final === undefined ? this.ladder.object.mapBytes() : 0;
  }

  stop(): Promise<void> {
    this.stopping ??= this.shutDown();
    return this.stopping;
  }

  private collectLast(): void {
    if (this.collected === undefined) return;
    const { sink, atNs, atMs } = this.collected;
    this.plan.collect?.(this.ladder.object, sink, atNs + (performance.now() - atMs) * 1e6, true);
  }

  private async shutDown(): Promise<void> {
    this.host.native.detachAll(this.ladder.links.flat());
    try {
      await this.host.reader.remove(this.host.sourceIndex);
      this.collectLast();
      this.final = { counts: this.counts(), sums: this.sums(), programs: this.programs() };
    } finally {
      this.final ??= { counts: {}, sums: [], programs: [] };
      this.ladder.object.close();
    }
  }
}

/** <source>_drops summed over CPUs: a per-CPU array of u64, index = enum drop_reason. */
export function readCounts(object: NativeObject, source: SourceName): Record<string, number> {
  const counts: Record<string, number> = {};
  const key = Buffer.alloc(4);
  for (const [index, reason] of dropReasons.entries()) {
    key.writeUInt32LE(index, 0);
    const perCpu = object.mapLookup(`${source}_drops`, key);
    let total = 0;
    for (let at = 0; perCpu !== undefined && at < perCpu.length; at += 8) total += Number(perCpu.readBigUInt64LE(at));
    counts[reason] = total;
  }
  return counts;
}

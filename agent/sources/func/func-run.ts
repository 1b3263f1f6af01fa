/**
 * A running source func: one object with the maps and what serves all targets, and for each probed function an object of its own that
 * shares those maps. So functions come and go one by one, each by the best way for it, and the kernel tells the cost of each.
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { BpfError } from '../../bpf/errors.ts';
import type { NativeObject, ProgramStats } from '../../bpf/native.ts';
import { funcCallKeyBytes, funcSumsBytes, readFuncCallKey, readFuncSums, writeFuncSettings } from '../../events/index.ts';
import { keepEntryStacks } from '../entry-stacks.ts';
import { climb, type Ladder } from '../ladder.ts';
import { addUp } from '../latency-sums.ts';
import { readCounts } from '../runtime.ts';
import { durationNs, listSetting, numberSetting, resolveSettings } from '../settings.ts';
import type {
  AttachedHook,
  Hook,
  HookWay,
  OperationSums,
  RunningSource,
  SettingSpec,
  SourceHost,
  SourceSettings,
} from '../source.ts';
import { FuncSource } from './func.ts';
import { maxFunctions, type ProbedFunction, resolveTargets } from './functions.ts';
import { parseTarget } from './target.ts';
import { errnoWidth } from './value.ts';

/** The programs that serve all targets. */
export const sharedHooks: readonly Hook[] = [
  {
    observes: 'ends of threads',
    ways: [{ name: 'raw_tracepoint', programs: [{ program: 'func_thread_end', attach: { type: 'auto' } }] }],
  },
  {
    observes: 'new images of processes',
    ways: [{ name: 'raw_tracepoint', programs: [{ program: 'func_new_image', attach: { type: 'auto' } }] }],
  },
];

/** 512 KiB per CPU: records with both stacks have up to 2 KiB. */
const pagesPerCpu = 128;

/** Sums of functions that are no longer probed are kept for this many names. */
const maxRetiredSums = 1024;

/** Calls of goroutines of dead processes, which no hook tells of, are looked for this often. */
const sweepIntervalMs = 10_000;

interface Probe {
  readonly probed: ProbedFunction;
  readonly id: number;
  readonly slot: number;
  readonly ladder: Ladder;
  readonly hook: AttachedHook;
  /** What the slot held before this function had it. */
  readonly before: OperationSums;
}

interface Totals {
  readonly counts: Readonly<Record<string, number>>;
  readonly sums: readonly OperationSums[];
  readonly programs: readonly ProgramStats[];
}

export class FuncRun implements RunningSource {
  readonly source = new FuncSource(sharedHooks);
  private readonly host: SourceHost;
  private readonly specs: readonly SettingSpec[];
  private readonly objectPath: string;
  private readonly shared: Ladder;
  private readonly probes = new Map<string, Probe>();
  private readonly freeSlots = Array.from({ length: maxFunctions }, (_, i) => maxFunctions - 1 - i);
  private readonly retiredSums = new Map<string, OperationSums>();
  private settings: SourceSettings;
  private refusals: readonly string[] = [];
  private nextId = 1;
  private sweptMs = 0;
  private swept = 0;
  private turn: Promise<void> = Promise.resolve();
  private stopping: Promise<void> | undefined;
  private final: Totals | undefined;

  private constructor(host: SourceHost, specs: readonly SettingSpec[], settings: SourceSettings, shared: Ladder) {
    this.host = host;
    this.specs = specs;
    this.settings = settings;
    this.shared = shared;
    this.objectPath = join(host.objectDir, 'func.bpf.o');
  }

  /** Throws a RangeError for bad settings, and a BpfError where no target at all can be probed. */
  static async start(host: SourceHost, specs: readonly SettingSpec[], given: SourceSettings): Promise<FuncRun> {
    const settings = resolveSettings(specs, given);
    for (const target of listSetting(settings, 'targets')) parseTarget(target);
    const shared = await climb(host.native, host.features, {
      objectPath: join(host.objectDir, 'func.bpf.o'),
      hooks: sharedHooks,
      configure: object => {
        loadOnly(
          object,
          sharedHooks.flatMap(hook => hook.ways),
        );
        object.setConstant('own_pid', host.ownPid);
        keepEntryStacks(object, 'func', host.features, host.features.kprobe.isAvailable);
      },
      prepare: object => host.reader.add(host.sourceIndex, object, 'func_events', host.bufferPages ?? pagesPerCpu),
      abandon: () => host.reader.remove(host.sourceIndex),
    });
    const run = new FuncRun(host, specs, settings, shared);
    try {
      await run.apply(settings);
      run.requireSome();
    } catch (error) {
      await run.stop();
      throw error;
    }
    return run;
  }

  get hooks(): readonly AttachedHook[] {
    return [...this.shared.hooks, ...[...this.probes.values()].map(probe => probe.hook)];
  }

  /** Targets that are asked for and not probed, one sentence each. */
  problems(): readonly string[] {
    return this.refusals;
  }

  /** Adds and removes targets without touching the others. */
  update(given: SourceSettings): Promise<void> {
    const applied = this.turn.then(async () => {
      if (this.stopping !== undefined) return;
      const settings = resolveSettings(this.specs, given, this.settings);
      await this.apply(settings);
      this.settings = settings;
    });
    // A refused change must not refuse those after it.
    this.turn = applied.catch(() => undefined);
    return applied;
  }

  private async apply(settings: SourceSettings): Promise<void> {
    const targets = listSetting(settings, 'targets').map(parseTarget);
    const resolved = resolveTargets(this.host, targets);
    this.shared.object.mapUpdate('func_settings', firstKey, settingsBytes(this.specs, settings));
    const wanted = new Map(resolved.functions.map(probed => [probed.key, probed]));
    for (const [key, probe] of this.probes) if (!wanted.has(key)) this.remove(probe);
    const refusals = [...resolved.problems];
    for (const probed of wanted.values()) {
      if (this.probes.has(probed.key)) continue;
      try {
        await this.add(probed);
      } catch (error) {
        if (!(error instanceof BpfError)) throw error;
        refusals.push(`${probed.hook.observes}: ${error.detail ?? error.message}`);
      }
      // Loading takes milliseconds each: the thread's other work goes on in between.
      await new Promise(resolve => setImmediate(resolve));
    }
    this.refusals = refusals;
  }

  private requireSome(): void {
    const [first] = this.refusals;
    if (this.probes.size > 0 || first === undefined) return;
    const more = this.refusals.length > 1 ? ` (and ${this.refusals.length - 1} more)` : '';
    throw new BpfError(`${first}${more}`, {
      operation: 'attach',
      object: 'func',
      errno: 0,
      code: '',
      detail: this.refusals.join('; '),
    });
  }

  private async add(probed: ProbedFunction): Promise<void> {
    const slot = this.freeSlots.pop();
    if (slot === undefined) throw new RangeError(`at most ${maxFunctions} functions can be probed at once`);
    const id = this.nextId;
    this.nextId += 1;
    this.source.know(id, probed);
    try {
      const ladder = await climb(this.host.native, this.host.features, {
        objectPath: this.objectPath,
        hooks: [probed.hook],
        configure: (object, ways) => this.configure(object, ways, { probed, id, slot }),
      });
      this.setWhole(slot, true);
      const [attached] = ladder.hooks;
      const hook = { ...attached!, refused: [...probed.refused, ...attached!.refused] };
      this.probes.set(probed.key, { probed, id, slot, ladder, hook, before: this.slotSums(slot, probed.name) });
    } catch (error) {
      this.source.retire(id);
      this.freeSlots.push(slot);
      throw error;
    }
  }

  private configure(object: NativeObject, ways: readonly HookWay[], target: Pick<Probe, 'probed' | 'id' | 'slot'>): void {
    const { features, ownPid } = this.host;
    loadOnly(object, ways);
    for (const { name } of object.maps) if (sharedMaps.has(name)) object.reuseMap(name, this.shared.object, name);
    const { probed } = target;
    object.setConstant('own_pid', ownPid);
    object.setConstant('target_id', target.id);
    object.setConstant('target_slot', target.slot);
    object.setConstant('target_address', probed.address);
    object.setConstant('returns_value', probed.returnsValue ? 1 : 0);
    object.setConstant('errno_width', probed.resultType === undefined ? 0 : errnoWidth(probed.resultType));
    for (const [constant, value] of Object.entries(probed.constants)) object.setConstant(constant, value);
    const way = ways[0]?.name;
    if (way === 'fentry') {
      object.setConstant('arg_count', probed.argumentWords?.length ?? 0);
      object.setConstant('has_func_ip', features.tracingFuncIp.isAvailable ? 1 : 0);
      for (const { program } of ways[0]?.programs ?? []) object.setAttachTarget(program, probed.name);
    } else if (way === 'kprobe') {
      object.setConstant('has_func_ip', features.kprobeFuncIp.isAvailable ? 1 : 0);
      object.setConstant('keeps_entry_stacks', features.kprobeFuncIp.isAvailable ? 0 : 1);
    }
  }

  /** Whether both sides of the target in this slot are attached. */
  private setWhole(slot: number, isWhole: boolean): void {
    const key = Buffer.alloc(4);
    key.writeUInt32LE(slot, 0);
    const value = Buffer.alloc(4);
    value.writeUInt32LE(isWhole ? 1 : 0, 0);
    this.shared.object.mapUpdate('func_is_whole', key, value);
  }

  /** What returns while only one side is still attached is no return without an entry. */
  private remove(probe: Probe): void {
    this.setWhole(probe.slot, false);
    this.host.native.detachAll(probe.ladder.links.flat());
    this.retireSums(probe);
    probe.ladder.object.close();
    this.probes.delete(probe.probed.key);
    this.source.retire(probe.id);
    this.freeSlots.unshift(probe.slot);
  }

  private retireSums(probe: Probe): void {
    const { name } = probe.probed;
    if (this.retiredSums.size >= maxRetiredSums && !this.retiredSums.has(name)) return;
    this.retiredSums.set(name, plus(this.retiredSums.get(name), this.sumsOf(probe)));
  }

  private slotSums(slot: number, name: string): OperationSums {
    const key = Buffer.alloc(4);
    key.writeUInt32LE(slot, 0);
    return addUp(name, this.shared.object.mapLookup('func_sums', key) ?? Buffer.alloc(0), funcSumsBytes, readFuncSums);
  }

  private sumsOf(probe: Probe): OperationSums {
    return minus(this.slotSums(probe.slot, probe.probed.name), probe.before);
  }

  counts(): Readonly<Record<string, number>> {
    if (this.final !== undefined) return this.final.counts;
    if (Date.now() - this.sweptMs >= sweepIntervalMs) this.sweep();
    const counts = readCounts(this.shared.object, 'func');
    return { ...counts, no_return: (counts.no_return ?? 0) + this.swept };
  }

  /** Forgets open calls of goroutines and threads whose process is gone. */
  private sweep(): void {
    this.sweptMs = Date.now();
    const { keys, count } = this.shared.object.mapEntries('func_calls', false);
    const isAlive = new Map<number, boolean>();
    for (let i = 0; i < count; i += 1) {
      const bytes = keys.subarray(i * funcCallKeyBytes, (i + 1) * funcCallKeyBytes);
      const pid = Number(readFuncCallKey(bytes, 0).pidTgid >> 32n);
      if (!isAlive.has(pid)) isAlive.set(pid, existsSync(`/proc/${pid}`));
      if (isAlive.get(pid) !== true && this.shared.object.mapDelete('func_calls', bytes)) this.swept += 1;
    }
  }

  sums(): readonly OperationSums[] {
    if (this.final !== undefined) return this.final.sums;
    const sums = new Map(this.retiredSums);
    for (const probe of this.probes.values()) {
      const { name } = probe.probed;
      sums.set(name, plus(sums.get(name), this.sumsOf(probe)));
    }
    return [...sums.values()];
  }

  programs(): readonly ProgramStats[] {
    if (this.final !== undefined) return this.final.programs;
    const probed = [...this.probes.values()].flatMap(probe =>
      probe.ladder.object.stats().map(stats => ({ ...stats, name: `${stats.name} ${probe.probed.name}` })),
    );
    return [...this.shared.object.stats(), ...probed];
  }

  mapBytes(): number {
    if (this.final !== undefined) return 0;
    const objects = [this.shared.object, ...[...this.probes.values()].map(probe => probe.ladder.object)];
    return objects.reduce((sum, object) => sum + object.mapBytes(), 0);
  }

  stop(): Promise<void> {
    this.stopping ??= this.turn.then(() => this.shutDown());
    return this.stopping;
  }

  private async shutDown(): Promise<void> {
    for (const probe of this.probes.values()) this.setWhole(probe.slot, false);
    const ladders = [...[...this.probes.values()].map(probe => probe.ladder), this.shared];
    this.host.native.detachAll(ladders.flatMap(ladder => ladder.links.flat()));
    try {
      await this.host.reader.remove(this.host.sourceIndex);
      this.final = { counts: this.counts(), sums: this.sums(), programs: this.programs() };
    } finally {
      this.final ??= { counts: {}, sums: [], programs: [] };
      for (const ladder of ladders) ladder.object.close();
    }
  }
}

/** Key 0 of a one-entry array map. */
const firstKey = Buffer.alloc(4);

/** What is one for all objects; the rest (.rodata) each has for itself. */
const sharedMaps = new Set([
  'func_events',
  'func_drops',
  'func_scratch',
  'func_calls',
  'func_entry_stacks',
  'func_is_whole',
  'func_nowhere',
  'func_unremembered',
  'func_settings',
  'func_sums',
  'unwind_processes',
  'unwind_blocks',
  'unwind_states',
  'unwind_budget',
  'unwind_times',
]);

function loadOnly(object: NativeObject, ways: readonly HookWay[]): void {
  const wanted = new Set(ways.flatMap(way => way.programs.map(({ program }) => program)));
  for (const { name } of object.programs) object.setAutoload(name, wanted.has(name));
}

function settingsBytes(specs: readonly SettingSpec[], settings: SourceSettings): Uint8Array {
  return writeFuncSettings({
    minLatencyNs: durationNs(specs, settings, 'min'),
    pid: numberSetting(settings, 'pid'),
    hasStacks: numberSetting(settings, 'stack'),
  });
}

function plus(a: OperationSums | undefined, b: OperationSums): OperationSums {
  return a === undefined ? b : combined(a, b, 1);
}

function minus(a: OperationSums, b: OperationSums): OperationSums {
  return combined(a, b, -1);
}

function combined(a: OperationSums, b: OperationSums, sign: number): OperationSums {
  return {
    operation: a.operation,
    calls: a.calls + sign * b.calls,
    errors: a.errors + sign * b.errors,
    bytes: a.bytes + sign * b.bytes,
    totalNs: a.totalNs + sign * b.totalNs,
    buckets: a.buckets.map((count, i) => count + sign * (b.buckets[i] ?? 0)),
  };
}

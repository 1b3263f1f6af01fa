/**
 * Attaches each hook by the first way that this kernel allows. A way is refused by the probed features, by load (verifier, missing
 * attach target) or by attach; each refusal is kept with its reason, so that people see what was chosen and why not better.
 */

import { basename } from 'node:path';
import { BpfError } from '../bpf/errors.ts';
import type { Feature, KernelFeatures, NativeAddon, NativeLink, NativeObject } from '../bpf/native.ts';
import type { AttachedHook, Hook, HookWay } from './source.ts';

/** A way that does not work here. Kept by the way itself: one hook may have two kprobe ways for two names of a function. */
interface Refusal {
  readonly way: HookWay;
  readonly reason: string;
}

/** What to open and attach, and what to do at the two moments that only the source knows about. */
export interface LadderPlan {
  readonly objectPath: string;
  readonly hooks: readonly Hook[];
  /** Before each load: constants, map sizes, attach targets. `ways` are the ones tried now, in the order of hooks. */
  configure?(object: NativeObject, ways: readonly HookWay[]): void;
  /** After load and before the first attach: settings and perf buffers, so that no event finds them missing. */
  prepare?(object: NativeObject): void;
  /** Undoes `prepare` where an attach was refused and another way is to be tried. */
  abandon?(object: NativeObject): Promise<void>;
}

/** A loaded and attached object. */
export interface Ladder {
  readonly object: NativeObject;
  readonly hooks: readonly AttachedHook[];
  /** The ways taken, and their links, in the order of the plan's hooks. */
  readonly ways: readonly HookWay[];
  readonly links: NativeLink[][];
}

/**
 * Loads and attaches. Every refusal starts again from a fresh object, because programs cannot be added to a loaded one; the number
 * of tries is bounded by the number of ways. Throws a BpfError that lists every reason when a hook has no way left; nothing is
 * left loaded then.
 */
export async function climb(native: NativeAddon, features: KernelFeatures, plan: LadderPlan): Promise<Ladder> {
  const refused: Refusal[][] = plan.hooks.map(hook => refusedByFeatures(hook, features));
  for (;;) {
    const ways = plan.hooks.map((hook, i) => bestWay(hook, refused[i] ?? []));
    const attempt = await tryWays(native, plan, ways);
    if ('links' in attempt) {
      const hooks = plan.hooks.map((hook, i) => ({
        observes: hook.observes,
        way: ways[i]!.name,
        refused: (refused[i] ?? []).map(named),
        slowsCalls: ways[i]!.programs.some(({ attach }) => attach.type === 'tracepoint' && attach.category === 'syscalls'),
      }));
      return { object: attempt.object, hooks, ways, links: attempt.links };
    }
    // Every further way would fail alike, and one cause tells more than the libraries' words on each.
    if (!features.btf.isAvailable) throw withoutBtf(plan, features.btf);
    refused[attempt.hookIndex]!.push({ way: ways[attempt.hookIndex]!, reason: attempt.error.message });
  }
}

function withoutBtf({ objectPath }: LadderPlan, { reason }: Feature): BpfError {
  const cause = reason.replace(/\.\s*$/, '');
  const detail = `the kernel has no BTF, by which programs find its fields (${cause}); use a kernel built with CONFIG_DEBUG_INFO_BTF`;
  return BpfError.of({ operation: 'load', object: basename(objectPath), errno: 0, code: '', detail });
}

/** The feature without which a way cannot work. */
export function featureOf(way: HookWay, features: KernelFeatures): Feature {
  switch (way.name) {
    case 'fentry':
      return features.fentry;
    case 'kprobe':
      return features.kprobe;
    case 'tracepoint':
      return features.tracepoint;
    case 'raw_tracepoint':
      return features.rawTracepoint;
    case 'btf_tracepoint':
      return features.btfTracepoint;
    case 'uprobe':
      return features.uprobe;
    case 'perf_event': {
      const usesCycles = way.programs.some(({ attach }) => attach.type === 'perf' && attach.event === 'cycles');
      return usesCycles ? features.hardwareCycles : features.perfCpuClock;
    }
  }
}

/** Ways that the probed features rule out, with the probe's reason. */
export function refusedByFeatures(hook: Hook, features: KernelFeatures): Refusal[] {
  return hook.ways.flatMap(way => {
    const feature = featureOf(way, features);
    return feature.isAvailable ? [] : [{ way, reason: feature.reason }];
  });
}

function named({ way, reason }: Refusal): AttachedHook['refused'][number] {
  return { way: way.name, reason };
}

function bestWay(hook: Hook, refused: readonly Refusal[]): HookWay {
  const way = hook.ways.find(candidate => !refused.some(refusal => refusal.way === candidate));
  if (way !== undefined) return way;
  const reasons = refused.map(({ way: { name }, reason }) => `${name}: ${reason}`).join('; ');
  const detail = `no way works on this kernel (${reasons})`;
  throw BpfError.of({ operation: 'attach', object: hook.observes, errno: 0, code: '', detail });
}

type Attempt =
  | { readonly object: NativeObject; readonly links: NativeLink[][] }
  | { readonly hookIndex: number; readonly error: Error };

async function tryWays(native: NativeAddon, plan: LadderPlan, ways: readonly HookWay[]): Promise<Attempt> {
  const opened = loadWays(native, plan, ways);
  if ('error' in opened) return opened;
  const { object } = opened;
  try {
    plan.prepare?.(object);
  } catch (error) {
    object.close();
    throw error;
  }
  const links: NativeLink[][] = [];
  for (const [hookIndex, way] of ways.entries()) {
    try {
      links.push(attachWay(object, way));
    } catch (error) {
      for (const link of links.flat()) link.detach();
      await plan.abandon?.(object);
      object.close();
      return { hookIndex, error: asError(error) };
    }
  }
  return { object, links };
}

/** Attaches all programs of a way, or none. */
export function attachWay(object: NativeObject, way: HookWay): NativeLink[] {
  const links: NativeLink[] = [];
  try {
    for (const { program, attach } of way.programs) links.push(object.attach(program, attach));
    return links;
  } catch (error) {
    for (const link of links) link.detach();
    throw error;
  }
}

function loadWays(
  native: NativeAddon,
  plan: LadderPlan,
  ways: readonly HookWay[],
): { object: NativeObject } | { hookIndex: number; error: Error } {
  const failed = tryLoad(native, plan, ways, ways);
  if (!(failed instanceof Error)) return { object: failed };
  const program = 'object' in failed ? failed.object : undefined;
  const named = ways.findIndex(way => way.programs.some(candidate => candidate.program === program));
  if (named >= 0) return { hookIndex: named, error: failed };
  // The error names no program: find the hook by loading each alone.
  for (const [hookIndex, way] of ways.entries()) {
    const alone = tryLoad(native, plan, ways, [way]);
    if (alone instanceof Error) return { hookIndex, error: alone };
    alone.close();
  }
  // Each loads alone, so the cause is not one of the ways (out of memory, a map too large): no other way would help.
  throw failed;
}

/** A loaded object with only the programs of `loaded` of those that any way names, or what prevented it. */
function tryLoad(
  native: NativeAddon,
  plan: LadderPlan,
  ways: readonly HookWay[],
  loaded: readonly HookWay[],
): NativeObject | Error {
  const object = native.openObject(plan.objectPath);
  try {
    const wanted = new Set(loaded.flatMap(way => way.programs.map(({ program }) => program)));
    const known = new Set(plan.hooks.flatMap(hook => hook.ways.flatMap(way => way.programs.map(({ program }) => program))));
    for (const program of known) object.setAutoload(program, wanted.has(program));
    plan.configure?.(object, ways);
    object.load();
    return object;
  } catch (error) {
    object.close();
    return asError(error);
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

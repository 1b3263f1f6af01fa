/**
 * What a source of events is, and what it makes. Adding a source: its folder under bpf/, its folder here, one line in index.ts.
 */

import type { AttachSpec } from '../bpf/native.ts';
import type { EventOf, SourceName, UnwindEnd } from '../events/index.ts';

/** One way to attach a hook, best first in Hook.ways. All programs of one way are attached together. */
export interface HookWay {
  readonly name: 'fentry' | 'kprobe' | 'tracepoint' | 'raw_tracepoint' | 'btf_tracepoint' | 'perf_event' | 'uprobe';
  readonly programs: readonly { readonly program: string; readonly attach: AttachSpec }[];
}

/** Something to observe ("opening a file"), and the ways to do so on different kernels. The first that attaches is used. */
export interface Hook {
  readonly observes: string;
  readonly ways: readonly HookWay[];
}

/** Stack of an event as raw addresses: u64 little endian, leaf first. Views into the batch: valid only during assemble. */
export interface StackBytes {
  readonly kernel: Uint8Array;
  readonly user: Uint8Array;
  /** Why the walk of the user stack ended. */
  readonly end: UnwindEnd;
  /** Where it lacked a mapping or a table: struct unwind_resume and a copy of the stack (bpf/lib/unwind-table.h); else empty. */
  readonly raw: Uint8Array;
}

/** What a part of wall-clock time was spent on; the UI has a colour for each. */
export type TimeKind = 'on-cpu' | 'runnable' | 'lock' | 'disk' | 'network' | 'idle' | 'page-fault' | 'waiting';

/** A frame that is no code, on top of a stack: "blocked: lock". */
export interface Mark {
  readonly name: string;
  readonly kind: TimeKind;
  /** Its name tells of what was observed, such as a lock's address; else names come from tables, and there are few. */
  readonly isObserved?: boolean;
}

export interface Sample {
  /** 'cpu', 'offcpu', ...; what `value` counts is the store's to say (store/profile-type.ts): most often nanoseconds. */
  readonly profileType: string;
  readonly timeNs: number;
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
  readonly cgroupId: bigint;
  readonly value: number;
  /** How many events the value sums; 1 where it is not given. */
  readonly count?: number;
  readonly stack: StackBytes;
  readonly mark?: Mark;
  /** Who ended the wait: its stack stands on top of the mark, root on top, under a mark of its own ("woken by"). */
  readonly waker?: { readonly pid: number; readonly name: string; readonly stack: StackBytes; readonly mark?: Mark };
}

export type AttributeValue = string | number | boolean | bigint;

export interface Span {
  /** "open /etc/passwd" is two facts: the name is "open", the path an attribute. */
  readonly name: string;
  /** ktime of the call's entry, and how long it took. */
  readonly startNs: number;
  readonly durationNs: number;
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
  /** Ids given in the kernel where calls nest (source func): spans of one traceKey form a tree. 0n: none. */
  readonly spanKey: bigint;
  readonly parentKey: bigint;
  readonly traceKey: bigint;
  /** Empty: no error; else error.type, such as "ENOENT". */
  readonly error: string;
  /** Names of the semantic conventions where there is one, else hotspan.*, from attributes.ts. */
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  readonly stack: StackBytes | undefined;
}

export interface ProcessStart {
  readonly pid: number;
  readonly parentPid: number;
  /** ktime of the process's (thread group leader's) start. */
  readonly startNs: number;
  readonly comm: string;
  /** Empty where not known. */
  readonly executable: string;
  readonly commandLine: string;
  readonly buildId: string;
  readonly cgroupPath: string;
  readonly containerId: string;
}

export interface ProcessExit {
  readonly pid: number;
  readonly timeNs: number;
  /** Wait status: exit code in bits 8-15, signal in bits 0-6. */
  readonly exitStatus: number;
}

/** Where assembled things go. Calls are synchronous and cheap; nothing here throws. */
export interface Sink {
  sample(sample: Sample): void;
  span(span: Span): void;
  processStarted(process: ProcessStart): void;
  processExited(exit: ProcessExit): void;
  /** A thing decoded but not stored, with a reason of the source's own ("half-open", "own-process"). */
  drop(reason: string, count: number): void;
}

/** Sums made in the kernel since the last drain: calls, bytes, errors and a latency histogram per operation. */
export interface OperationSums {
  readonly operation: string;
  readonly calls: number;
  readonly errors: number;
  readonly bytes: number;
  readonly totalNs: number;
  /** Count per power of two: buckets[i] counts latencies in [2^i, 2^(i+1)) ns; 40 entries. */
  readonly buckets: readonly number[];
}

/** Pure assembly of one source's events; no I/O, no clock. Made anew at each start, so its state ends with the run. */
export interface Source<N extends SourceName = SourceName> {
  readonly name: N;
  /** Hooks that it cannot do without. */
  readonly needs: readonly Hook[];
  assemble(event: EventOf[N], sink: Sink): void;
  /** Give up on halves that never met. */
  expire?(nowNs: number, sink: Sink): void;
}

/** Settings that a user may change at run time; each source lists its own keys and bounds in its kit. */
export type SourceSettings = Readonly<Record<string, number | string | readonly string[]>>;

/** How one hook of a running source is attached, and why each better way was not taken. */
export interface AttachedHook {
  readonly observes: string;
  readonly way: HookWay['name'];
  readonly refused: readonly { readonly way: HookWay['name']; readonly reason: string }[];
  /** By tracepoints of system calls, which make every system call of the host take a slower way. */
  readonly slowsCalls: boolean;
}

/** A source whose programs are loaded and attached. Made by its kit's start, ended by stop. */
export interface RunningSource {
  readonly source: Source;
  readonly hooks: readonly AttachedHook[];
  /** Tells what was there before the programs were attached (the processes of source exec). Called once, after the start. */
  announce?(sink: Sink): void;
  /** Applies settings without a restart. Throws, or rejects with, a RangeError with one sentence for a bad value. */
  update(settings: SourceSettings): void | Promise<void>;
  /** What was asked for and could not be done while the rest could, one sentence each: targets of source func. */
  problems?(): readonly string[];
  /**
   * Takes what was summed in the kernel since the last call; called about once a second, and once more by stop. What it hands over is
   * of no record, and so in none of the books.
   */
  collect?(sink: Sink, nowNs: number): void;
  /** Counters of <source>_drops summed over CPUs since the start, by reason (lower-case names of enum drop_reason). */
  counts(): Readonly<Record<string, number>>;
  /** Totals since the start. Empty where the source keeps none. */
  sums(): readonly OperationSums[];
  programs(): readonly import('../bpf/native.ts').ProgramStats[];
  mapBytes(): number;
  /** Detaches, drains the last records and unloads; after it no program, map or link is left. */
  stop(): Promise<void>;
}

/** What a source is started with. */
export interface SourceHost {
  readonly native: import('../bpf/native.ts').NativeAddon;
  readonly reader: import('../bpf/native.ts').NativePerfReader;
  readonly symbolizer: import('../bpf/native.ts').NativeSymbolizer;
  readonly features: import('../bpf/native.ts').KernelFeatures;
  /** What to pass to reader.add and reader.remove for this source: its records come back under this number. */
  readonly sourceIndex: number;
  /** Folder of the built .bpf.o files. */
  readonly objectDir: string;
  /** Overrides a source's own pages per CPU (a power of two), for hosts with little memory and for tests of loss. */
  readonly bufferPages?: number;
  /** Own process, left out of what the sources see so that the agent does not feed itself. */
  readonly ownPid: number;
}

/** A source as the table in index.ts lists it. */
export interface SourceKit<N extends SourceName = SourceName> {
  readonly name: N;
  /** One line for people: what it observes. */
  readonly title: string;
  /** Whether `hotspan run` starts it by itself. */
  readonly isDefault: boolean;
  /** Every setting with its default, unit, bounds and one line of help; config, CLI, HTTP and UI are made from it. */
  readonly settings: readonly SettingSpec[];
  /** Its hooks, for `hotspan doctor` to say how each would be attached here. Where they depend on settings: one of each kind. */
  readonly hooks?: readonly Hook[];
  /** Throws a BpfError when no way of a needed hook attaches; nothing is left loaded then. */
  start(host: SourceHost, settings: SourceSettings): Promise<RunningSource>;
}

export interface SettingSpec {
  readonly key: string;
  readonly kind: 'number' | 'duration' | 'text' | 'list';
  readonly unit: string;
  readonly help: string;
  readonly default: number | string | readonly string[];
  readonly min?: number;
  readonly max?: number;
}

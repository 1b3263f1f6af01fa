/**
 * The face of the addon (native/): what the .node file exports, as types. The addon knows no event type, no source and no
 * policy: it opens, loads, attaches, reads and names. Everything throws a BpfError (errors.ts), whose fields are BpfErrorFields.
 */

/** Fields of every error thrown by the addon. */
export interface BpfErrorFields {
  /** What was being done: "open", "load", "attach", "lookup", ... */
  operation: string;
  /** On what: a program, map or file name. */
  object: string;
  /** Positive errno, 0 where none applies. */
  errno: number;
  /** Its name, "EPERM"; empty where none applies. */
  code: string;
  /** What there is to say beyond the errno: the addon's own sentence, or libbpf's last warning. */
  detail?: string;
  /** The verifier's last 64 KiB of words, where a program was refused. */
  verifierLog?: string;
}

export interface ProgramInfo {
  name: string;
  /** ELF section, "fentry/vfs_read". */
  section: string;
  /** libbpf's program type number. */
  type: number;
}

export interface MapInfo {
  name: string;
  type: number;
  keySizeBytes: number;
  valueSizeBytes: number;
  maxEntries: number;
}

/** How a program is attached. `auto`: as its section name says (fentry, fexit, tp_btf, raw_tp). */
export type AttachSpec =
  | { readonly type: 'auto' }
  | { readonly type: 'kprobe'; readonly symbol: string; readonly isReturn: boolean }
  | { readonly type: 'uprobe'; readonly path: string; readonly offset: number; readonly isReturn: boolean; readonly pid?: number }
  | { readonly type: 'tracepoint'; readonly category: string; readonly name: string }
  /** Sampling on every CPU by the software cpu-clock (or hardware cycles); idle is not sampled. */
  | { readonly type: 'perf'; readonly event: 'cpu-clock' | 'cycles'; readonly frequencyHz: number; readonly pid?: number }
  /** Each page fault of all processes, where the kernel counts it: after it was served. */
  | { readonly type: 'page-faults'; readonly isMajor: boolean };

export interface ProgramStats {
  name: string;
  id: number;
  /** Runs and nanoseconds since load; zero while BPF stats are off (see enableProgramStats). */
  runCount: number;
  runTimeNs: number;
  /** BPF_PROG_TYPE_*, of linux/bpf.h. */
  type: number;
  /** Times that the kernel left it out, because it was running on that CPU already (counted from 5.12 on, for all ways from 6.7 on). */
  missedRuns: number;
  /** Of the loaded program, jited, in bytes. */
  memoryBytes: number;
}

export interface NativeLink {
  /** Detaches at once. Idempotent. */
  detach(): void;
}

/** One ELF object of BPF programs and maps. States: opened -> loaded -> closed. */
export interface NativeObject {
  readonly programs: readonly ProgramInfo[];
  readonly maps: readonly MapInfo[];
  /** Before load: leave a program out (false) or in (true). All are in by default. */
  setAutoload(program: string, isLoaded: boolean): void;
  /** Before load: the kernel function that an fentry/fexit program attaches to. Throws ENOENT or ESRCH if BTF has no such function. */
  setAttachTarget(program: string, kernelFunction: string): void;
  setMaxEntries(map: string, maxEntries: number): void;
  /** Before load: a `const volatile` in .rodata, found by its name in BTF; the value must fit the variable's size. */
  setConstant(variable: string, value: number | bigint): void;
  /** Before load: use another loaded object's map in place of one's own of that name. */
  reuseMap(map: string, from: NativeObject, fromMap: string): void;
  load(): void;
  /** May be called more than once for one program (a kprobe on many functions). */
  attach(program: string, spec: AttachSpec): NativeLink;
  /** Runs a program of section "iter/..." once over all that it is for. */
  iterate(program: string): void;
  /** Value bytes (for a per-CPU map: one value per possible CPU, each rounded up to 8 bytes), or undefined where there is no such key. */
  mapLookup(map: string, key: Uint8Array): Buffer | undefined;
  mapUpdate(map: string, key: Uint8Array, value: Uint8Array): void;
  mapDelete(map: string, key: Uint8Array): boolean;
  /**
   * All entries, by batch where the kernel can (5.6 for hash, later for others), else one by one. `isDrained` deletes what is
   * returned; EOPNOTSUPP for arrays, whose entries cannot be deleted.
   */
  mapEntries(map: string, isDrained: boolean): { keys: Buffer; values: Buffer; count: number };
  stats(): ProgramStats[];
  /** Kernel memory of all maps of this object in bytes (memlock of fdinfo); a reused map counts with its owner. */
  mapBytes(): number;
  /**
   * Detaches all links, unloads all, removes its perf buffers from readers (what is in them is still delivered). Idempotent. A loaded
   * object is not collected as garbage: only this, or the end of its thread, ends it.
   */
  close(): void;
}

/**
 * A batch of records in time order. `data` holds the records one after another, record i at offsets[i] with lengths[i]
 * bytes, written by the source that was added as sources[i]. Offsets are multiples of 8. A length is the kernel's: up to 7 bytes of
 * padding more than the program wrote (size_bytes of the event's header is exact). All are valid only until the callback returns:
 * copy to keep. The arrays are as long as the reader's bounds; `count` says how many entries hold.
 */
export interface PerfBatch {
  count: number;
  data: Buffer;
  offsets: Uint32Array;
  lengths: Uint32Array;
  sources: Uint16Array;
}

export interface PerfReaderStats {
  /** Records read from the buffers, and their bytes. */
  received: number;
  receivedBytes: number;
  /** Records that the kernel could not write, by CPU number. Before 6.0 those after the last record of a CPU are told with its next. */
  lostByCpu: number[];
  /** Records delivered after a later one, because their program was interrupted before it had written them. */
  late: number;
  /** Batches that held a record of the source. */
  batches: number;
  /** 0 once removed. */
  bufferBytes: number;
}

/** One thread that drains all buffers on a timer and hands over at most one batch at a time. */
export interface NativePerfReader {
  /** Opens a buffer per online CPU of 2^n pages each for the object's perf event array. `source` comes back in PerfBatch.sources. */
  add(source: number, object: NativeObject, map: string, pagesPerCpu: number): void;
  /**
   * Takes the buffers away from the programs (what they write later is refused, and counted by themselves), delivers what is there and
   * closes the buffers. The promise resolves after the last batch was delivered. The number is free for another add at once.
   */
  remove(source: number): Promise<void>;
  /** Resolves when everything written before the call has been delivered. */
  flush(): Promise<void>;
  /** Also of a source that was removed, until its number is used again. */
  stats(source: number): PerfReaderStats;
  /** Ends the thread and closes all buffers, whatever is in them; pending promises are rejected. Until then the reader keeps its event loop alive. */
  close(): void;
}

export interface PerfReaderOptions {
  /** Milliseconds between two drains. 10 keeps wake-ups at 100 a second. */
  intervalMs: number;
  /** Bounds of one batch. At least 65,536 bytes, so that every record fits. */
  maxRecords: number;
  maxBytes: number;
}

export interface Feature {
  readonly isAvailable: boolean;
  /** Why not, one sentence; empty where available. */
  readonly reason: string;
}

/** What this kernel gives, found out by trying, not by version. */
export interface KernelFeatures {
  readonly release: string;
  readonly btf: Feature;
  readonly kprobe: Feature;
  readonly fentry: Feature;
  readonly tracepoint: Feature;
  readonly rawTracepoint: Feature;
  readonly btfTracepoint: Feature;
  readonly perfCpuClock: Feature;
  readonly hardwareCycles: Feature;
  readonly uprobe: Feature;
  readonly bpfCookie: Feature;
  /** bpf_get_func_ip in kprobes (5.15) and in tracing programs (5.17). */
  readonly kprobeFuncIp: Feature;
  readonly tracingFuncIp: Feature;
  readonly bpfStats: Feature;
  readonly batchMaps: Feature;
}

/** profile.frame.type of the semantic conventions, as far as known; `unresolved` where not even the file is known. */
export type FrameKind = 'kernel' | 'native' | 'go' | 'v8js' | 'jvm' | 'cpython' | 'rust' | 'unresolved';

export interface FrameLine {
  /**
   * Demangled. Without a symbol: "module+0x1234" for the module's file name. Where there is no module "[unknown]+0x..." for a leaf, and
   * "[unknown]" for all callers alike, which are numbers that a broken frame pointer led to.
   */
  name: string;
  /** Source file and line; '' and 0 where not known. */
  file: string;
  line: number;
}

/**
 * One code location. An id never comes to mean another location, and equal locations have equal ids, with two exceptions: code that
 * took the place of other code (JIT functions, kernel modules, BPF programs) gets new ids, noticed once a second; and when millions of
 * locations are held the oldest are forgotten, and get new ids when they are seen again. Ids from 1 to 255 are never given: they are
 * left for frames that are no code.
 */
export interface FrameInfo {
  id: number;
  kind: FrameKind;
  /** Path of the mapped file as the process sees it; "[kernel]", "[vdso]", a kernel module's "[name]"; "[jit]" for perf-map code. */
  module: string;
  /** Hex; '' where the file has none. */
  buildId: string;
  /** Offset in the module: the address that symbol tables use (ELF virtual address), or the address itself for kernel and JIT. */
  address: bigint;
  /** At least one; more than one where functions were inlined, innermost first. */
  lines: FrameLine[];
  /** The name is not from a symbol table: module+offset, or a nearest symbol whose size does not cover the address. */
  isGuess: boolean;
}

/** Addresses to locations to names. Holds the mappings of processes; reads files on its own thread. */
export interface NativeSymbolizer {
  /**
   * Locations of `count` return addresses (u64 little endian, leaf first) of a process, as ids. Synchronous and cheap: a process's
   * mappings are read once and again when an address falls outside them. `isKernel` for kernel addresses (pid is not used).
   * The leaf is looked up as it is, callers at address - 1. Id 0 stands for what could not be told apart any more, after 2^32 locations.
   */
  locate(pid: number, addresses: Uint8Array, isKernel: boolean): Uint32Array;
  /** Names for ids, on the symbolizer's own thread. */
  describe(ids: Uint32Array): Promise<FrameInfo[]>;
  /** The process exec'd: forget its mappings. */
  processChanged(pid: number): void;
  /** The process ended: forget its mappings once what was located is described. */
  processExited(pid: number): void;
  /** Build id (hex) of a process's executable, '' where it has none or the process is gone. */
  executableBuildId(pid: number): string;
  /**
   * Build id of the executable that a process ran when it was seen: from the process while it still runs it, else by its path in the
   * root of its parent or our own, if that is the file with this inode. '' where the file has none, undefined where it cannot be had.
   */
  imageBuildId(pid: number, parentPid: number, path: string, inode: bigint): string | undefined;
  /**
   * Build ids (hex) of files that were described since the last call and have no debug information, neither in themselves nor beside
   * them. Collected from the first call on, at most 1,024 between two.
   */
  missingDebugFiles(): string[];
  /** A debug file for a build id lies at this path now. Code with that build id gets new ids when it is seen again, and lines by it. */
  addDebugFile(buildId: string, path: string): void;
  /** Function symbols in a file whose name matches; `offset` is the file offset that a uprobe takes. At most `limit`. */
  findSymbols(path: string, pattern: string, limit: number): ElfSymbol[];
  /** Kernel functions (text symbols of kallsyms) that match a glob. At most `limit`. */
  findKernelFunctions(pattern: string, limit: number): { name: string; address: bigint }[];
  memory(): { processes: number; modules: number; locations: number; bytes: number };
  close(): void;
}

export interface ElfSymbol {
  name: string;
  offset: number;
  sizeBytes: number;
  isGo: boolean;
  /** File offsets of the function's RET instructions: where a Go function's return is probed, because return trampolines break moving stacks. Empty unless isGo. */
  returnOffsets: number[];
}

/** What the unwinder holds and has done since it was made; bytes are of kernel memory unless said otherwise. */
export interface UnwinderStats {
  /** Whose executable mappings are known, and how many these are. */
  processes: number;
  mappings: number;
  files: number;
  /** Tables in the maps, their rows and bytes. */
  tables: number;
  rows: number;
  tableBytes: number;
  /** Tables that had to go for others, and that found no room. */
  evictions: number;
  refusals: number;
  /** Of blocks: in whole, as used, and at most. */
  blockBytes: number;
  usedBytes: number;
  maxBytes: number;
  /** Of all maps, blocks included. */
  mapBytes: number;
  /** Of the buffers that tell of mappings, in user space. */
  eventBufferBytes: number;
  /** Tables made from files, the time it took, and those taken from the cache on disk. */
  builds: number;
  buildMs: number;
  cacheHits: number;
  /** Files that could not be opened: their code is walked by frame pointers. */
  unreadableFiles: number;
  /** Files whose tables are still to be made. */
  waitingFiles: number;
  /** Mappings, execs, forks and exits told by the kernel, and those that it had no room for. */
  events: number;
  lostEvents: number;
  /** Looks at all processes: one at the start, others after a loss. How long the first took, and until its tables were there. */
  scans: number;
  scanMs: number;
  readyMs: number;
  /** Single processes that were read again. */
  rereads: number;
  /** Processes that found no room in the map. */
  unpublished: number;
  /** Copied stacks that were walked on, of these those that reached the root, and those for which there was no room. */
  resumed: number;
  completed: number;
  refused: number;
  waitingStacks: number;
  waitingBytes: number;
}

/** Keeps what the programs unwind user stacks by: mappings of all processes, and tables of their files (bpf/lib/unwind-table.h). */
export interface NativeUnwinder {
  /** Before load: puts the shared maps in place of the object's own and switches its walk on. False where it does not unwind. */
  share(object: NativeObject): boolean;
  /**
   * Walks on a stack whose walk lacked a mapping or a table: `raw` is struct unwind_resume and the copied stack, as in the record.
   * Resolves once the table is there, or some seconds later, with the further return addresses (u64, towards the root) and why the walk ended.
   * At once, with nothing, where too many wait.
   */
  resume(pid: number, timeNs: number, raw: Uint8Array): Promise<{ addresses: Buffer; end: number }>;
  /** The walk ended at code whose table had no room: it is tried again. */
  want(pid: number, timeNs: number, address: bigint): void;
  stats(): UnwinderStats;
  /** Ends its threads and maps; what is being resumed is rejected. Objects that share the maps keep them till they are closed. Idempotent. */
  close(): void;
}

/** A pointer has 8 bytes and no sign; a structure that is passed by value its size; void 0 bytes. */
export interface ValueType {
  readonly bytes: number;
  readonly isSigned: boolean;
}

export interface KernelFunctionPrototype {
  /** "arg2" for one without a name, "..." where their number varies. */
  readonly arguments: readonly string[];
  /** Of each argument, in the same order. */
  readonly argumentTypes: readonly ValueType[];
  readonly returnsValue: boolean;
  readonly resultType: ValueType;
}

/** Nanoseconds that no statistics of programs count; 0 where a way is not to be had. */
export interface DispatchCost {
  /** A run of a program on the tracepoint of one system call. */
  readonly tracepointNs: number;
  /** A run of a program on a raw or BTF tracepoint. */
  readonly rawNs: number;
  /** Every system call of the host, as long as the tracepoint of any of them is in use. */
  readonly callNs: number;
}

export interface NativeAddon {
  /** How the addon makes its errors in this thread; addon.ts gives BpfError.of. */
  setErrorFactory(makeError: (fields: BpfErrorFields) => Error): void;
  openObject(path: string): NativeObject;
  /** Detaches many links in the time of one: the kernel makes each wait 30-50 ms (from 6.13 on), and they wait together. */
  detachAll(links: readonly NativeLink[]): void;
  createPerfReader(options: PerfReaderOptions, onBatch: (batch: PerfBatch) => void): NativePerfReader;
  createSymbolizer(options: { maxBytes: number }): NativeSymbolizer;
  /** `maxBytes` of tables and lists in kernel memory, 2^20..2^28. `cacheDir`: where tables are kept on disk; '' for nowhere. */
  createUnwinder(options: { maxBytes: number; cacheDir: string }): NativeUnwinder;
  /** Tries each feature with a tiny program. 50-300 ms. */
  probeFeatures(): KernelFeatures;
  /** Number and names of arguments of a kernel function from BTF and whether it returns a value; undefined where BTF has none. */
  kernelFunctionPrototype(name: string): KernelFunctionPrototype | undefined;
  /** Names of a tracepoint's fields in order, without those that all have (common_*); undefined where there is no such tracepoint. */
  tracepointFields(category: string, name: string): string[] | undefined;
  /** BPF_ENABLE_STATS while the link lives (5.8). */
  enableProgramStats(): NativeLink;
  /** What calling a program costs here beyond the program itself; see DispatchCost. On a thread of its own, 0.2 s and 10 ms of CPU. */
  measureDispatch(): Promise<DispatchCost>;
  /** While the link lives, and program statistics are on, every system call of the host is counted. Detaching does not wait. */
  countSystemCalls(): NativeLink;
  systemCallsCounted(): number;
  /** CLOCK_MONOTONIC now and the Unix time at the same moment, in nanoseconds. */
  clockPair(): { monotonicNs: bigint; unixNs: bigint };
  /** Gives free memory and pages of code that lie idle back to the kernel. Bytes of code that were given back. A few ms. */
  releaseMemory(): number;
}

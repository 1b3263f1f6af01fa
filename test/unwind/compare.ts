/** Compares gdb's stack of a thread with hotspan's, frame by frame, and says of what kind a difference is. */

export interface Walk {
  /** Why the walk ended, as in enum unwind_end: ROOT, NO_RULE, ... */
  readonly end: string;
  /** The leaf's instruction pointer and the return addresses above it, innermost first. */
  readonly addresses: readonly bigint[];
}

/** What the file that holds an address says about it; `switch`: a function that goes on on another stack, as no DWARF can describe. */
export type Coverage = 'rules' | 'none' | 'switch';

export type Difference =
  /** gdb had no call frame information for the frame below and guessed from the function's first instructions. Not comparable. */
  | 'gdb-guessed'
  /** gdb looked for the caller on the stack that was left (Go's runtime, cgo). Not comparable. */
  | 'gdb-wrong-stack'
  /** The walk ended before gdb did, where there is call frame information: it should have gone on. */
  | 'walk-short'
  /** gdb ended before the walk did, which then reached a root. */
  | 'gdb-short'
  /** Both went on from the same frame that has call frame information, to different addresses. */
  | 'different';

export interface Comparison {
  /** Frames that both have a well-founded opinion about. */
  readonly compared: number;
  readonly equal: number;
  readonly difference?: Difference;
  /** Number of the first frame that differs. */
  readonly at: number;
}

/** gdb shows what a root returns to, an address of 0 or nothing's, as a frame more. */
function withoutRootMarks(addresses: readonly bigint[]): readonly bigint[] {
  let length = addresses.length;
  while (length > 0 && (addresses[length - 1] ?? 0n) < 4096n) length -= 1;
  return addresses.slice(0, length);
}

/** `coverageOf` is asked about the code of the frame with that number; it is the referee where the two disagree. */
export function compareStacks(gdbAddresses: readonly bigint[], walk: Walk, coverageOf: (frame: number) => Coverage): Comparison {
  const gdb = withoutRootMarks(gdbAddresses);
  const ours = withoutRootMarks(walk.addresses);
  const common = Math.min(gdb.length, ours.length);
  let at = 0;
  while (at < common && gdb[at] === ours[at]) at += 1;
  if (at === gdb.length && at === ours.length) return { compared: at, equal: at, at };
  const coverage = at > 0 ? coverageOf(at - 1) : 'rules';
  if (coverage === 'none') return { compared: at, equal: at, difference: 'gdb-guessed', at };
  if (coverage === 'switch') return { compared: at, equal: at, difference: 'gdb-wrong-stack', at };
  if (at === gdb.length) return { compared: at, equal: at, difference: 'gdb-short', at };
  return { compared: gdb.length, equal: at, difference: at === ours.length ? 'walk-short' : 'different', at };
}

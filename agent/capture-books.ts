/**
 * The books of one source: what its programs saw, what reached the agent, and what became of every record. The ledger is written
 * from them: seen = stored + lost by reason + in flight.
 */

/** Counters of <source>_drops that are not losses. */
const notLost = new Set(['seen', 'emitted']);

export class SourceBooks {
  /** Records that came out of the perf buffer, and those that decoded. */
  received = 0;
  decoded = 0;
  /** Records whose results were handed to the output. */
  stored = 0;
  /** Records whose stack waits for names. */
  pending = 0;
  /** 1 while a record is being assembled and nothing has taken it over. Not for readers. */
  inHand = 0;
  /** Records given up in user space, by reason. */
  readonly dropped = new Map<string, number>();
  /** Records whose user stack has not its true root, by why its walk ended. They are stored: no loss. */
  readonly incomplete = new Map<string, number>();
  /** Kernel counters by reason, runs before this one included. */
  private readonly kernel = new Map<string, number>();
  private readonly closedRuns = new Map<string, number>();
  /** Seen and lost outside of records: samples made of sums. */
  private outside = 0;
  /** In the kernel or its buffers at the last read. */
  private onTheWay = 0;

  drop(reason: string, count: number): void {
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + count);
    this.inHand = Math.max(0, this.inHand - count);
  }

  countIncomplete(end: string): void {
    this.incomplete.set(end, (this.incomplete.get(end) ?? 0) + 1);
  }

  /** Something was seen and lost that is in none of the kernel's counters. */
  loseOutside(reason: string, count: number): void {
    this.outside += count;
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + count);
  }

  /** Gives up records that waited for another after they had been assembled, and so were counted as stored. */
  giveUp(reason: string, count: number): void {
    this.drop(reason, count);
    this.stored -= count;
  }

  /**
   * Takes in the counters of the current run. What is in flight is fixed at this moment: with counters of before and records of
   * after, it would come out too small.
   */
  read(counts: Readonly<Record<string, number>>): void {
    for (const [reason, count] of Object.entries(counts)) {
      this.kernel.set(reason, (this.closedRuns.get(reason) ?? 0) + count);
    }
    this.onTheWay = this.countOnTheWay();
  }

  /** Takes in the last counters of a run that has ended. Calls that were still open at the end are told as lost. */
  close(counts: Readonly<Record<string, number>>): void {
    const finished = Object.entries(counts).reduce((sum, [reason, count]) => (reason === 'seen' ? sum : sum + count), 0);
    const open = Math.max(0, (counts.seen ?? 0) - finished);
    this.read(counts);
    this.kernel.set('open_at_stop', (this.kernel.get('open_at_stop') ?? 0) + open);
    for (const [reason, count] of this.kernel) this.closedRuns.set(reason, count);
    this.onTheWay = this.countOnTheWay();
  }

  seen(): number {
    return (this.kernel.get('seen') ?? 0) + this.outside;
  }

  emitted(): number {
    return this.kernel.get('emitted') ?? 0;
  }

  /** Lost or left out, by reason: the kernel's counters and our own. */
  lost(): Map<string, number> {
    const lost = new Map<string, number>();
    for (const [reason, count] of this.kernel) if (!notLost.has(reason) && count > 0) lost.set(reason, count);
    for (const [reason, count] of this.dropped) lost.set(reason, (lost.get(reason) ?? 0) + count);
    return lost;
  }

  /** Calls entered and not returned, records in the perf buffer, and records waiting for names. */
  inFlight(): number {
    return this.onTheWay + this.pending;
  }

  private countOnTheWay(): number {
    let kernelLost = 0;
    for (const [reason, count] of this.kernel) if (!notLost.has(reason)) kernelLost += count;
    return (this.kernel.get('seen') ?? 0) - kernelLost - this.received;
  }
}

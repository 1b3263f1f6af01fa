/**
 * Waits that last: told as they grow, so that a thread that waits for ever is seen. The sum that the kernel makes when such a wait ends
 * has all of it, so what was told before is taken off.
 */

/** A wait as far as it is told: who waits, for what, and where. */
export interface WaitPlace {
  readonly tid: number;
  readonly address: bigint;
  readonly stack: bigint;
}

interface Open {
  sinceNs: number;
  toldNs: number;
  round: number;
}

/** 900 ms, so that a wait that lasts is told in every round of a second. */
const minOpenNs = 900e6;
/** The sum of a wait that has ended comes in one of the next rounds. */
const roundsAfterEnd = 4;

export class OpenWaits {
  private readonly open = new Map<string, Open>();
  /** By place: told of waits whose sum has not come yet. */
  private readonly debts = new Map<string, { ns: number; round: number }>();
  private round = 0;

  /** Begins a round of reading the waits that last. */
  begin(): void {
    this.round += 1;
  }

  /** Nanoseconds to tell of a wait that began at `sinceNs` and lasts. */
  grow(place: WaitPlace, sinceNs: number, nowNs: number): number {
    const key = keyOf(place);
    let open = this.open.get(key);
    if (open === undefined || open.sinceNs !== sinceNs) open = { sinceNs, toldNs: sinceNs, round: this.round };
    this.open.set(key, open);
    open.round = this.round;
    const debt = this.debts.get(key);
    if (debt !== undefined) debt.round = this.round;
    const ns = nowNs - open.toldNs;
    if (ns < minOpenNs) return 0;
    open.toldNs = nowNs;
    this.debts.set(key, { ns: (debt?.ns ?? 0) + ns, round: this.round });
    return ns;
  }

  /** What is new of a sum. */
  close(place: WaitPlace, ns: number): number {
    const key = keyOf(place);
    const debt = this.debts.get(key);
    if (debt === undefined) return ns;
    const paid = Math.min(debt.ns, ns);
    debt.ns -= paid;
    if (debt.ns === 0) this.debts.delete(key);
    return ns - paid;
  }

  /** Forgets waits that are over. */
  finish(): void {
    for (const [key, { round }] of this.open) if (round < this.round) this.open.delete(key);
    for (const [key, { round }] of this.debts) if (this.round - round > roundsAfterEnd) this.debts.delete(key);
  }

  get size(): number {
    return this.open.size + this.debts.size;
  }
}

function keyOf({ tid, address, stack }: WaitPlace): string {
  return `${tid} ${address} ${stack}`;
}

/**
 * The one place that turns kernel time (CLOCK_MONOTONIC, ktime) into Unix time. The offset between the two is sampled again on
 * every `follow`, so a step of the wall clock (NTP, a suspended VM, a person) moves later events and leaves earlier ones alone.
 */

export interface ClockPair {
  /** CLOCK_MONOTONIC and Unix time at the same moment, in nanoseconds. */
  readonly monotonicNs: bigint;
  readonly unixNs: bigint;
}

/**
 * The offset stays until it is off by more than this: moving it with the jitter of every read would let a child span seem to
 * start before its parent.
 */
const toleranceNs = 100_000n;

/** A change above this is a step of the clock; below it, slewing (NTP moves at most 500 us a second). */
const stepNs = 1_000_000n;

export class Clock {
  private offsetNs: bigint;
  private offsetMs: number;
  private readonly readPair: () => ClockPair;
  /** Times the wall clock was seen to move against the monotonic one by more than 1 ms. */
  steps = 0;

  constructor(readPair: () => ClockPair) {
    this.readPair = readPair;
    const pair = readPair();
    this.offsetNs = pair.unixNs - pair.monotonicNs;
    this.offsetMs = Number(this.offsetNs) / 1e6;
  }

  /** Samples the offset again; call about once a second. */
  follow(): void {
    const pair = this.readPair();
    const offsetNs = pair.unixNs - pair.monotonicNs;
    const change = offsetNs > this.offsetNs ? offsetNs - this.offsetNs : this.offsetNs - offsetNs;
    if (change <= toleranceNs) return;
    if (change > stepNs) this.steps += 1;
    this.offsetNs = offsetNs;
    this.offsetMs = Number(offsetNs) / 1e6;
  }

  /** Unix nanoseconds of a ktime in nanoseconds. */
  unixNs(ktimeNs: number): bigint {
    return this.offsetNs + BigInt(Math.trunc(ktimeNs));
  }

  /** Unix milliseconds of a ktime in nanoseconds; cheaper than unixNs, exact to under a microsecond. */
  unixMs(ktimeNs: number): number {
    return this.offsetMs + ktimeNs / 1e6;
  }

  /** Kernel time now, in nanoseconds. */
  nowNs(): number {
    return Number(this.readPair().monotonicNs);
  }
}

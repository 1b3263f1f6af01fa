/**
 * Keeps hotspan within its budget of CPU: measures once a second what its programs and threads cost, decides (budget-control.ts), has
 * the sources follow (source-control.ts), and tells of it in the ledger and the status.
 */

import { availableParallelism } from 'node:os';
import { BudgetControl } from './budget-control.ts';
import { budgetSteps, changesAnything, takenBy } from './budget-steps.ts';
import type { Capture } from './capture.ts';
import type { SourceName } from './events/index.ts';
import { OwnCpu } from './own-cpu.ts';
import type { ProgramMeter } from './program-meter.ts';
import type { GovernorState } from './server/api.ts';
import type { SourceControl } from './source-control.ts';
import { kits } from './sources/index.ts';
import type { StoreWriter } from './store/rows.ts';

export interface GovernorParts {
  readonly capture: Capture;
  readonly meter: ProgramMeter;
  readonly sources: SourceControl;
  readonly store: Pick<StoreWriter, 'ledger'>;
  /** Share of the host's CPU, 0-1; 0: no budget. */
  readonly budget: number;
  /**
   * Time at the start in which the threads decide nothing: what is compiled, loaded and read then is not what it costs to run. The
   * programs do.
   */
  readonly quietMs?: number | undefined;
}

const quietAfterStartMs = 15_000;
const quietAfterSourceMs = 5000;
/** A source is paused only where its programs by themselves take this much of the budget, and of what is above it. */
const worthPausing = { ofBudget: 0.25, ofExcess: 0.25 };
/** Readings that say how much that is. */
const recentReadings = 3;
/** Two looks at the programs that both show more than this many times the budget need no third. */
const alarmAt = 1.5;
/** Readings whose mean is told. */
const toldReadings = 10;

export class Governor {
  private readonly parts: GovernorParts;
  private readonly control: BudgetControl;
  private readonly ownCpu = new OwnCpu();
  private budget: number;
  private last: { readonly timeMs: number; readonly micros: number } | undefined;
  private readonly readings: number[] = [];
  private quietUntilMs: number;
  private changedMs = 0;
  private readonly changes = { up: 0, down: 0 };
  private heldBackSeconds = 0;

  constructor(parts: GovernorParts) {
    this.parts = parts;
    this.budget = parts.budget;
    this.quietUntilMs = performance.now() + (parts.quietMs ?? quietAfterStartMs);
    this.control = new BudgetControl(parts.budget);
    this.setAlarm();
  }

  private setAlarm(): void {
    const share = this.budget === 0 ? Number.POSITIVE_INFINITY : alarmAt * this.budget;
    this.parts.meter.alarmAbove(share, cost => this.alarmed(cost));
  }

  /** The programs alone are far above the budget: the second's end is not waited for. */
  private alarmed(cost: number): void {
    const { change } = this.control.takeSure(cost, budgetSteps.length, level => this.saves(level));
    this.note(change, Date.now());
    if (change !== 0) void this.parts.sources.hold(this.control.level);
  }

  setBudget(budget: number): void {
    if (budget === this.budget) return;
    this.budget = budget;
    this.control.setBudget(budget);
    this.setAlarm();
  }

  /** Somebody starts a source: it is not refused, and what it costs at first decides nothing. */
  makeRoomFor(name: SourceName): Promise<void> {
    this.quieten();
    this.control.restart();
    const before = this.control.level;
    const pause = budgetSteps.findIndex(step => step.source === name && 'isPause' in step);
    if (pause >= 0) this.control.lowerTo(pause);
    this.note(this.control.level - before, Date.now());
    return this.parts.sources.hold(this.control.level);
  }

  /** What threads cost from now on for a while is that of a source's start, and decides nothing. */
  private quieten(): void {
    const quietMs = Math.min(quietAfterSourceMs, this.parts.quietMs ?? quietAfterSourceMs);
    this.quietUntilMs = Math.max(this.quietUntilMs, performance.now() + quietMs);
  }

  /** Call once a second. */
  everySecond(nowMs: number): void {
    const cost = this.measure();
    if (cost === undefined) return;
    this.readings.push(cost.threads + cost.programs);
    if (this.readings.length > toldReadings) this.readings.shift();
    this.decide(performance.now() < this.quietUntilMs ? cost.programs : cost.threads + cost.programs, nowMs);
    this.tellLedger(nowMs);
    // Also without a change: people set things meanwhile.
    void this.parts.sources.hold(this.control.level);
  }

  private decide(cost: number, nowMs: number): void {
    const { change } = this.control.take(cost, budgetSteps.length, level => this.saves(level));
    this.note(change, nowMs);
  }

  private note(change: number, nowMs: number): void {
    if (change === 0) return;
    // To load a source that was paused costs more than a second of its work, and would pause it again.
    const undone = budgetSteps.slice(this.control.level, this.control.level - change);
    if (undone.some(step => 'isPause' in step)) this.quieten();
    this.changedMs = nowMs;
    const direction = change > 0 ? 'up' : 'down';
    this.changes[direction] += Math.abs(change);
    this.parts.store.ledger('governor', change > 0 ? 'steps_up' : 'steps_down', Math.abs(change), nowMs);
  }

  private tellLedger(nowMs: number): void {
    if (this.control.level === 0) return;
    this.heldBackSeconds += 1;
    this.parts.store.ledger('governor', 'seconds_held_back', 1, nowMs);
    for (const name of Object.keys(kits) as SourceName[]) {
      if (this.parts.sources.isPaused(name)) this.parts.store.ledger('governor', `seconds_${name}_paused`, 1, nowMs);
    }
  }

  /** Since the last call, shares of the host's CPU; undefined at the first. */
  private measure(): { threads: number; programs: number } | undefined {
    const now = { timeMs: performance.now(), micros: this.ownCpu.readMicros() };
    const { last } = this;
    this.last = now;
    if (last === undefined || now.timeMs <= last.timeMs) return undefined;
    const threads = Math.max(0, now.micros - last.micros) / ((now.timeMs - last.timeMs) * 1000 * availableParallelism());
    return { threads, programs: this.parts.meter.lastShare() };
  }

  /** About what the level's step takes from the cost where those before it are in force; 0 where it changes nothing. */
  private saves(level: number): number {
    const step = budgetSteps[level - 1];
    if (step === undefined || !this.helps(level)) return 0;
    const taken = budgetSteps.slice(this.control.level, level - 1).filter(({ source }) => source === step.source);
    const left = taken.reduce((rest, before) => rest * (1 - takenBy(before)), this.parts.meter.lastShareOf(step.source));
    return Math.max(Number.MIN_VALUE, left * takenBy(step));
  }

  private helps(level: number): boolean {
    const step = budgetSteps[level - 1];
    if (step === undefined) return false;
    const { sources, meter } = this.parts;
    if (!sources.isWanted(step.source)) return false;
    if ('isPause' in step) {
      if (sources.isPaused(step.source)) return true;
      const excess = mean(this.readings.slice(-recentReadings)) - this.budget;
      const { ofBudget, ofExcess } = worthPausing;
      return meter.lastShareOf(step.source) >= Math.max(ofBudget * this.budget, ofExcess * excess);
    }
    return changesAnything(level, sources.askedOf(step.source));
  }

  state(): GovernorState {
    const { sources } = this.parts;
    const names = (Object.keys(kits) as SourceName[]).filter(name => sources.isWanted(name));
    return {
      budgetShare: this.budget,
      costShare: mean(this.readings),
      level: this.control.level,
      levels: budgetSteps.length,
      changedMs: this.changedMs,
      stepsUp: this.changes.up,
      stepsDown: this.changes.down,
      secondsHeldBack: this.heldBackSeconds,
      paused: names.filter(name => sources.isPaused(name)),
      limits: names
        .filter(name => !sources.isPaused(name))
        .flatMap(source => sources.differences(source).map(limit => ({ source, ...limit }))),
    };
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

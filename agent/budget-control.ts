/**
 * Decides how far hotspan holds itself back to keep its budget: a level, 0 for not at all, that follows the cost measured each
 * second. Up fast, where the cost is above the budget; down slowly, one level at a time, where it is well below, and ever more slowly
 * where a step down was followed by one up. Pure: no clock, no measuring, no applying.
 */

/** Up where the cost of some seconds is above this much of the budget... */
const upAt = 1.1;
/** ...and down where that of the whole time of waiting was below this much of it. */
const downAt = 0.7;
/** Readings that decide: their median, so that one second of reading a new program's symbols decides nothing. */
const readingsUp = 3;
/** Far above the budget two readings are enough, or one that was looked at twice; and as many steps are taken as it seems to need. */
const farAbove = 1.5;
/** Of the budget: where the steps that are taken at once for that should lead. */
const aimsAt = 0.9;
/** Steps taken at once without asking what they bring. */
const mostSteps = 6;
/** Longest memory of readings, and first time of waiting before a step down, in readings. */
const readingsDown = 10;
/** A step down that is followed by one up this many readings later was too early: the next waits twice as long. */
const regretReadings = 30;
const longestWait = 320;
/** Of the cost that a level had when it was reached: below it the load is another one. */
const easedAt = 0.5;

export interface BudgetDecision {
  readonly level: number;
  /** Levels gone up; negative: down; 0: nothing changes. */
  readonly change: number;
}

export class BudgetControl {
  private budget: number;
  private current = 0;
  private readonly readings: number[] = [];
  /** Readings since the last change. */
  private sinceChange = 0;
  /** By level, how long a step down to it waits where that was too early before. */
  private readonly waits = new Map<number, number>();
  private isAfterDown = false;
  /** What the first readings at this level came to; 0 until there are enough. */
  private costHere = 0;

  /** Share of the host's CPU, 0-1; 0: no budget. */
  constructor(budget: number) {
    this.budget = budget;
  }

  get level(): number {
    return this.current;
  }

  setBudget(budget: number): void {
    this.budget = budget;
    this.restart();
  }

  /** Somebody wants more than this level allows: from there on it is judged anew. */
  lowerTo(level: number): void {
    if (level < this.current) this.moveTo(level, false);
  }

  /** Begins to measure anew: what was just started costs more than it will. */
  restart(): void {
    this.readings.length = 0;
    this.sinceChange = 0;
  }

  /**
   * One reading of the cost, a share of the host's CPU. `saves` says of a level's step, 1 for the first, about how much of that it
   * would take away from where the steps before it lead; 0 where it changes nothing: such steps are passed over.
   */
  take(cost: number, levels: number, saves: (level: number) => number): BudgetDecision {
    const before = this.current;
    if (this.budget === 0) {
      this.moveTo(0, false);
      return { level: 0, change: -before };
    }
    this.sinceChange += 1;
    // The second in which the last change fell has some of both.
    if (this.sinceChange > 1 || before === 0) this.readings.push(cost);
    if (this.readings.length > readingsDown) this.readings.shift();
    this.learn();
    const typical = this.typical();
    const steps = this.stepsUp(typical);
    if (steps > 0) this.goUp({ steps, cost: typical }, levels, saves);
    else this.goDown(saves);
    return { level: this.current, change: this.current - before };
  }

  /** A cost that is no chance of the moment: it decides by itself, where it is far above the budget. Otherwise nothing changes. */
  takeSure(cost: number, levels: number, saves: (level: number) => number): BudgetDecision {
    const before = this.current;
    if (this.budget > 0 && cost > farAbove * this.budget) this.goUp({ steps: 1, cost }, levels, saves);
    return { level: this.current, change: this.current - before };
  }

  private learn(): void {
    // The last step down stood: the next to this level is a new question.
    if (this.isAfterDown && this.sinceChange > regretReadings) this.waits.delete(this.current);
    if (this.readings.length < readingsDown) return;
    if (this.costHere === 0) this.costHere = mean(this.readings);
    // The host does less than when this level was reached: what was learnt of waiting is of then.
    else if (mean(this.readings) < easedAt * this.costHere) this.waits.clear();
  }

  /** What decides whether there is to be less: 0 while too little is known. */
  private typical(): number {
    const recent = this.readings.slice(-readingsUp);
    const lastTwo = Math.min(...recent.slice(-2));
    const long = this.readings.length < readingsDown ? 0 : mean(this.readings);
    if (recent.length >= 2 && lastTwo > farAbove * this.budget) return Math.max(lastTwo, long);
    return Math.max(recent.length < readingsUp ? 0 : median(recent), long);
  }

  /** How many steps the cost asks for: the further above the budget, the more. */
  private stepsUp(cost: number): number {
    const ratio = cost / this.budget;
    return ratio <= upAt ? 0 : Math.min(mostSteps, Math.ceil((ratio - 1) * 4));
  }

  private isCalm(wait: number): boolean {
    return (
      this.sinceChange > wait &&
      this.readings.length === readingsDown &&
      mean(this.readings) < downAt * this.budget &&
      median(this.readings.slice(-readingsUp)) < downAt * this.budget
    );
  }

  private goUp(asked: { steps: number; cost: number }, levels: number, saves: (level: number) => number): void {
    const isFar = asked.cost > farAbove * this.budget;
    let [level, reached, left, expected] = [this.current, this.current, asked.steps, asked.cost];
    while (level < levels && (left > 0 || (isFar && expected > aimsAt * this.budget))) {
      level += 1;
      const saved = saves(level);
      if (saved <= 0) continue;
      reached = level;
      left -= 1;
      expected -= saved;
    }
    // Nothing that is left would help.
    if (reached === this.current) return;
    if (this.isAfterDown && this.sinceChange <= regretReadings) {
      this.waits.set(this.current, Math.min(longestWait, 2 * (this.waits.get(this.current) ?? readingsDown)));
    }
    this.moveTo(reached, false);
  }

  private goDown(saves: (level: number) => number): void {
    if (this.current === 0) return;
    let level = this.current;
    while (level > 1 && saves(level) <= 0) level -= 1;
    if (this.isCalm(this.waits.get(level - 1) ?? readingsDown)) this.moveTo(level - 1, true);
  }

  private moveTo(level: number, isDown: boolean): void {
    if (level === this.current) return;
    this.current = level;
    this.isAfterDown = isDown;
    this.costHere = 0;
    this.restart();
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

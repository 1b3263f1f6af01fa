/** The governor's decisions over simulated hosts: a load, what each level makes of its cost, and noise; one reading a second. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BudgetControl } from './budget-control.ts';

const budget = 0.02;
/** Of the cost without any step; the last is a pause. */
const curve = [1, 0.93, 0.86, 0.8, 0.72, 0.64, 0.57, 0.5, 0.44, 0.38, 0.33, 0.28, 0.24, 0.1, 0.02];

interface Second {
  readonly cost: number;
  readonly level: number;
  readonly change: number;
}

/** `load` gives the cost without steps at each second. The noise is the same at each run. */
function simulate(
  control: BudgetControl,
  seconds: number,
  load: (second: number) => number,
  more: { curve?: readonly number[]; noise?: number; helps?: (level: number) => boolean; guess?: number } = {},
): Second[] {
  const steps = more.curve ?? curve;
  const saves = (level: number, cost: number): number => {
    const share = (steps[level - 1] ?? 0) - (steps[level] ?? 0);
    return more.helps?.(level) === false ? 0 : Math.max(1e-12, share * cost * (more.guess ?? 1));
  };
  let seed = 7;
  const random = (): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed / 2 ** 31 - 0.5;
  };
  return Array.from({ length: seconds }, (_, second) => {
    const cost = load(second) * (steps[control.level] ?? 0) * (1 + (more.noise ?? 0.2) * random());
    const { level, change } = control.take(cost, steps.length - 1, level => saves(level, load(second)));
    return { cost, level, change };
  });
}

function meanCost(seconds: readonly Second[]): number {
  return seconds.reduce((sum, { cost }) => sum + cost, 0) / seconds.length;
}

function changes(seconds: readonly Second[]): number {
  return seconds.filter(({ change }) => change !== 0).length;
}

test('below the budget nothing is held back', () => {
  const run = simulate(new BudgetControl(budget), 600, () => 0.015);
  assert.equal(changes(run), 0);
});

test('through a tenfold step of the load the cost comes under the budget within seconds and stays there, and comes back', () => {
  const control = new BudgetControl(budget);
  const load = (second: number) => (second >= 60 && second < 360 ? 0.07 : 0.007);
  const run = simulate(control, 1000, load);
  assert.equal(run[59]?.level, 0);
  const firstOver = run.findIndex(({ cost }) => cost > budget);
  const held = run.slice(firstOver).findIndex(({ cost }) => cost < budget + 0.005);
  assert.ok(held <= 15, `${held} s over the budget`);
  for (let from = firstOver + held; from < 350; from += 10) {
    const cost = meanCost(run.slice(from, from + 10));
    assert.ok(cost < budget + 0.005, `${cost} in the ten seconds from ${from}`);
  }
  assert.equal(run.at(-1)?.level, 0, 'all is given back');
  assert.ok(changes(run.slice(360)) <= curve.length, 'each step is taken back once');
});

test('far above the budget it takes at once as many steps as it needs, and not many more where the guess of each is wrong', () => {
  const needed = curve.findIndex(part => part * 0.07 <= budget);
  for (const guess of [0.5, 1, 1.5]) {
    const control = new BudgetControl(budget);
    const run = simulate(control, 4, () => 0.07, { guess, noise: 0 });
    assert.equal(
      run.findIndex(({ change }) => change !== 0),
      1,
      'the second reading decides',
    );
    assert.ok(control.level >= Math.min(needed, 6) && control.level < curve.length, `level ${control.level} at ${guess}`);
    if (guess === 1) assert.ok(control.level >= needed && control.level <= needed + 1, `level ${control.level}`);
  }
});

test('what two looks have shown decides without a reading, but only far above the budget', () => {
  const control = new BudgetControl(budget);
  const saves = (level: number): number => 0.07 * ((curve[level - 1] ?? 0) - (curve[level] ?? 0));
  assert.equal(control.takeSure(0.028, curve.length - 1, saves).change, 0);
  const { level, change } = control.takeSure(0.07, curve.length - 1, saves);
  assert.equal(change, level);
  assert.ok(0.07 * (curve[level] as number) < budget, `level ${level}`);
  assert.ok(0.07 * (curve[level - 2] as number) > 0.9 * budget, `level ${level} is more than was needed`);
  control.setBudget(0);
  assert.equal(control.takeSure(0.07, curve.length - 1, saves).change, 0);
});

test('a steady load does not make it swing, wherever it lies', () => {
  for (let load = 0.005; load < 0.5; load *= 1.13) {
    const run = simulate(new BudgetControl(budget), 1800, () => load);
    const late = run.slice(600);
    const cost = meanCost(late);
    assert.ok(changes(late) <= 12, `${changes(late)} changes in 20 minutes at a load of ${load}`);
    if (load * (curve.at(-1) ?? 0) < budget) assert.ok(cost < budget + 0.005, `${cost} at a load of ${load}`);
  }
});

test('where a step takes more than the space between the two thresholds, it is tried again ever more seldom', () => {
  const cliff = [1, 0.1];
  const run = simulate(new BudgetControl(budget), 3600, () => 0.06, { curve: cliff });
  assert.ok(changes(run) <= 2 * 16, `${changes(run)} changes in an hour`);
  assert.ok(meanCost(run.slice(60)) < budget);
  // The same where steps lie between that do not help here.
  const far = [1, 1, 1, 0.1];
  const rare = simulate(new BudgetControl(budget), 3600, () => 0.06, { curve: far, helps: level => level === 3 });
  assert.ok(changes(rare) <= 2 * 16, `${changes(rare)} changes in an hour`);
});

test('one second alone decides nothing', () => {
  const run = simulate(new BudgetControl(budget), 600, second => (second % 60 === 30 ? 0.08 : 0.012), { noise: 0.05 });
  assert.equal(changes(run), 0);
});

test('steps that would not help are passed over, and where none would, the level stays', () => {
  const control = new BudgetControl(budget);
  simulate(control, 4, () => 0.025, { helps: level => level === 5, noise: 0 });
  assert.equal(control.level, 5);
  const idle = new BudgetControl(budget);
  assert.equal(changes(simulate(idle, 60, () => 0.2, { helps: () => false })), 0);
});

test('without a budget everything is given back at once', () => {
  const control = new BudgetControl(budget);
  simulate(control, 30, () => 0.2);
  assert.ok(control.level > 5);
  control.setBudget(0);
  assert.deepEqual(control.take(0.2, 15, () => 1).level, 0);
});

test('who asks for more gets it, and the cost since then decides', () => {
  const control = new BudgetControl(budget);
  simulate(control, 60, () => 0.07);
  const level = control.level;
  control.lowerTo(3);
  assert.equal(control.level, 3);
  control.lowerTo(5);
  assert.equal(control.level, 3, 'it is never raised by that');
  assert.equal(control.take(0.07 * (curve[3] as number), curve.length - 1, () => 1).change, 0);
  simulate(control, 60, () => 0.07);
  assert.ok(Math.abs(control.level - level) <= 2);
});

/**
 * What hotspan does to keep its budget, in the order in which it does it: each step lowers a rate or raises a floor of one source, and
 * the last pause sources. A step never gives more than the user asked for, and undone it leaves exactly that.
 *
 * Totals stay right: a CPU sample weighs the period that it was taken with, calls below the minimum stay in the sums of calls, bytes
 * and latencies, and waits without a stack stay in the time of their thread. What a paused source does not see is missing, and the
 * ledger tells for how long.
 */

import type { SourceName } from './events/index.ts';
import type { SourceSettings } from './sources/source.ts';

export interface SettingStep {
  readonly source: SourceName;
  readonly setting: string;
  /** Of a rate: at most this. Of a floor: at least this. In the setting's own unit. */
  readonly atMost?: number;
  readonly atLeast?: number;
  /** Of what the source's programs cost before the step, about so much goes with it: 0-1, a guess that the next readings correct. */
  readonly takes: number;
}

export interface PauseStep {
  readonly source: SourceName;
  readonly isPause: true;
}

export type BudgetStep = SettingStep | PauseStep;

export const budgetSteps: readonly BudgetStep[] = [
  // Detail before totals: first stacks of waits that say little, and calls too fast to matter.
  { source: 'sched', setting: 'floor', atLeast: 20, takes: 0.1 },
  { source: 'sched', setting: 'stacks', atMost: 500, takes: 0.1 },
  { source: 'lock', setting: 'stacks', atMost: 500, takes: 0.1 },
  { source: 'fault', setting: 'stacks', atMost: 500, takes: 0.1 },
  { source: 'mem', setting: 'stacks', atMost: 500, takes: 0.1 },
  { source: 'block', setting: 'stacks', atMost: 500, takes: 0.1 },
  { source: 'tcp', setting: 'stacks', atMost: 500, takes: 0.1 },
  { source: 'file', setting: 'min', atLeast: 500, takes: 0.05 },
  { source: 'cpu', setting: 'hz', atMost: 49, takes: 0.5 },
  { source: 'sched', setting: 'floor', atLeast: 500, takes: 0.1 },
  { source: 'func', setting: 'min', atLeast: 100, takes: 0.1 },
  { source: 'file', setting: 'min', atLeast: 5000, takes: 0.05 },
  { source: 'sched', setting: 'stacks', atMost: 0, takes: 0.4 },
  { source: 'sched', setting: 'floor', atLeast: 10_000, takes: 0.1 },
  { source: 'lock', setting: 'stacks', atMost: 0, takes: 0.3 },
  { source: 'fault', setting: 'stacks', atMost: 0, takes: 0.3 },
  { source: 'mem', setting: 'stacks', atMost: 0, takes: 0.3 },
  { source: 'mem', setting: 'mallocs', atMost: 100, takes: 0.5 },
  { source: 'tcp', setting: 'stacks', atMost: 0, takes: 0.3 },
  { source: 'func', setting: 'stack', atMost: 0, takes: 0.3 },
  { source: 'func', setting: 'min', atLeast: 10_000, takes: 0.1 },
  { source: 'cpu', setting: 'hz', atMost: 19, takes: 0.6 },
  // What is left then is what each hit costs by itself.
  { source: 'file', isPause: true },
  { source: 'mem', isPause: true },
  { source: 'fault', isPause: true },
  { source: 'tcp', isPause: true },
  { source: 'lock', isPause: true },
  { source: 'sched', isPause: true },
  { source: 'func', isPause: true },
];

export interface SourceLimits {
  readonly isPaused: boolean;
  readonly settings: SourceSettings;
}

/** What a source runs with where the first `level` steps are in force. */
export function limitedTo(level: number, source: SourceName, asked: SourceSettings): SourceLimits {
  const settings: Record<string, SourceSettings[string]> = { ...asked };
  let isPaused = false;
  for (const step of budgetSteps.slice(0, level)) {
    if (step.source !== source) continue;
    if ('isPause' in step) isPaused = true;
    else settings[step.setting] = limited(step, settings[step.setting]);
  }
  return { isPaused, settings };
}

function limited(step: SettingStep, value: SourceSettings[string] | undefined): SourceSettings[string] {
  if (typeof value !== 'number') throw new TypeError(`setting "${step.setting}" of ${step.source} is no number`);
  return Math.min(step.atMost ?? Infinity, Math.max(step.atLeast ?? -Infinity, value));
}

/** Whether a setting's step changes anything for a source that was asked for with these settings. */
export function changesAnything(level: number, asked: SourceSettings): boolean {
  const step = budgetSteps[level - 1];
  if (step === undefined) return false;
  if ('isPause' in step) return true;
  const before = limitedTo(level - 1, step.source, asked).settings[step.setting];
  return before !== limitedTo(level, step.source, asked).settings[step.setting];
}

/** Of what the source's programs cost, about so much goes with the step. */
export function takenBy(step: BudgetStep): number {
  return 'isPause' in step ? 1 : step.takes;
}

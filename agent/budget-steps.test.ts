/** The table of steps against the sources that it names. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { budgetSteps, changesAnything, limitedTo } from './budget-steps.ts';
import { defaultsOf, kits } from './sources/index.ts';

test('each step names a number setting of its source and a value within its bounds', () => {
  for (const step of budgetSteps) {
    if ('isPause' in step) continue;
    const spec = kits[step.source].settings.find(({ key }) => key === step.setting);
    assert.equal(typeof spec?.default, 'number', `${step.source} ${step.setting}`);
    assert.equal((step.atMost === undefined) !== (step.atLeast === undefined), true, 'a rate or a floor');
    const value = (step.atMost ?? step.atLeast) as number;
    assert.ok(value >= (spec?.min ?? -Infinity) && value <= (spec?.max ?? Infinity), `${step.source} ${step.setting} ${value}`);
  }
});

test('each step takes something from the defaults, and no step gives back', () => {
  for (const [index, step] of budgetSteps.entries()) {
    const asked = defaultsOf(step.source);
    assert.ok(changesAnything(index + 1, asked), `${index + 1}: ${JSON.stringify(step)}`);
    const [before, now] = [limitedTo(index, step.source, asked), limitedTo(index + 1, step.source, asked)];
    if ('isPause' in step) assert.deepEqual([before.isPaused, now.isPaused], [false, true]);
    else if (step.atMost !== undefined) assert.ok(Number(now.settings[step.setting]) < Number(before.settings[step.setting]));
    else assert.ok(Number(now.settings[step.setting]) > Number(before.settings[step.setting]));
  }
});

test('what somebody asked for is never exceeded and, at level 0, untouched', () => {
  const asked = { hz: 10 };
  assert.deepEqual(limitedTo(budgetSteps.length, 'cpu', asked).settings, asked);
  assert.deepEqual(limitedTo(budgetSteps.length, 'cpu', { hz: 1000 }).settings, { hz: 19 });
  assert.deepEqual(limitedTo(0, 'cpu', { hz: 1000 }), { isPaused: false, settings: { hz: 1000 } });
  assert.deepEqual(limitedTo(budgetSteps.length, 'exec', {}), { isPaused: false, settings: {} });
});

/** Source func as the table lists it. */

import { pidSetting } from '../settings.ts';
import type { SettingSpec, SourceKit } from '../source.ts';
import { FuncRun, sharedHooks } from './func-run.ts';

const settings: readonly SettingSpec[] = [
  {
    key: 'targets',
    kind: 'list',
    unit: '',
    help: 'Functions to probe: kernel:FUNCTION or uprobe:/PATH:SYMBOL, where * and ? stand for any characters of the name.',
    default: [],
  },
  {
    key: 'min',
    kind: 'duration',
    unit: 'us',
    help: 'Calls faster than this are counted but not told one by one; 0 tells all.',
    default: 0,
    min: 0,
    max: 60e6,
  },
  { key: 'stack', kind: 'number', unit: '(1 or 0)', help: 'Whether each call comes with its stack.', default: 1, min: 0, max: 1 },
  pidSetting,
];

export const funcKit: SourceKit<'func'> = {
  name: 'func',
  title: 'Calls of functions of the kernel and of programs, as spans',
  isDefault: false,
  settings,
  hooks: sharedHooks,
  start: (host, given) => FuncRun.start(host, settings, given),
};

/** Source fault as the table lists it: its settings, and how its collector is run. */

import { existsSync } from 'node:fs';
import type { NativeObject } from '../../bpf/native.ts';
import { writeFaultSettings } from '../../events/index.ts';
import { FunctionNames } from '../function-names.ts';
import { setStackConstants } from '../known-stacks.ts';
import { startSource } from '../runtime.ts';
import { numberSetting, pidSetting, stacksSetting } from '../settings.ts';
import type { SettingSpec, SourceKit } from '../source.ts';
import { TurningSums } from '../turning-sums.ts';
import { FaultSource, faultHooks } from './fault.ts';
import { FaultCollector } from './fault-collector.ts';

const settings: readonly SettingSpec[] = [
  stacksSetting('Stacks walked at most; faults beyond that are counted without one.'),
  pidSetting,
];

/** 512 KiB per CPU: stacks come in bursts, when a program starts. */
const pagesPerCpu = 128;

export const faultKit: SourceKit<'fault'> = {
  name: 'fault',
  title: 'Page faults by class of memory, and growth and release of resident memory, by stack',
  isDefault: false,
  settings,
  hooks: faultHooks,
  start(host, given) {
    const source = new FaultSource(new FunctionNames(host.symbolizer));
    const sums = new TurningSums('fault', given, (values, epoch) =>
      writeFaultSettings({
        stacksPerSecond: Math.round(numberSetting(values, 'stacks')),
        pid: numberSetting(values, 'pid'),
        epoch,
      }),
    );
    const collector = new FaultCollector({
      stacks: source.stacks,
      sums,
      isAlive: pid => existsSync(`/proc/${pid}`),
    });
    return startSource(
      host,
      {
        source,
        settingSpecs: settings,
        pagesPerCpu,
        configure: (object: NativeObject) => {
          setStackConstants(object, host.ownPid);
          object.setConstant('started_ns', host.native.clockPair().monotonicNs);
        },
        settingsBytes: values => sums.settingsBytes(values),
        collect: (object, sink, nowNs, isLast) => collector.collect(object, sink, nowNs, isLast),
      },
      given,
    );
  },
};

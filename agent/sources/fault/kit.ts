/** Source fault as the table lists it: its settings, and how its collector is run. */

import { existsSync } from 'node:fs';
import type { NativeObject } from '../../bpf/native.ts';
import { writeFaultSettings } from '../../events/index.ts';
import { FunctionNames } from '../function-names.ts';
import { startSource } from '../runtime.ts';
import { numberSetting } from '../settings.ts';
import type { SettingSpec, SourceKit } from '../source.ts';
import { TurningSums } from '../turning-sums.ts';
import { FaultSource, faultHooks } from './fault.ts';
import { FaultCollector } from './fault-collector.ts';

const settings: readonly SettingSpec[] = [
  {
    key: 'stacks',
    kind: 'number',
    unit: 'a second and CPU',
    help: 'Stacks walked at most; faults beyond that are counted without one.',
    default: 2000,
    min: 0,
    max: 1e6,
  },
  { key: 'pid', kind: 'number', unit: 'process id', help: 'Only this process; 0 for all.', default: 0, min: 0, max: 2 ** 22 },
];

/** 512 KiB per CPU: stacks come in bursts, when a program starts. */
const pagesPerCpu = 128;

/** Per CPU: a copied stack serves one fault alone, so that few of them are worth their 16 KiB. */
const copyBytesPerSecond = 256 << 10;

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
          object.setConstant('own_pid', host.ownPid);
          object.setConstant('started_ns', host.native.clockPair().monotonicNs);
          object.setConstant('unwind_copy_bytes_per_second', copyBytesPerSecond);
        },
        settingsBytes: values => sums.settingsBytes(values),
        collect: (object, sink, nowNs, isLast) => collector.collect(object, sink, nowNs, isLast),
      },
      given,
    );
  },
};

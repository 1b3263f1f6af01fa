/** Source sched as the table lists it: its settings, and how its collector is run. */

import type { NativeObject } from '../../bpf/native.ts';
import { writeSchedSettings } from '../../events/index.ts';
import { FunctionNames } from '../function-names.ts';
import { setStackConstants } from '../known-stacks.ts';
import { startSource } from '../runtime.ts';
import { durationNs, numberSetting, pidSetting, stacksSetting } from '../settings.ts';
import type { SettingSpec, SourceKit } from '../source.ts';
import { TurningSums } from '../turning-sums.ts';
import { SchedSource, schedHooks } from './sched.ts';
import { SchedCollector } from './sched-collector.ts';
import { fillCauses, latencySums } from './wait-latencies.ts';

const settings: readonly SettingSpec[] = [
  {
    key: 'floor',
    kind: 'duration',
    unit: 'us',
    help: 'Waits shorter than this are summed without their stack.',
    default: 1,
    min: 0,
    max: 1e6,
  },
  stacksSetting('Stacks walked at most; a wait beyond that is summed without one. 0: no stacks and no wakers.'),
  pidSetting,
];

/** 512 KiB per CPU: stacks come in bursts, when many threads are seen for the first time. */
const pagesPerCpu = 128;

export const schedKit: SourceKit<'sched'> = {
  name: 'sched',
  title: 'Where the wall-clock goes: time on CPU, runnable and blocked of every thread, by cause, stack and waker',
  isDefault: false,
  settings,
  hooks: schedHooks,
  start(host, given) {
    const names = new FunctionNames(host.symbolizer);
    const source = new SchedSource(names);
    const sums = new TurningSums('sched', given, (values, epoch) =>
      writeSchedSettings({
        floorNs: durationNs(settings, values, 'floor'),
        stacksPerSecond: Math.round(numberSetting(values, 'stacks')),
        pid: numberSetting(values, 'pid'),
        epoch,
      }),
    );
    const collector = new SchedCollector({
      source,
      names,
      sums,
    });
    return startSource(
      host,
      {
        source,
        settingSpecs: settings,
        pagesPerCpu,
        configure: (object: NativeObject) => {
          setStackConstants(object, host.ownPid);
          object.setConstant('prev_state_argument', stateArgument(host.native));
        },
        settingsBytes: values => sums.settingsBytes(values),
        fill: fillCauses,
        sums: latencySums,
        collect: (object, sink, nowNs, isLast) => collector.collect(object, sink, nowNs, isLast),
      },
      given,
    );
  },
};

/** Place of prev_state among the tracepoint's arguments; 0 where it has none. The function has its private data before them. */
function stateArgument(native: { kernelFunctionPrototype(name: string): { arguments: readonly string[] } | undefined }): number {
  const names = native.kernelFunctionPrototype('__traceiter_sched_switch')?.arguments ?? [];
  return Math.max(0, names.indexOf('prev_state') - 1);
}

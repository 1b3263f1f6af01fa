/** Source block as the table lists it: its settings, its sums by device, and how its collector is run. */

import type { NativeAddon, NativeObject } from '../../bpf/native.ts';
import { blockSumsBytes, blockSumsKeyBytes, readBlockSums, readBlockSumsKey, writeBlockSettings } from '../../events/index.ts';
import { FunctionNames } from '../function-names.ts';
import { addUp } from '../latency-sums.ts';
import { startSource } from '../runtime.ts';
import { durationNs, numberSetting, pidSetting, stacksSetting } from '../settings.ts';
import type { OperationSums, SettingSpec, SourceKit } from '../source.ts';
import { TurningSums } from '../turning-sums.ts';
import { BlockSource, blockHooks } from './block.ts';
import { BlockCollector } from './block-collector.ts';
import { DeviceNames } from './block-device.ts';

const settings: readonly SettingSpec[] = [
  {
    key: 'min',
    kind: 'duration',
    unit: 'us',
    help: 'Requests faster than this are counted but not told one by one; 0 tells all.',
    default: 1000,
    min: 0,
    max: 60e6,
  },
  stacksSetting('Stacks walked at most; a request beyond that is told without one.'),
  pidSetting,
];

const pagesPerCpu = 64;

/** "write vda": the conventions have no operation of a disk, and one device's latencies say nothing of another's. */
function sumsOf(object: NativeObject, names: DeviceNames): OperationSums[] {
  const { keys, values, count } = object.mapEntries('block_sums', false);
  if (count === 0) return [];
  const valueBytes = values.length / count;
  return Array.from({ length: count }, (_, i) => {
    const { device, operation } = readBlockSumsKey(keys, i * blockSumsKeyBytes);
    const perCpu = values.subarray(i * valueBytes, (i + 1) * valueBytes);
    return addUp(`${operation} ${names.of(device)}`, perCpu, blockSumsBytes, readBlockSums);
  });
}

export const blockKit: SourceKit<'block'> = {
  name: 'block',
  title: 'Requests to disks: who asked, how long they queued and how long the device took, as spans and by stack',
  isDefault: false,
  settings,
  hooks: blockHooks,
  start(host, given) {
    const source = new BlockSource(new FunctionNames(host.symbolizer));
    const names = new DeviceNames();
    const sums = new TurningSums('block', given, (values, epoch) =>
      writeBlockSettings({
        minLatencyNs: durationNs(settings, values, 'min'),
        stacksPerSecond: Math.round(numberSetting(values, 'stacks')),
        pid: numberSetting(values, 'pid'),
        epoch,
      }),
    );
    const collector = new BlockCollector({
      source,
      sums,
    });
    return startSource(
      host,
      {
        source,
        settingSpecs: settings,
        pagesPerCpu,
        configure: object => {
          object.setConstant('own_pid', host.ownPid);
          object.setConstant('request_argument', lastArgument(host.native, 'block_rq_issue'));
          object.setConstant('bio_argument', lastArgument(host.native, 'block_bio_queue'));
        },
        settingsBytes: values => sums.settingsBytes(values),
        sums: object => sumsOf(object, names),
        collect: (object, sink, nowNs, isLast) => collector.collect(object, sink, nowNs, isLast),
      },
      given,
    );
  },
};

/** Place of a tracepoint's last argument: up to 5.10 the queue may come before it. The function has its private data first. */
function lastArgument(native: Pick<NativeAddon, 'kernelFunctionPrototype'>, tracepoint: string): number {
  const { length } = native.kernelFunctionPrototype(`__traceiter_${tracepoint}`)?.arguments ?? [];
  return Math.max(0, length - 2);
}

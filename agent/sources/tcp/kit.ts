/** Source tcp as the table lists it: its settings and its sums. */

import type { NativeObject } from '../../bpf/native.ts';
import { readTcpSums, type TcpOperation, tcpOperation, tcpSumsBytes, writeTcpSettings } from '../../events/index.ts';
import { FunctionNames } from '../function-names.ts';
import { addUp } from '../latency-sums.ts';
import { startSource } from '../runtime.ts';
import { durationNs, numberSetting, pidSetting, stacksSetting } from '../settings.ts';
import type { OperationSums, SettingSpec, SourceKit, SourceSettings } from '../source.ts';
import { TcpSource, tcpHooks } from './tcp.ts';

const settings: readonly SettingSpec[] = [
  {
    key: 'min',
    kind: 'duration',
    unit: 'ms',
    help: 'Connections that lived shorter are counted but not told one by one; 0 tells all.',
    default: 0,
    min: 0,
    max: 3600e3,
  },
  stacksSetting('Stacks walked at most; a connection beyond that is told without one.'),
  pidSetting,
  {
    key: 'netns',
    kind: 'number',
    unit: 'inode of /proc/PID/ns/net',
    help: 'Only this network namespace; 0 for all.',
    default: 0,
    min: 0,
    max: 2 ** 32 - 1,
  },
];

function sumsOf(object: NativeObject): OperationSums[] {
  const key = Buffer.alloc(4);
  return (Object.keys(tcpOperation) as TcpOperation[]).map(operation => {
    key.writeUInt32LE(tcpOperation[operation], 0);
    return addUp(operation, object.mapLookup('tcp_sums', key) ?? Buffer.alloc(0), tcpSumsBytes, readTcpSums);
  });
}

function settingsBytes(given: SourceSettings): Uint8Array {
  return writeTcpSettings({
    minAgeNs: durationNs(settings, given, 'min'),
    stacksPerSecond: Math.round(numberSetting(given, 'stacks')),
    pid: numberSetting(given, 'pid'),
    netns: numberSetting(given, 'netns'),
  });
}

export const tcpKit: SourceKit<'tcp'> = {
  name: 'tcp',
  title: 'TCP connections as spans: whose they are, bytes, retransmits and round trips; connects, accepts and failures summed',
  isDefault: false,
  settings,
  hooks: tcpHooks,
  async start(host, given) {
    const source = new TcpSource(new FunctionNames(host.symbolizer));
    let loaded: NativeObject | undefined;
    const running = await startSource(
      host,
      {
        source,
        settingSpecs: settings,
        pagesPerCpu: 64,
        configure: object => {
          object.setConstant('own_pid', host.ownPid);
          loaded = object;
        },
        settingsBytes,
        sums: sumsOf,
        collect: object => source.stacks.trim(object),
      },
      given,
    );
    try {
      // Now, when nothing that opens or closes is missed any more.
      loaded?.iterate('tcp_seed');
    } catch (error) {
      await running.stop();
      throw error;
    }
    return running;
  },
};

/** Source lock as the table lists it: its settings, the calls that this kernel has, and how its collector is run. */

import type { NativeAddon, NativeObject } from '../../bpf/native.ts';
import { writeLockSettings } from '../../events/index.ts';
import { FunctionNames } from '../function-names.ts';
import { setStackConstants } from '../known-stacks.ts';
import { startSource } from '../runtime.ts';
import { numberSetting, pidSetting, stacksSetting } from '../settings.ts';
import type { Hook, SettingSpec, SourceKit } from '../source.ts';
import { TurningSums } from '../turning-sums.ts';
import { LockSource, lockHooks, newerLockHooks } from './lock.ts';
import { LockCollector } from './lock-collector.ts';
import { LockNames } from './lock-names.ts';

const settings: readonly SettingSpec[] = [
  stacksSetting('Stacks walked at most; a wait beyond that is summed without one. 0: no stacks.'),
  {
    key: 'conditions',
    kind: 'number',
    unit: '(1 or 0)',
    help: 'Whether waits for conditions, semaphores, barriers, ends of threads and work to do are told as well.',
    default: 0,
    min: 0,
    max: 1,
  },
  pidSetting,
];

/** 256 KiB per CPU: a stack is told once. */
const pagesPerCpu = 64;

export const lockKit: SourceKit<'lock'> = {
  name: 'lock',
  title: 'Waits for locks in user space: which lock, where, and who let go of it; and how long it was held then',
  isDefault: false,
  settings,
  hooks: lockHooks,
  start(host, given) {
    const hooks = hooksHere(host.native);
    const source = new LockSource(new FunctionNames(host.symbolizer), hooks);
    const sums = new TurningSums('lock', given, (values, epoch) =>
      writeLockSettings({
        stacksPerSecond: Math.round(numberSetting(values, 'stacks')),
        epoch,
        pid: numberSetting(values, 'pid'),
        hasConditions: numberSetting(values, 'conditions') > 0 ? 1 : 0,
      }),
    );
    const collector = new LockCollector({
      source,
      names: new LockNames(),
      sums,
    });
    const wanted = new Set(hooks.flatMap(hook => hook.ways.flatMap(way => way.programs.map(({ program }) => program))));
    return startSource(
      host,
      {
        source,
        settingSpecs: settings,
        pagesPerCpu,
        configure: (object: NativeObject) => {
          for (const { name } of object.programs) if (!wanted.has(name)) object.setAutoload(name, false);
          setStackConstants(object, host.ownPid);
        },
        settingsBytes: values => sums.settingsBytes(values),
        collect: (object, sink, nowNs, isLast) => collector.collect(object, sink, nowNs, isLast),
      },
      given,
    );
  },
};

/** With the calls that this kernel has beside futex. */
function hooksHere(native: Pick<NativeAddon, 'kernelFunctionPrototype'>): Hook[] {
  const prefix = `__${process.arch === 'arm64' ? 'arm64' : 'x64'}_sys_`;
  const newer = Object.entries(newerLockHooks).filter(([call]) => native.kernelFunctionPrototype(prefix + call) !== undefined);
  return [...lockHooks, ...newer.map(([, hook]) => hook)];
}

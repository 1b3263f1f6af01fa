/** How source cpu is started: its sampling frequency can be changed while it runs. */

import { attachWay, type Ladder } from '../ladder.ts';
import { startSource } from '../runtime.ts';
import { numberSetting, resolveSettings } from '../settings.ts';
import type { SettingSpec, SourceKit, SourceSettings } from '../source.ts';
import { CpuSource, samplingWay } from './cpu.ts';

const settings: readonly SettingSpec[] = [
  {
    key: 'hz',
    kind: 'number',
    unit: 'Hz',
    help: 'Samples per second on each CPU that is not idle. 99 keeps out of step with work that runs on whole hundredths.',
    default: 99,
    min: 1,
    max: 10_000,
  },
];

/** 512 KiB per CPU: at 10 kHz and 1 KiB a sample, the records of 50 ms, or 30 copies of stacks whose tables are to come. */
const pagesPerCpu = 128;

export const cpuKit: SourceKit<'cpu'> = {
  name: 'cpu',
  title: 'Where the CPUs spend their time: samples of every process and the kernel, with stacks',
  isDefault: true,
  settings,
  hooks: new CpuSource(99).needs,
  start(host, given) {
    let frequencyHz = frequencyOf(resolveSettings(settings, given));
    const plan = {
      source: new CpuSource(frequencyHz),
      settingSpecs: settings,
      pagesPerCpu,
      applied(ladder: Ladder, changed: SourceSettings): void {
        const wantedHz = frequencyOf(changed);
        if (wantedHz === frequencyHz) return;
        resample(ladder, wantedHz, frequencyHz);
        frequencyHz = wantedHz;
      },
    };
    return startSource(host, plan, given);
  },
};

/** The kernel takes whole numbers. */
function frequencyOf(resolved: SourceSettings): number {
  return Math.round(numberSetting(resolved, 'hz'));
}

/** Detaches before it attaches: for a moment nothing is sampled, where the other order would count that moment twice. */
function resample(ladder: Ladder, wantedHz: number, currentHz: number): void {
  for (const link of ladder.links[0] ?? []) link.detach();
  try {
    ladder.links[0] = attachWay(ladder.object, samplingWay(wantedHz));
  } catch (error) {
    ladder.links[0] = attachWay(ladder.object, samplingWay(currentHz));
    throw error;
  }
}

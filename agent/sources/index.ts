/** The table of sources: one line each. A source that bpf/ has and this table has not is a compile error that names it. */

import type { SourceName } from '../events/index.ts';
import { blockKit } from './block/kit.ts';
import { cpuKit } from './cpu/kit.ts';
import { execKit } from './exec/kit.ts';
import { faultKit } from './fault/kit.ts';
import { fileKit } from './file/kit.ts';
import { funcKit } from './func/kit.ts';
import { lockKit } from './lock/kit.ts';
import { memKit } from './mem/kit.ts';
import { schedKit } from './sched/kit.ts';
import type { SourceKit, SourceSettings } from './source.ts';
import { tcpKit } from './tcp/kit.ts';

/** In the order in which people are shown them. */
export const kits = {
  cpu: cpuKit,
  exec: execKit,
  file: fileKit,
  func: funcKit,
  sched: schedKit,
  lock: lockKit,
  fault: faultKit,
  mem: memKit,
  block: blockKit,
  tcp: tcpKit,
} as const satisfies { readonly [N in SourceName]: SourceKit<N> };

/** Every setting of a source with its default. */
export function defaultsOf(name: SourceName): SourceSettings {
  return Object.fromEntries(kits[name].settings.map(spec => [spec.key, spec.default]));
}

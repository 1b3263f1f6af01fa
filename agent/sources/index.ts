/** The table of sources: one line each. A source that bpf/ has and this table has not is a compile error that names it. */

import type { SourceName } from '../events/index.ts';
import { cpuKit } from './cpu/kit.ts';
import { execKit } from './exec/kit.ts';
import { fileKit } from './file/kit.ts';
import type { SourceKit } from './source.ts';

export const kits = {
  cpu: cpuKit,
  exec: execKit,
  file: fileKit,
} as const satisfies { readonly [N in SourceName]: SourceKit<N> };

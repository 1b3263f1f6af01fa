/** What a reload changed, and what of it is only felt after a restart. */

import { isDeepStrictEqual } from 'node:util';
import type { Config, SourceConfig } from './config.ts';
import { configEntries } from './keys.ts';

export interface ConfigChange {
  /** Dotted key name. */
  readonly name: string;
  readonly needsRestart: boolean;
}

/** Changed keys in the table's order, then those of sources. */
export function diffConfig(before: Config, after: Config): readonly ConfigChange[] {
  const changes: ConfigChange[] = [];
  for (const [key, spec] of configEntries) {
    if (!isDeepStrictEqual(before[key], after[key])) changes.push({ name: spec.name, needsRestart: spec.needsRestart });
  }
  for (const [source, next] of Object.entries(after.sources)) {
    const names = changedInSource(before.sources[source], next);
    changes.push(...names.map(name => ({ name: `sources.${source}.${name}`, needsRestart: false })));
  }
  return changes;
}

function changedInSource(before: SourceConfig | undefined, after: SourceConfig): readonly string[] {
  const names = Object.keys(after.settings).filter(key => !isDeepStrictEqual(before?.settings[key], after.settings[key]));
  return before?.isEnabled === after.isEnabled ? names : ['enabled', ...names];
}

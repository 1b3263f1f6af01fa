/** Hooks that are attached the same way, for the same reasons, told once. */

import type { SourceState } from '../../../agent/server/api.ts';

type Hook = SourceState['hooks'][number];

export interface HookGroup {
  observes: string[];
  way: string;
  refused: Hook['refused'];
}

export function groupHooks(hooks: readonly Hook[]): HookGroup[] {
  const groups = new Map<string, HookGroup>();
  for (const hook of hooks) {
    const key = JSON.stringify([hook.way, hook.refused]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { observes: [hook.observes], way: hook.way, refused: hook.refused });
    else group.observes.push(hook.observes);
  }
  return [...groups.values()];
}

/** Takes a changed configuration into a running agent: what can change without a restart is changed, the rest is named. */

import type { Config, ConfigChange, SourceConfig } from './config/index.ts';
import type { Log } from './lib/log.ts';
import type { Remote } from './lib/rpc.ts';
import type { PipelineApi } from './pipeline-protocol.ts';

type ReloadPipeline = Pick<Remote<PipelineApi>, 'startSource' | 'stopSource' | 'updateSource' | 'setRetention' | 'setBudget'>;

export interface ReloadParts {
  readonly log: Log;
  readonly pipeline: ReloadPipeline;
}

/** A part that cannot follow says so and keeps what it had; the others follow all the same. */
export async function applyReload(
  parts: ReloadParts,
  before: Config,
  config: Config,
  changes: readonly ConfigChange[],
): Promise<void> {
  const { log, pipeline } = parts;
  for (const change of changes) {
    if (change.needsRestart) log.warning(`${change.name} changed; restart hotspan for it to be felt`);
  }
  log.setLevel(config.logLevel);
  await pipeline.setBudget(config.budgetPercent / 100);
  await pipeline.setRetention({ maxBytes: config.retentionBytes, maxAgeMs: config.retentionAgeMs });
  for (const [name, source] of Object.entries(config.sources)) {
    const old = before.sources[name];
    if (old === undefined) continue;
    try {
      await applySource(pipeline, name, old, source);
    } catch (error) {
      log.warning(`source ${name} cannot follow the configuration: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

async function applySource(pipeline: ReloadPipeline, name: string, before: SourceConfig, source: SourceConfig): Promise<void> {
  if (!source.isEnabled && before.isEnabled) await pipeline.stopSource(name);
  const settings = changedSettings(before, source);
  if (source.isEnabled && !before.isEnabled) await pipeline.startSource(name, source.settings);
  else if (Object.keys(settings).length > 0) await pipeline.updateSource(name, settings);
}

/** Only these are told to the source: what somebody set in the UI since the start stays. */
function changedSettings(before: SourceConfig, source: SourceConfig): SourceConfig['settings'] {
  const isChanged = ([key, value]: [string, unknown]) => JSON.stringify(value) !== JSON.stringify(before.settings[key]);
  return Object.fromEntries(Object.entries(source.settings).filter(isChanged));
}

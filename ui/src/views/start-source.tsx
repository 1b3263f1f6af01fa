/** Which sources a view wants that do not run, and the button that starts each. */

import type { SourceState } from '../../../agent/server/api.ts';
import { apiUrl, postJson } from '../state/api.ts';
import { sources } from '../state/live.ts';
import { useAction } from '../state/use-action.ts';
import { FailureNote } from './parts.tsx';

/** Of these sources, the ones that do not run; none as long as it is not known. */
export function notRunning(names: readonly string[]): readonly string[] {
  const known = sources.value;
  if (known === undefined) return [];
  return names.filter(name => known.find(source => source.name === name)?.state !== 'running');
}

export function StartSource({ name }: { name: string }) {
  const action = useAction<SourceState>(() => undefined);
  const source = sources.value?.find(candidate => candidate.name === name);
  if (source === undefined) return <span class="dim">This agent has no source “{name}”.</span>;
  return (
    <>
      <button
        type="button"
        class="button"
        disabled={action.isBusy}
        title={source.title}
        onClick={() => action.run(() => postJson<SourceState>(apiUrl(`sources/${name}/start`), {}))}
        data-testid={`start-${name}`}
      >
        {action.isBusy ? `Starting ${name}…` : `Start ${name}`}
      </button>
      {source.message !== '' && <span class="bad">{source.message}</span>}
      {action.failure !== undefined && <FailureNote failure={action.failure} />}
    </>
  );
}

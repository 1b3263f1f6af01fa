/** The box that adds a function to watch, and the list of those that are watched. */

import { useMemo, useState } from 'preact/hooks';
import type { SourceState, TargetCompletion } from '../../../agent/server/api.ts';
import { apiUrl, postJson } from '../state/api.ts';
import { useAction } from '../state/use-action.ts';
import { useDelayed } from '../state/use-delayed.ts';
import { Combobox } from './combobox.tsx';
import { FailureNote, PageLink } from './parts.tsx';

export function TargetBox({ source, onChange }: { source: SourceState; onChange: (state: SourceState) => void }) {
  const [text, setText] = useState('');
  const [isTyping, setTyping] = useState(false);
  const action = useAction(onChange);
  const target = text.trim();
  const completion = useDelayed<TargetCompletion[]>(
    isTyping && target.length > 1 ? apiUrl('probes/complete', { target }) : undefined,
  );
  const offers = useMemo(
    () => (completion.data ?? []).slice(0, 14).map(offer => ({ value: offer.target, note: offer.what })),
    [completion.data],
  );
  const setting = source.settings.targets;
  const targets: readonly string[] = typeof setting === 'object' ? setting : [];
  const edit = (next: string, isOpen: boolean) => {
    setText(next);
    setTyping(isOpen);
  };
  const watch = (next: readonly string[]) => {
    edit('', false);
    action.run(() => postTargets(source, next));
  };
  const add = () => {
    if (target !== '' && !targets.includes(target)) watch([...targets, target]);
  };
  const failure = action.failure ?? completion.failure;
  return (
    <section class="target-box" aria-label="Functions to watch">
      <div class="row popup-anchor">
        <span>Watch a function</span>
        <Combobox
          id="target"
          label="Function to watch"
          placeholder="kernel:vfs_fsync_range   kernel:tcp_*   uprobe:/usr/sbin/nginx:ngx_http_process_request"
          text={text}
          offers={offers}
          onEdit={next => edit(next, next !== text || isTyping)}
          onAccept={value => edit(value, false)}
          onSubmit={add}
          onCancel={() => setTyping(false)}
        />
        <button type="button" class="primary" disabled={action.isBusy || target === ''} onClick={add} data-testid="target-add">
          Watch
        </button>
      </div>
      {failure !== undefined && <FailureNote failure={failure} />}
      {source.state === 'running' && targets.length > 0 && (
        <Targets source={source} targets={targets} isBusy={action.isBusy} watch={watch} />
      )}
    </section>
  );
}

interface TargetsProps {
  source: SourceState;
  targets: readonly string[];
  isBusy: boolean;
  watch: (targets: readonly string[]) => void;
}

function Targets({ source, targets, isBusy, watch }: TargetsProps) {
  return (
    <div class="chips" data-testid="targets">
      {targets.map(name => (
        <span key={name} class="chip">
          <PageLink to={{ page: 'traces', params: { filter: `source="${source.name}"` } }}>{name}</PageLink>
          <button
            type="button"
            aria-label={`Stop watching ${name}`}
            disabled={isBusy}
            onClick={() => watch(targets.filter(other => other !== name))}
          >
            ×
          </button>
        </span>
      ))}
    </div>
  );
}

/** A stopped source is started with its targets; when the last one is taken away, it is stopped. */
function postTargets(source: SourceState, targets: readonly string[]): Promise<SourceState> {
  if (targets.length === 0) return postJson(apiUrl(`sources/${source.name}/stop`), {});
  const action = source.state === 'running' ? 'settings' : 'start';
  return postJson(apiUrl(`sources/${source.name}/${action}`), { settings: { targets } });
}

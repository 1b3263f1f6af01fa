/** The box that adds a function to watch, and the list of those that are watched. */

import { useEffect, useState } from 'preact/hooks';
import type { SourceState, TargetCompletion } from '../../../agent/server/api.ts';
import { type ApiFailure, apiUrl, getJson, postJson } from '../state/api.ts';
import { toFailure } from '../state/use-api.ts';
import { FailureNote, PageLink, useDismiss } from './parts.tsx';

const completeAfterMs = 150;

export function TargetBox({ source, onChange }: { source: SourceState; onChange: (state: SourceState) => void }) {
  const [text, setText] = useState('');
  const [offers, setOffers] = useState<readonly TargetCompletion[]>([]);
  const [choice, setChoice] = useState(-1);
  const [failure, setFailure] = useState<ApiFailure | undefined>(undefined);
  const [isBusy, setBusy] = useState(false);
  useDismiss(offers.length > 0, () => setOffers([]));
  const setting = source.settings.targets;
  const targets: readonly string[] = typeof setting === 'object' ? setting : [];
  useEffect(() => {
    if (text.trim().length < 2) {
      setOffers([]);
      return undefined;
    }
    const controller = new AbortController();
    const timer = window.setTimeout(() => {
      getJson<TargetCompletion[]>(apiUrl('probes/complete', { target: text.trim() }), controller.signal).then(
        list => {
          setOffers(list.slice(0, 14));
          setChoice(-1);
        },
        (error: unknown) => {
          if (!controller.signal.aborted) setFailure(toFailure(error));
        },
      );
    }, completeAfterMs);
    return () => {
      window.clearTimeout(timer);
      controller.abort();
    };
  }, [text]);
  const send = (next: readonly string[]) => {
    setBusy(true);
    setFailure(undefined);
    setOffers([]);
    // A stopped source is started with its targets; stopping follows from the last one being taken away.
    const action = next.length === 0 ? 'stop' : source.state === 'running' ? 'settings' : 'start';
    const settings = { targets: next };
    const post = (name: string) =>
      postJson<SourceState>(apiUrl(`sources/${source.name}/${name}`), name === 'stop' ? {} : { settings });
    post(action)
      .then(
        state => {
          setText('');
          onChange(state);
        },
        (error: unknown) => setFailure(toFailure(error)),
      )
      .finally(() => setBusy(false));
  };
  const add = (target: string) => {
    if (target !== '' && !targets.includes(target)) send([...targets, target]);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      setChoice(Math.max(-1, Math.min(offers.length - 1, choice + (event.key === 'ArrowDown' ? 1 : -1))));
    } else if (event.key === 'Escape') setOffers([]);
    else if (event.key === 'Enter' && choice >= 0) {
      event.preventDefault();
      setText(offers[choice]?.target ?? text);
      setOffers([]);
    }
  };
  const running = source.state === 'running' ? targets : [];
  return (
    <section class="target-box" aria-label="Functions to watch">
      <form
        class="row popup-anchor"
        onSubmit={event => {
          event.preventDefault();
          add(text.trim());
        }}
      >
        <label class="row grow">
          <span>Watch a function</span>
          <input
            type="text"
            class="grow"
            role="combobox"
            aria-expanded={offers.length > 0}
            aria-controls="target-offers"
            placeholder="kernel:vfs_fsync_range   kernel:tcp_*   uprobe:/usr/sbin/nginx:ngx_http_process_request"
            value={text}
            spellcheck={false}
            autocomplete="off"
            onInput={event => setText(event.currentTarget.value)}
            onKeyDown={onKeyDown}
            data-testid="target"
          />
        </label>
        <button type="submit" class="primary" disabled={isBusy || text.trim() === ''} data-testid="target-add">
          Watch
        </button>
        {offers.length > 0 && (
          <div class="popup offers" id="target-offers" role="listbox">
            {offers.map((offer, i) => (
              <button
                key={offer.target}
                type="button"
                role="option"
                class="menu-item between"
                aria-selected={i === choice}
                onClick={() => {
                  setText(offer.target);
                  setOffers([]);
                }}
              >
                <span>{offer.target}</span>
                <span class="dim">{offer.what}</span>
              </button>
            ))}
          </div>
        )}
      </form>
      {failure !== undefined && <FailureNote failure={failure} />}
      {running.length > 0 && (
        <div class="chips" data-testid="targets">
          {running.map(target => (
            <span key={target} class="chip">
              <PageLink to={{ page: 'traces', params: { filter: `source="${source.name}"` } }}>{target}</PageLink>
              <button
                type="button"
                aria-label={`Stop watching ${target}`}
                disabled={isBusy}
                onClick={() => send(targets.filter(other => other !== target))}
              >
                ×
              </button>
            </span>
          ))}
        </div>
      )}
    </section>
  );
}

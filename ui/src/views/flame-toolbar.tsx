/** What the flame page shows and how: profile type, view, search, focus and hidden functions, downloads. */

import { useRef } from 'preact/hooks';
import { apiUrl } from '../state/api.ts';
import { changeFlame, type FlameState } from '../state/flame-state.ts';
import { useKeys } from '../state/keys.ts';
import type { FlamePicture } from '../worker/flame-protocol.ts';
import { Segmented } from './parts.tsx';
import { TypePicker } from './type-picker.tsx';

const downloads: readonly { format: string; title: string; hint: string }[] = [
  { format: 'pprof', title: 'pprof', hint: 'For go tool pprof and others' },
  { format: 'folded', title: 'folded', hint: 'One stack a line, for flamegraph.pl and others' },
  { format: 'speedscope', title: 'speedscope', hint: 'For speedscope.app' },
  { format: 'otlp', title: 'OTLP', hint: 'OpenTelemetry profiles, protobuf' },
];

export interface FlameToolbarProps {
  state: FlameState;
  query: { type: string; from: string; to: string; filter: string; without: string };
  picture: FlamePicture | undefined;
}

export function FlameToolbar({ state, query }: FlameToolbarProps) {
  return (
    <div class="toolbar">
      <TypePicker type={state.type} />
      <Segmented
        label="View"
        options={[
          { value: 'flame', title: 'Flame', hint: 'Root at the bottom (i)' },
          { value: 'icicle', title: 'Icicle', hint: 'Root at the top (i)' },
          { value: 'sandwich', title: 'Sandwich', hint: 'Callers and callees of one function' },
        ]}
        value={state.view}
        onChange={view => changeFlame({ view })}
      />
      <button
        type="button"
        class="toggle"
        aria-pressed={state.hasTable || state.view === 'sandwich'}
        onClick={() => changeFlame({ hasTable: !state.hasTable })}
        title="Table of functions (t)"
        data-testid="toggle-table"
      >
        Table
      </button>
      <SearchBox search={state.search} />
      <Chips state={state} />
      <span class="grow" />
      <span class="row dim downloads">
        Download
        {downloads.map(({ format, title, hint }) => (
          <a
            key={format}
            href={apiUrl('profile', { ...query, minShare: 0, format })}
            download
            title={hint}
            data-testid={`download-${format}`}
          >
            {title}
          </a>
        ))}
      </span>
    </div>
  );
}

function SearchBox({ search }: { search: string }) {
  const input = useRef<HTMLInputElement>(null);
  useKeys([{ key: '/', help: 'Search the graph', run: () => input.current?.select() }]);
  return (
    <div class="search">
      <input
        ref={input}
        type="search"
        aria-label="Search functions"
        placeholder="search functions (regex)"
        // The address is the one home of the text. A copy here, brought up to date after the paint, would take back what was typed meanwhile.
        value={search}
        spellcheck={false}
        onInput={event => changeFlame({ search: event.currentTarget.value }, 'replace')}
        onKeyDown={event => {
          if (event.key === 'Escape' || event.key === 'Enter') event.currentTarget.blur();
          if (event.key === 'Escape') changeFlame({ search: '' }, 'replace');
        }}
        data-testid="search"
      />
      {search === '' && <kbd>/</kbd>}
    </div>
  );
}

/** What is left out of the picture stays in sight, each with a way to take it back. */
function Chips({ state }: { state: FlameState }) {
  return (
    <span class="chips">
      {state.focus !== '' && <Chip title={`only through ${state.focus}`} remove={() => changeFlame({ focus: '' })} />}
      {state.hidden.map(name => (
        <Chip
          key={name}
          title={`without ${name}`}
          remove={() => changeFlame({ hidden: state.hidden.filter(other => other !== name) })}
        />
      ))}
    </span>
  );
}

function Chip({ title, remove }: { title: string; remove: () => void }) {
  return (
    <span class="chip" title={title}>
      <span>{title}</span>
      <button type="button" aria-label={`Remove: ${title}`} onClick={remove}>
        ×
      </button>
    </span>
  );
}

/** The one filter of all pages, with completion of keys and of values that were seen in the range. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { type CompletionSite, completionSite, filterKeys, quote } from '../lib/filter.ts';
import { filterText, page, rangeFrom, rangeTo, setFilter } from '../state/address.ts';
import { apiUrl, getJson } from '../state/api.ts';
import { useKeys } from '../state/keys.ts';
import { useDismiss } from './parts.tsx';

/** Typing is not asked about letter by letter. */
const completeAfterMs = 120;

export function FilterBox() {
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState(filterText.value);
  const [site, setSite] = useState<CompletionSite | undefined>(undefined);
  const [choice, setChoice] = useState(-1);
  const offers = useOffers(site);
  const applied = filterText.value;
  useEffect(() => setText(applied), [applied]);
  useDismiss(site !== undefined, () => setSite(undefined));
  // On the flame page `/` searches the graph; there the filter has its own key.
  useKeys([{ key: page.value === 'flame' ? 'f' : '/', help: 'Filter', run: () => input.current?.select() }]);

  const look = (element: HTMLInputElement) => {
    setText(element.value);
    setChoice(-1);
    setSite(completionSite(element.value, element.selectionStart ?? element.value.length));
  };
  const accept = (offer: string) => {
    if (site === undefined) return;
    const inserted = site.kind === 'key' ? `${offer}${offer === 'duration' ? '>' : '='}` : quote(offer);
    const next = text.slice(0, site.start) + inserted + text.slice(site.end);
    setText(next);
    if (site.kind === 'value') {
      setSite(undefined);
      setFilter(next);
      return;
    }
    setSite(completionSite(next, site.start + inserted.length));
    setChoice(-1);
    input.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      const step = event.key === 'ArrowDown' ? 1 : -1;
      setChoice(Math.max(-1, Math.min(offers.length - 1, choice + step)));
    } else if (event.key === 'Enter' || (event.key === 'Tab' && choice >= 0)) {
      event.preventDefault();
      const offer = offers[choice];
      if (offer !== undefined) return accept(offer);
      setSite(undefined);
      setFilter(text);
    } else if (event.key === 'Escape') {
      setSite(undefined);
      setText(applied);
      input.current?.blur();
    }
  };
  return (
    <div class="filter popup-anchor">
      <input
        ref={input}
        type="text"
        role="combobox"
        aria-label="Filter"
        aria-expanded={site !== undefined && offers.length > 0}
        aria-controls="filter-offers"
        placeholder='filter: service="gateway" thread=~"worker.*"'
        value={text}
        spellcheck={false}
        autocomplete="off"
        onInput={event => look(event.currentTarget)}
        onFocus={event => look(event.currentTarget)}
        onKeyDown={onKeyDown}
        data-testid="filter"
      />
      {text !== '' && (
        <button
          type="button"
          class="ghost clear"
          aria-label="Clear the filter"
          onClick={() => {
            setText('');
            setFilter('');
          }}
        >
          ×
        </button>
      )}
      {text === '' && <kbd>{page.value === 'flame' ? 'f' : '/'}</kbd>}
      {site !== undefined && offers.length > 0 && (
        <div class="popup offers" id="filter-offers" role="listbox">
          {offers.map((offer, i) => (
            <button
              key={offer}
              type="button"
              role="option"
              class="menu-item"
              aria-selected={i === choice}
              onPointerDown={event => event.preventDefault()}
              onClick={() => accept(offer)}
            >
              {offer === '' ? '(empty)' : offer}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

function useOffers(site: CompletionSite | undefined): string[] {
  const [values, setValues] = useState<{ id: string; list: string[] }>({ id: '', list: [] });
  const id = site?.kind === 'value' ? `${site.key} ${site.prefix}` : '';
  useEffect(() => {
    if (site?.kind !== 'value') return undefined;
    const controller = new AbortController();
    const url = apiUrl('values', { key: site.key, prefix: site.prefix, from: rangeFrom.peek(), to: rangeTo.peek() });
    const timer = window.setTimeout(() => {
      getJson<string[]>(url, controller.signal).then(
        list => setValues({ id, list: list.slice(0, 12) }),
        // A key without known values, or no agent: completion is a help only, and the page itself tells of failures.
        () => setValues({ id, list: [] }),
      );
    }, completeAfterMs);
    return () => {
      window.clearTimeout(timer);
      controller.abort();
    };
  }, [id]);
  if (site === undefined) return [];
  if (site.kind === 'key') return filterKeys.filter(key => key.startsWith(site.prefix));
  return values.id === id ? values.list : [];
}

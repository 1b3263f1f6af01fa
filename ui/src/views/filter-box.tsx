/** The one filter of all pages, with completion of keys and of values that were seen in the range. */

import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { type CompletionSite, completionSite, filterKeys, quote } from '../lib/filter.ts';
import { filterText, page, setFilter } from '../state/address.ts';
import { apiUrl } from '../state/api.ts';
import { useKeys } from '../state/keys.ts';
import { queryFrom, queryTo } from '../state/live.ts';
import { useDelayed } from '../state/use-delayed.ts';
import { Combobox, type Offer } from './combobox.tsx';

export function FilterBox() {
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState(filterText.value);
  const [site, setSite] = useState<CompletionSite | undefined>(undefined);
  const offers = useOffers(site);
  const applied = filterText.value;
  // Before the paint: later it could take back what was typed meanwhile.
  useLayoutEffect(() => setText(applied), [applied]);
  // On the flame page `/` searches the graph; there the filter has its own key.
  const key = page.value === 'flame' ? 'f' : '/';
  useKeys([{ key, help: 'Filter', run: () => input.current?.select() }]);

  const edit = (next: string, caret: number) => {
    setText(next);
    setSite(completionSite(next, caret));
  };
  const apply = (next: string) => {
    setText(next);
    setSite(undefined);
    setFilter(next);
  };
  const accept = (offer: string) => {
    if (site === undefined) return;
    const inserted = site.kind === 'key' ? `${offer}${offer === 'duration' ? '>' : '='}` : quote(offer);
    const next = text.slice(0, site.start) + inserted + text.slice(site.end);
    if (site.kind === 'value') apply(next);
    else edit(next, site.start + inserted.length);
  };
  const cancel = () => {
    setSite(undefined);
    setText(applied);
    input.current?.blur();
  };
  return (
    <div class="filter popup-anchor">
      <Combobox
        id="filter"
        label="Filter"
        placeholder='filter: service="gateway" thread=~"worker.*"'
        text={text}
        offers={offers}
        input={input}
        onEdit={edit}
        onAccept={accept}
        onSubmit={() => apply(text)}
        onCancel={cancel}
      />
      {text === '' ? (
        <kbd>{key}</kbd>
      ) : (
        <button type="button" class="ghost clear" aria-label="Clear the filter" onClick={() => apply('')}>
          ×
        </button>
      )}
    </div>
  );
}

function useOffers(site: CompletionSite | undefined): Offer[] {
  const isValue = site?.kind === 'value' && site.key !== 'duration';
  const range = { from: queryFrom.value, to: queryTo.value };
  const values = useDelayed<string[]>(isValue ? apiUrl('values', { key: site.key, prefix: site.prefix, ...range }) : undefined);
  return useMemo(() => {
    const list = isValue
      ? values.data
      : site?.kind === 'key'
        ? filterKeys.filter(name => name.startsWith(site.prefix))
        : undefined;
    return (list ?? []).slice(0, 12).map(value => ({ value, note: '' }));
  }, [site, values.data]);
}

/** The choice of the profile type: a list by what the types are about, each with its key; what does not run says so and can be started. */

import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { groupedTypes, groupTitles, keyOfType, type ProfileType, profileType, profileTypes } from '../lib/profile-types.ts';
import { changeFlame } from '../state/flame-state.ts';
import { useKeys } from '../state/keys.ts';
import { useDismiss } from './parts.tsx';
import { notRunning, StartSource } from './start-source.tsx';

export function TypePicker({ type }: { type: string }) {
  const [isOpen, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const close = () => {
    // The focus goes back to where the list was opened, unless it has gone elsewhere already.
    if (document.activeElement?.closest('.type-popup') !== null) button.current?.focus();
    setOpen(false);
  };
  const choose = (id: string) => {
    changeFlame({ type: id, zoom: '' });
    close();
  };
  useDismiss(isOpen, close);
  useKeys([
    ...profileTypes.flatMap((own, i) => {
      const key = keyOfType(i);
      return key === '' ? [] : [{ key, help: `Profile of ${own.title}`, run: () => choose(own.id) }];
    }),
    { key: 'p', help: 'List of profile types', run: () => (isOpen ? close() : setOpen(true)) },
  ]);
  const current = profileType(type);
  return (
    <div class="popup-anchor">
      <button
        ref={button}
        type="button"
        class="field-button type-button"
        aria-haspopup="menu"
        aria-expanded={isOpen}
        aria-label={`Profile type: ${current.title}`}
        title={`${current.hint} (p)`}
        onClick={() => (isOpen ? close() : setOpen(true))}
        data-testid="profile-type"
      >
        <span class="dim">{groupTitles[current.group]}</span> <b>{current.title}</b> <span class="dim">▾</span>
      </button>
      {isOpen && <TypeList type={type} choose={choose} />}
    </div>
  );
}

function TypeList({ type, choose }: { type: string; choose: (id: string) => void }) {
  const list = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    list.current?.querySelector<HTMLElement>('[aria-checked="true"]')?.focus();
  }, []);
  const move = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined || list.current === null) return;
    // Before the page's own keys, which move among the frames behind the list.
    event.preventDefault();
    const buttons = [...list.current.querySelectorAll<HTMLElement>('button')];
    const at = buttons.indexOf(document.activeElement as HTMLElement);
    buttons[(at + step + buttons.length) % buttons.length]?.focus();
  };
  return (
    <div
      ref={list}
      class="popup type-popup"
      role="menu"
      aria-label="Profile types"
      tabIndex={-1}
      onKeyDown={move}
      data-testid="profile-types"
    >
      {groupedTypes().map(({ group, entries }) => (
        <fieldset key={group} aria-label={groupTitles[group]}>
          <h3>{groupTitles[group]}</h3>
          {entries.map(entry => (
            <TypeLine key={entry.type.id} type={entry.type} isCurrent={entry.type.id === type} choose={choose} />
          ))}
          <ToStart types={entries.map(entry => entry.type)} />
        </fieldset>
      ))}
    </div>
  );
}

function TypeLine(props: { type: ProfileType; isCurrent: boolean; choose: (id: string) => void }) {
  const { type, isCurrent, choose } = props;
  const missing = notRunning(type.sources);
  return (
    <button
      type="button"
      class={missing.length === 0 ? 'menu-item type-line' : 'menu-item type-line off'}
      role="menuitemradio"
      aria-checked={isCurrent}
      title={type.hint}
      onClick={() => choose(type.id)}
      data-testid={`choose-${type.id}`}
    >
      <Key index={profileTypes.indexOf(type)} />
      <b>{type.title}</b>
      <span class="dim cut">{type.hint}</span>
      <span class="dim">{missing.length === 0 ? '' : 'not recorded now'}</span>
    </button>
  );
}

function Key({ index }: { index: number }) {
  const key = keyOfType(index);
  return key === '' ? <span /> : <kbd>{key}</kbd>;
}

/** Each source that a group's types want and that does not run, once. */
function ToStart({ types }: { types: readonly ProfileType[] }) {
  const missing = notRunning([...new Set(types.flatMap(type => type.sources))]);
  if (missing.length === 0) return null;
  return (
    <div class="row wrap type-start">
      <span class="dim">{missing.length === 1 ? 'Its source does not run:' : 'Their sources do not run:'}</span>
      {missing.map(name => (
        <StartSource key={name} name={name} />
      ))}
    </div>
  );
}

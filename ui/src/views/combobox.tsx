/** A text field with a list of offers under it, by pointer and keyboard. What is offered, and what a choice does, is the parent's. */

import type { RefObject } from 'preact';
import { useLayoutEffect, useState } from 'preact/hooks';
import { useDismiss } from './parts.tsx';

export interface Offer {
  value: string;
  /** Told beside it, dimmed. */
  note: string;
}

export interface ComboboxProps {
  id: string;
  label: string;
  placeholder: string;
  text: string;
  /** Empty: the list is closed. */
  offers: readonly Offer[];
  input?: RefObject<HTMLInputElement | null> | undefined;
  /** Typing, and getting the focus; with the caret's place. */
  onEdit: (text: string, caret: number) => void;
  onAccept: (value: string) => void;
  /** Enter without a choice. */
  onSubmit?: () => void;
  onCancel: () => void;
}

export function Combobox(props: ComboboxProps) {
  const { id, offers } = props;
  const [choice, setChoice] = useState(-1);
  const isOpen = offers.length > 0;
  useLayoutEffect(() => setChoice(-1), [offers]);
  useDismiss(isOpen, props.onCancel);
  const edit = (element: HTMLInputElement) => props.onEdit(element.value, element.selectionStart ?? element.value.length);
  const onKeyDown = (event: KeyboardEvent) => {
    const chosen = offers[choice];
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      setChoice(Math.max(-1, Math.min(offers.length - 1, choice + (event.key === 'ArrowDown' ? 1 : -1))));
    } else if (chosen !== undefined && (event.key === 'Enter' || event.key === 'Tab')) {
      event.preventDefault();
      props.onAccept(chosen.value);
    } else if (event.key === 'Enter' && props.onSubmit !== undefined) {
      event.preventDefault();
      props.onSubmit();
    } else if (event.key === 'Escape') props.onCancel();
  };
  return (
    <>
      <input
        ref={props.input ?? null}
        type="text"
        class="grow"
        role="combobox"
        aria-label={props.label}
        aria-expanded={isOpen}
        aria-controls={`${id}-offers`}
        aria-activedescendant={choice >= 0 ? `${id}-offer-${choice}` : undefined}
        placeholder={props.placeholder}
        value={props.text}
        spellcheck={false}
        autocomplete="off"
        onInput={event => edit(event.currentTarget)}
        onFocus={event => edit(event.currentTarget)}
        onKeyDown={onKeyDown}
        data-testid={id}
      />
      {isOpen && <OfferList id={id} offers={offers} choice={choice} onAccept={props.onAccept} />}
    </>
  );
}

function OfferList(props: { id: string; offers: readonly Offer[]; choice: number; onAccept: (value: string) => void }) {
  return (
    <div class="popup offers" id={`${props.id}-offers`} role="listbox">
      {props.offers.map((offer, i) => (
        <button
          key={offer.value}
          id={`${props.id}-offer-${i}`}
          type="button"
          role="option"
          class="menu-item between"
          aria-selected={i === props.choice}
          // The field keeps the focus: a choice goes on where the user types.
          onPointerDown={event => event.preventDefault()}
          onClick={() => props.onAccept(offer.value)}
        >
          <span>{offer.value === '' ? '(empty)' : offer.value}</span>
          <span class="dim">{offer.note}</span>
        </button>
      ))}
    </div>
  );
}

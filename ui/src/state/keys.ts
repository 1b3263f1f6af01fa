/** The keyboard: every key is bound with its help text, so that the overlay of `?` can never tell other than what is. */

import { signal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';

export interface KeyBinding {
  /** Value of KeyboardEvent.key; "g f" for f after g. */
  key: string;
  help: string;
  run: () => void;
}

/** Bound at the moment, in the order of binding; a later binding of a key hides an earlier one. */
export const bindings = signal<readonly (readonly KeyBinding[])[]>([]);

/** While something stands above the page: only these keys work, and what they would do on the page is not done behind it. */
const above = signal<readonly KeyBinding[] | undefined>(undefined);

/** How long a first key (g) waits for its second. */
const sequenceMs = 1200;
let first = { key: '', atMs: 0 };

export function useKeys(list: readonly KeyBinding[]): void {
  const latest = useRef(list);
  latest.current = list;
  const keys = list.map(binding => binding.key).join('\n');
  // Before the browser paints: a page that a user can see hears its keys.
  useLayoutEffect(() => {
    // Bound once per set of keys; run always calls the newest closure.
    const bound = latest.current.map((binding, i) => ({ ...binding, run: () => latest.current[i]?.run() }));
    bindings.value = [...bindings.peek(), bound];
    return () => {
      bindings.value = bindings.peek().filter(entry => entry !== bound);
    };
  }, [keys]);
}

/** Takes the keyboard from the page while `isOpen`. One thing at a time stands above the page. */
export function useKeysAbove(isOpen: boolean, list: readonly KeyBinding[]): void {
  const latest = useRef(list);
  latest.current = list;
  useLayoutEffect(() => {
    if (!isOpen) return undefined;
    above.value = latest.current.map((binding, i) => ({ ...binding, run: () => latest.current[i]?.run() }));
    return () => {
      above.value = undefined;
    };
  }, [isOpen]);
}

/** Keys that only change what another key means: they come between g and its second key where that one needs them. */
const modifiers: ReadonlySet<string> = new Set(['Shift', 'Control', 'Alt', 'Meta', 'AltGraph', 'CapsLock']);

export function startKeys(): void {
  window.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || modifiers.has(event.key)) return;
    if (isTyping(event)) return;
    // When the key was pressed, not when a busy page came to hear of it.
    const now = event.timeStamp;
    const sequence = now - first.atMs < sequenceMs ? `${first.key} ${event.key}` : '';
    first = { key: '', atMs: 0 };
    const binding = find(sequence) ?? find(event.key);
    if (binding !== undefined) {
      event.preventDefault();
      binding.run();
    } else if (heard().some(candidate => candidate.key.startsWith(`${event.key} `))) {
      first = { key: event.key, atMs: now };
    }
  });
}

function find(key: string): KeyBinding | undefined {
  if (key === '') return undefined;
  return heard().findLast(binding => binding.key === key);
}

function heard(): readonly KeyBinding[] {
  return above.value ?? bindings.value.flat();
}

/** Letters in a field are text. Enter and space on a button are the button's. */
function isTyping(event: KeyboardEvent): boolean {
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLButtonElement || target instanceof HTMLAnchorElement)
    return event.key === 'Enter' || event.key === ' ';
  return target instanceof HTMLInputElement || target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement;
}

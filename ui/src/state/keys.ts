/** The keyboard: every key is bound with its help text, so that the overlay of `?` can never tell other than what is. */

import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';

export interface KeyBinding {
  /** Value of KeyboardEvent.key; "g f" for f after g. */
  key: string;
  help: string;
  run: () => void;
}

/** Bound at the moment, in the order of binding; a later binding of a key hides an earlier one. */
export const bindings = signal<readonly (readonly KeyBinding[])[]>([]);

/** How long a first key (g) waits for its second. */
const sequenceMs = 1200;
let first = { key: '', atMs: 0 };

export function useKeys(list: readonly KeyBinding[]): void {
  const latest = useRef(list);
  latest.current = list;
  const keys = list.map(binding => binding.key).join('\n');
  useEffect(() => {
    // Bound once per set of keys; run always calls the newest closure.
    const bound = latest.current.map((binding, i) => ({ ...binding, run: () => latest.current[i]?.run() }));
    bindings.value = [...bindings.peek(), bound];
    return () => {
      bindings.value = bindings.peek().filter(entry => entry !== bound);
    };
  }, [keys]);
}

export function startKeys(): void {
  window.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (isTyping(event)) return;
    const now = performance.now();
    const sequence = now - first.atMs < sequenceMs ? `${first.key} ${event.key}` : '';
    first = { key: '', atMs: 0 };
    const binding = find(sequence) ?? find(event.key);
    if (binding !== undefined) {
      event.preventDefault();
      binding.run();
    } else if (bindings.value.some(list => list.some(candidate => candidate.key.startsWith(`${event.key} `)))) {
      first = { key: event.key, atMs: now };
    }
  });
}

function find(key: string): KeyBinding | undefined {
  if (key === '') return undefined;
  return bindings.value.flat().findLast(binding => binding.key === key);
}

/** Letters in a field are text. Enter and space on a button are the button's. */
function isTyping(event: KeyboardEvent): boolean {
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLButtonElement || target instanceof HTMLAnchorElement)
    return event.key === 'Enter' || event.key === ' ';
  return target instanceof HTMLInputElement || target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement;
}

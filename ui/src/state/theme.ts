/** Dark or light: what the address says, else what was chosen in this browser, else what the system prefers. */

import { computed, effect, type ReadonlySignal, signal } from '@preact/signals';
import type { Theme } from '../lib/frame-kind.ts';
import { address, navigate } from './address.ts';

const storageKey = 'hotspan.theme';
const preference = window.matchMedia('(prefers-color-scheme: dark)');
const system = signal<Theme>(preference.matches ? 'dark' : 'light');
const chosen = signal<Theme | undefined>(readChosen());

preference.addEventListener('change', event => {
  system.value = event.matches ? 'dark' : 'light';
});

export const theme: ReadonlySignal<Theme> = computed(() => asTheme(address.value.params.theme) ?? chosen.value ?? system.value);

effect(() => {
  document.documentElement.dataset.theme = theme.value;
});

export function toggleTheme(): void {
  const next: Theme = theme.peek() === 'dark' ? 'light' : 'dark';
  chosen.value = next;
  try {
    window.localStorage.setItem(storageKey, next);
  } catch {
    // Storage may be forbidden in this browser; the choice then lasts as long as the page.
  }
  if (address.peek().params.theme !== undefined) navigate({ params: { theme: next } }, 'replace');
}

function readChosen(): Theme | undefined {
  try {
    return asTheme(window.localStorage.getItem(storageKey) ?? undefined);
  } catch {
    // As above: without storage the system decides.
    return undefined;
  }
}

function asTheme(text: string | undefined): Theme | undefined {
  return text === 'dark' || text === 'light' ? text : undefined;
}

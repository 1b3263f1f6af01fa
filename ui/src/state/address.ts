/** The address bar as the one state of the UI: read as a signal, changed by navigate, undone by the browser's back button. */

import { computed, type ReadonlySignal, signal } from '@preact/signals';
import { type Address, changeAddress, formatAddress, type PageName, parseAddress } from '../lib/address.ts';
import { defaultFrom, defaultTo } from '../lib/time-range.ts';

const read = () => parseAddress(window.location.pathname, window.location.search);

const current = signal<Address>(read());

export const address: ReadonlySignal<Address> = current;
export const page: ReadonlySignal<PageName> = computed(() => current.value.page);
export const rangeFrom: ReadonlySignal<string> = computed(() => current.value.params.from ?? defaultFrom);
export const rangeTo: ReadonlySignal<string> = computed(() => current.value.params.to ?? defaultTo);
export const filterText: ReadonlySignal<string> = computed(() => current.value.params.filter ?? '');
/** The range ends now and so moves on. */
export const isRangeLive: ReadonlySignal<boolean> = computed(() => rangeTo.value === 'now');

window.addEventListener('popstate', () => {
  current.value = read();
});

export interface AddressPatch {
  page?: PageName;
  params?: Readonly<Record<string, string | undefined>>;
}

/** Push is for what a user would want to undo; replace for what follows from typing or hovering. */
export function navigate(patch: AddressPatch, mode: 'push' | 'replace' = 'push'): void {
  const next = changeAddress(current.value, patch);
  const text = formatAddress(next);
  if (text === formatAddress(current.value)) return;
  const depth = historyDepth() + (mode === 'push' ? 1 : 0);
  if (mode === 'push') window.history.pushState({ depth }, '', text);
  else window.history.replaceState({ depth }, '', text);
  current.value = next;
}

/** The address that a link leads to, so that it can be opened in another tab. */
export function hrefOf(patch: AddressPatch): string {
  return formatAddress(changeAddress(current.value, patch));
}

export function param(name: string): string {
  return current.value.params[name] ?? '';
}

export function setRange(from: string | number, to: string | number): void {
  const fromText = typeof from === 'number' ? String(Math.round(from)) : from;
  const toText = typeof to === 'number' ? String(Math.round(to)) : to;
  const isDefault = fromText === defaultFrom && toText === defaultTo;
  navigate({ params: { from: isDefault ? undefined : fromText, to: isDefault || toText === defaultTo ? undefined : toText } });
}

export function setFilter(text: string): void {
  navigate({ params: { filter: text.trim() } });
}

/** One step back, unless it would leave the UI. */
export function goBack(): void {
  if (historyDepth() > 0) window.history.back();
}

/** Whether there is a step of this UI to go back to. */
export function canGoBack(): boolean {
  return historyDepth() > 0;
}

function historyDepth(): number {
  const state = window.history.state as { depth?: number } | null;
  return state?.depth ?? 0;
}

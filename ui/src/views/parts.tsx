/** Small pieces that every page uses: failures, empty places, skeletons, switches, copy buttons, links that stay in the page. */

import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useState } from 'preact/hooks';
import { asSentence } from '../lib/format.ts';
import {
  type AddressPatch,
  filterText,
  hrefOf,
  isRangeLive,
  navigate,
  rangeFrom,
  setFilter,
  setRange,
} from '../state/address.ts';
import type { ApiFailure } from '../state/api.ts';

/** What went wrong and what to do about it. */
export function FailureNote({ failure, retry }: { failure: ApiFailure; retry?: (() => void) | undefined }) {
  return (
    <div class="note error" role="alert" data-testid="failure">
      <strong>{asSentence(failure.message)}</strong> {asSentence(failure.remedy)}
      {retry !== undefined && (
        <button type="button" class="ghost" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Why there is nothing here, and what would change that. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty" data-testid="empty">
      <strong>{title}</strong>
      <div class="dim">{children}</div>
    </div>
  );
}

/** The ways out of an empty place, as buttons: what hides the data is taken away. */
export function EmptyActions({ hasProbes = false }: { hasProbes?: boolean }) {
  const isFiltered = filterText.value !== '';
  const isWide = rangeFrom.value === widest && isRangeLive.value;
  return (
    <div class="row empty-actions">
      {isFiltered && (
        <button type="button" class="button" onClick={() => setFilter('')} data-testid="clear-filter">
          Clear the filter
        </button>
      )}
      {!isWide && (
        <button type="button" class="button" onClick={() => setRange(widest, 'now')} data-testid="widen-range">
          Show the last 7 days
        </button>
      )}
      {hasProbes && (
        <PageLink to={{ page: 'probes' }} class="button">
          Open Probes
        </PageLink>
      )}
    </div>
  );
}

const widest = 'now-7d';

/** Bars in the place of rows that are on their way. */
export function SkeletonRows({ rows, height = 24 }: { rows: number; height?: number }) {
  return (
    <div class="skeleton" aria-hidden="true">
      {Array.from({ length: rows }, (_, i) => (
        <div key={i} style={{ height: `${height}px` }}>
          <span style={{ width: `${30 + ((i * 37) % 50)}%` }} />
        </div>
      ))}
    </div>
  );
}

/** A link of the UI: a plain click changes the page in place, any other click is the browser's. */
export function PageLink(props: {
  to: AddressPatch;
  children: ComponentChildren;
  class?: string;
  title?: string;
  label?: string;
  isCurrent?: boolean;
  testId?: string;
}) {
  const follow = (event: MouseEvent) => {
    event.stopPropagation();
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    navigate(props.to);
  };
  return (
    <a
      href={hrefOf(props.to)}
      onClick={follow}
      class={props.class}
      title={props.title}
      aria-label={props.label}
      aria-current={props.isCurrent === true ? 'page' : undefined}
      data-testid={props.testId}
    >
      {props.children}
    </a>
  );
}

/** A few exclusive choices side by side. */
export function Segmented<T extends string>(props: {
  label: string;
  options: readonly { value: T; title: string; hint?: string }[];
  value: T;
  onChange: (value: T) => void;
}) {
  return (
    <fieldset class="segmented" aria-label={props.label}>
      {props.options.map(option => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === props.value}
          title={option.hint}
          onClick={() => props.onChange(option.value)}
          data-testid={`choose-${option.value}`}
        >
          {option.title}
        </button>
      ))}
    </fieldset>
  );
}

export function CopyButton({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [isDone, setDone] = useState(false);
  useEffect(() => {
    if (!isDone) return undefined;
    const timer = window.setTimeout(() => setDone(false), 1200);
    return () => window.clearTimeout(timer);
  }, [isDone]);
  return (
    <button type="button" class="ghost" onClick={() => copyText(text).then(() => setDone(true))}>
      {isDone ? 'Copied' : label}
    </button>
  );
}

export async function copyText(text: string): Promise<void> {
  await navigator.clipboard.writeText(text);
}

/** A figure with its name under it. */
export function Figure({ name, value, title, isBad }: { name: string; value: string; title?: string; isBad?: boolean }) {
  return (
    <div class="figure" title={title}>
      <span class={isBad === true ? 'figure-value bad' : 'figure-value'}>{value}</span>
      <span class="figure-name">{name}</span>
    </div>
  );
}

/** Closes a popup when the user clicks elsewhere or presses Escape. */
export function useDismiss(isOpen: boolean, close: () => void): void {
  useLayoutEffect(() => {
    if (!isOpen) return undefined;
    const onPointer = (event: PointerEvent) => {
      if (!(event.target instanceof Element) || event.target.closest('.popup, .popup-anchor') === null) close();
    };
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== 'Escape') return;
      event.preventDefault();
      event.stopPropagation();
      close();
    };
    window.addEventListener('pointerdown', onPointer);
    window.addEventListener('keydown', onKey, true);
    return () => {
      window.removeEventListener('pointerdown', onPointer);
      window.removeEventListener('keydown', onKey, true);
    };
  }, [isOpen]);
}

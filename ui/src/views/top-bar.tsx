/** Always there: the time range, live, the filter, the pages, and what hotspan itself costs and lost. */

import { useState } from 'preact/hooks';
import type { PageName } from '../lib/address.ts';
import { formatBytes, formatCompact, formatShare } from '../lib/format.ts';
import { describeRange, fromLocalField, presets, resolveRange, toLocalField } from '../lib/time-range.ts';
import { canGoBack, goBack, isRangeLive, page, rangeFrom, rangeTo, setRange } from '../state/address.ts';
import { agentNowMs, isConnected, isPaused, status } from '../state/live.ts';
import { theme, toggleTheme } from '../state/theme.ts';
import { FilterBox } from './filter-box.tsx';
import { isHelpOpen } from './help-overlay.tsx';
import { PageLink, useDismiss } from './parts.tsx';

export function TopBar({ tabs }: { tabs: readonly { name: PageName; title: string; key: string }[] }) {
  return (
    <header class="top">
      <div class="top-bar">
        <PageLink to={{ page: 'overview' }} class="brand" label="hotspan, to the Overview">
          hotspan
        </PageLink>
        <span class="host dim" data-testid="host">
          {status.value?.host ?? ''}
        </span>
        <RangePicker />
        <LiveButton />
        <FilterBox />
        <OwnCost />
      </div>
      <nav class="tabs" aria-label="Pages">
        {tabs.map(tab => (
          <PageLink
            key={tab.name}
            to={{ page: tab.name }}
            isCurrent={page.value === tab.name}
            title={`g ${tab.key}`}
            testId={`tab-${tab.name}`}
          >
            {tab.title}
          </PageLink>
        ))}
        <span class="grow" />
        <button
          type="button"
          class="ghost"
          onClick={toggleTheme}
          aria-label={`Switch to ${theme.value === 'dark' ? 'light' : 'dark'} colours`}
          data-testid="theme"
        >
          {theme.value === 'dark' ? 'Light' : 'Dark'}
        </button>
        <button
          type="button"
          class="ghost"
          onClick={() => {
            isHelpOpen.value = true;
          }}
          aria-label="All keys"
        >
          <kbd>?</kbd>
        </button>
      </nav>
    </header>
  );
}

function RangePicker() {
  const [isOpen, setOpen] = useState(false);
  useDismiss(isOpen, () => setOpen(false));
  const choose = (from: string | number, to: string | number) => {
    setRange(from, to);
    setOpen(false);
  };
  return (
    <div class="popup-anchor">
      <button
        type="button"
        class="field-button"
        aria-expanded={isOpen}
        aria-label="Time range"
        onClick={() => setOpen(!isOpen)}
        data-testid="range"
      >
        {describeRange(rangeFrom.value, rangeTo.value, agentNowMs())} <span class="dim">▾</span>
      </button>
      {isOpen && (
        <div class="popup range-popup">
          <div class="range-presets">
            {presets.map(preset => (
              <button
                key={preset.from}
                type="button"
                class="menu-item"
                aria-pressed={rangeTo.value === 'now' && rangeFrom.value === preset.from}
                onClick={() => choose(preset.from, 'now')}
              >
                {preset.label}
              </button>
            ))}
          </div>
          <ExactRange choose={choose} />
        </div>
      )}
    </div>
  );
}

function ExactRange({ choose }: { choose: (from: number, to: number) => void }) {
  const range = resolveRange(rangeFrom.value, rangeTo.value, agentNowMs());
  const [from, setFrom] = useState(toLocalField(range.fromMs));
  const [to, setTo] = useState(toLocalField(range.toMs));
  const fromMs = fromLocalField(from);
  const toMs = fromLocalField(to);
  const isValid = fromMs !== undefined && toMs !== undefined && fromMs < toMs;
  const submit = (event: Event) => {
    event.preventDefault();
    if (fromMs !== undefined && toMs !== undefined && isValid) choose(fromMs, toMs);
  };
  return (
    <form class="range-exact" onSubmit={submit}>
      <label>
        From
        <input type="datetime-local" step="1" value={from} onInput={event => setFrom(event.currentTarget.value)} />
      </label>
      <label>
        To
        <input type="datetime-local" step="1" value={to} onInput={event => setTo(event.currentTarget.value)} />
      </label>
      <button type="submit" class="primary" disabled={!isValid}>
        Show this range
      </button>
      {!isValid && <span class="dim">The end must come after the start.</span>}
    </form>
  );
}

function LiveButton() {
  if (!isRangeLive.value) {
    return (
      <span class="row">
        {canGoBack() && (
          <button type="button" class="ghost" onClick={goBack} title="Back to the range before">
            ← back
          </button>
        )}
        <button
          type="button"
          class="ghost"
          onClick={() => setRange('now-15m', 'now')}
          data-testid="live"
          aria-label="Follow the present: last 15 minutes, live"
        >
          go live
        </button>
      </span>
    );
  }
  const state = isPaused.value ? 'paused' : isConnected.value ? 'live' : 'connecting';
  return (
    <button
      type="button"
      class={`live ${state}`}
      aria-pressed={!isPaused.value}
      aria-label={isPaused.value ? 'Resume live data' : 'Pause live data'}
      title=". pauses and resumes"
      onClick={() => {
        isPaused.value = !isPaused.value;
      }}
      data-testid="live"
    >
      {state}
    </button>
  );
}

function OwnCost() {
  const now = status.value;
  if (now === undefined) return <span class="cost dim">–</span>;
  return (
    <PageLink
      to={{ page: 'agent' }}
      class="cost"
      title="What hotspan itself costs, and what it lost since its start"
      testId="own-cost"
    >
      <span>{formatShare(now.cpuShare)} CPU</span>
      <span>{formatBytes(now.rssBytes + now.mapBytes + now.bufferBytes)}</span>
      <span class={now.lost > 0 ? 'bad' : ''}>lost {formatCompact(now.lost)}</span>
    </PageLink>
  );
}

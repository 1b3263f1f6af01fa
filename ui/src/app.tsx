/** The frame around all pages: top bar, navigation, and the keys that work everywhere. */

import type { ComponentType } from 'preact';
import { useEffect } from 'preact/hooks';
import type { PageName } from './lib/address.ts';
import { formatTime } from './lib/format.ts';
import { navigate, page } from './state/address.ts';
import { useKeys } from './state/keys.ts';
import { disconnectedAtMs, isPaused } from './state/live.ts';
import { AgentPage } from './views/agent-page.tsx';
import { ErrorBoundary } from './views/error-boundary.tsx';
import { FlamePage } from './views/flame-page.tsx';
import { HelpOverlay, isHelpOpen } from './views/help-overlay.tsx';
import { OverviewPage } from './views/overview-page.tsx';
import { ProbesPage } from './views/probes-page.tsx';
import { ThreadsPage } from './views/threads-page.tsx';
import { TopBar } from './views/top-bar.tsx';
import { TracesPage } from './views/traces-page.tsx';

const views: Readonly<Record<PageName, { title: string; key: string; view: ComponentType }>> = {
  overview: { title: 'Overview', key: 'o', view: OverviewPage },
  flame: { title: 'Flame', key: 'f', view: FlamePage },
  threads: { title: 'Threads', key: 's', view: ThreadsPage },
  traces: { title: 'Traces', key: 't', view: TracesPage },
  probes: { title: 'Probes', key: 'p', view: ProbesPage },
  agent: { title: 'Agent', key: 'a', view: AgentPage },
};

export const pageTabs = Object.entries(views).map(([name, entry]) => ({
  name: name as PageName,
  title: entry.title,
  key: entry.key,
}));

export function App() {
  const current = views[page.value];
  useEffect(() => {
    document.title = `${current.title} · hotspan`;
  }, [current]);
  useKeys([
    ...pageTabs.map(tab => ({ key: `g ${tab.key}`, help: `Go to ${tab.title}`, run: () => navigate({ page: tab.name }) })),
    {
      key: '.',
      help: 'Pause and resume live data',
      run: () => {
        isPaused.value = !isPaused.value;
      },
    },
    {
      key: '?',
      help: 'Show or hide all keys',
      run: () => {
        isHelpOpen.value = !isHelpOpen.value;
      },
    },
  ]);
  return (
    <>
      <TopBar tabs={pageTabs} />
      {disconnectedAtMs.value > 0 && (
        <div class="note error" role="status" data-testid="disconnected">
          <strong>No connection to the agent since {formatTime(disconnectedAtMs.value)}.</strong> What is shown stays as it was.
          It is tried again by itself; if the agent has ended, start it with <code>hotspan run</code>.
        </div>
      )}
      <main class="page" data-testid={`page-${page.value}`}>
        <ErrorBoundary key={page.value}>
          <current.view />
        </ErrorBoundary>
      </main>
      <HelpOverlay />
    </>
  );
}

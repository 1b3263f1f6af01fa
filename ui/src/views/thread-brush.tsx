/** What can be done with the threads and the range that a brush over the lanes chose. */

import { useLayoutEffect, useRef } from 'preact/hooks';
import type { ThreadsResult } from '../../../agent/server/api.ts';
import { formatCount, formatDuration, formatTime } from '../lib/format.ts';
import { filterOfThreads, shareOfRange, type ThreadChoice } from '../lib/thread-timeline.ts';
import { filterText, navigate, setRange } from '../state/address.ts';
import { useDismiss } from './parts.tsx';
import { flameOfThreads } from './thread-lanes.tsx';

const rowPx = 24;
const menuPx = 340;
const namesPx = 280;

export function BrushMenu(props: { result: ThreadsResult; choice: ThreadChoice; widthPx: number; close: () => void }) {
  const { result, choice, widthPx, close } = props;
  const { fromMs, toMs, threads } = choice;
  const first = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => first.current?.focus({ preventScroll: true }), []);
  useDismiss(true, close);
  const rows = threads.map(own => result.threads.findIndex(({ pid, tid }) => pid === own.pid && tid === own.tid));
  const below = Math.max(...rows) + 1;
  const right = shareOfRange(result, toMs) * widthPx;
  const left = Math.max(0, Math.min(widthPx - menuPx, right - menuPx));
  // Below the last rows nothing can be scrolled into sight: over the brush's upper edge then.
  const isAbove = below + 6 > result.threads.length && Math.min(...rows) > 5;
  const top = isAbove ? Math.min(...rows) * rowPx - 6 : below * rowPx + 4;
  const name = threads.length === 1 ? `${threads[0]?.thread} ${threads[0]?.tid}` : `${formatCount(threads.length)} threads`;
  const item = (title: string, testId: string, run: () => void) => (
    <button
      ref={testId === 'brush-flame' ? first : null}
      type="button"
      class="menu-item"
      onClick={() => {
        close();
        run();
      }}
      data-testid={testId}
    >
      {title}
    </button>
  );
  return (
    <div
      class={isAbove ? 'popup brush-menu above' : 'popup brush-menu'}
      style={{ left: `${namesPx + left}px`, top: `${top}px`, width: `${menuPx}px` }}
      data-testid="brush-menu"
    >
      <div class="frame-menu-name">
        {name}, {formatTime(fromMs)} – {formatTime(toMs)} <span class="dim">{formatDuration((toMs - fromMs) * 1e6)}</span>
      </div>
      {item('Wall-clock flame graph', 'brush-flame', () => navigate(flameOfThreads(threads, choice)))}
      {item('Zoom to this range', 'brush-zoom', () => setRange(fromMs, toMs))}
      {item('Zoom to this range and these threads', 'brush-both', () =>
        navigate({
          params: { from: String(fromMs), to: String(toMs), filter: filterOfThreads(filterText.peek(), threads) },
        }),
      )}
    </div>
  );
}

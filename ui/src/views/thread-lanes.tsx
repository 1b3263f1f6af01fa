/** Timelines of threads under each other on one canvas, their names beside it, and what is under the pointer in words. */

import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { ThreadsResult, ThreadTimeline, TimeKind } from '../../../agent/server/api.ts';
import { formatDuration, formatShare, formatTime } from '../lib/format.ts';
import { areaFill, cssColor, kindHue, kindTitles, type Theme } from '../lib/frame-kind.ts';
import {
  barsOf,
  choiceBetween,
  filterOfThreads,
  kindsOf,
  shareOf,
  shareOfRange,
  stepAt,
  stepStartMs,
  type ThreadChoice,
} from '../lib/thread-timeline.ts';
import { timeTicks } from '../lib/time-ticks.ts';
import { type AddressPatch, filterText, goBack, navigate } from '../state/address.ts';
import { theme } from '../state/theme.ts';
import { useSize } from '../state/use-size.ts';
import { fitCanvas } from './flame-painter.ts';
import { PageLink } from './parts.tsx';
import { BrushMenu } from './thread-brush.tsx';

const rowPx = 24;
const gapPx = 4;
/** A shorter drag is a click. */
const dragPx = 4;

/** Where the wall-clock flame graph of threads is: over the range of the page, or over a chosen one. */
export function flameOfThreads(threads: readonly ThreadTimeline[], range?: { fromMs: number; toMs: number }): AddressPatch {
  const chosen = range === undefined ? {} : { from: String(range.fromMs), to: String(range.toMs) };
  return { page: 'flame', params: { type: 'wall', filter: filterOfThreads(filterText.value, threads), ...chosen } };
}

interface Place {
  x: number;
  row: number;
}

export interface ThreadLanesProps {
  result: ThreadsResult;
  without: readonly TimeKind[];
  /** The kind of time whose share stands beside each name. */
  told: TimeKind;
}

export function ThreadLanes({ result, without, told }: ThreadLanesProps) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = useSize(box);
  const [drag, setDrag] = useState<{ from: Place; to: Place } | undefined>(undefined);
  const [chosen, setChosen] = useState<ThreadChoice | undefined>(undefined);
  const [pointed, setPointed] = useState<Place | undefined>(undefined);
  const shownTheme = theme.value;
  const { threads } = result;
  const hidden = without.join();
  useLayoutEffect(() => {
    if (canvas.current !== null && size.width > 0)
      paintLanes(canvas.current, result, { widthPx: size.width, shownTheme, without });
  }, [result, size.width, shownTheme, hidden]);

  const place = (event: PointerEvent) => {
    const edges = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return { x: event.clientX - edges.left, row: Math.floor((event.clientY - edges.top) / rowPx) };
  };
  const isBrush = drag !== undefined && Math.abs(drag.to.x - drag.from.x) >= dragPx;
  const brushed = isBrush ? choiceBetween(result, drag.from, drag.to, size.width) : chosen;
  const finish = (event: PointerEvent) => {
    if (drag === undefined) return;
    setDrag(undefined);
    if (isBrush) return setChosen(brushed);
    const thread = threads[place(event).row];
    if (thread !== undefined) navigate(flameOfThreads([thread]));
  };
  const thread = pointed === undefined ? undefined : threads[pointed.row];
  return (
    <div class="threads-body">
      <Ticks result={result} widthPx={size.width} told={told} />
      <div class="threads-lanes">
        <ol class="thread-names" aria-label="Threads, the most active first">
          {threads.map((own, row) => (
            <ThreadName key={`${own.pid} ${own.tid}`} thread={own} told={told} isPointed={row === pointed?.row} />
          ))}
        </ol>
        {/* biome-ignore lint/a11y/noStaticElementInteractions: the pointer's way; names beside it and the table are the keyboard's. */}
        <div
          ref={box}
          class="thread-canvas"
          style={{ height: `${threads.length * rowPx}px` }}
          onPointerDown={event => {
            if (event.button !== 0) return;
            event.currentTarget.setPointerCapture(event.pointerId);
            const at = place(event);
            setChosen(undefined);
            setDrag({ from: at, to: at });
          }}
          onPointerMove={event => {
            const at = place(event);
            setPointed(at);
            if (drag !== undefined) setDrag({ from: drag.from, to: at });
          }}
          onPointerUp={finish}
          onPointerCancel={() => setDrag(undefined)}
          onPointerLeave={() => setPointed(undefined)}
          onDblClick={goBack}
          data-testid="thread-lanes"
        >
          <canvas ref={canvas} role="img" aria-label="What each thread did over time; the table (t) has the same content" />
          {brushed !== undefined && <Brush result={result} choice={brushed} />}
          {thread !== undefined && pointed !== undefined && chosen === undefined && (
            <Tip result={result} thread={thread} x={pointed.x} row={pointed.row} widthPx={size.width} />
          )}
        </div>
        {chosen !== undefined && drag === undefined && (
          <BrushMenu result={result} choice={chosen} widthPx={size.width} close={() => setChosen(undefined)} />
        )}
      </div>
    </div>
  );
}

/** Over every chosen thread: live data may part them. */
function Brush({ result, choice }: { result: ThreadsResult; choice: ThreadChoice }) {
  const share = (ms: number) => `${Math.min(100, Math.max(0, shareOfRange(result, ms) * 100))}%`;
  const rows = choice.threads.map(own => result.threads.findIndex(({ pid, tid }) => pid === own.pid && tid === own.tid));
  return (
    <>
      {rows
        .filter(row => row >= 0)
        .map(row => (
          <div
            key={row}
            class="thread-brush"
            style={{
              top: `${row * rowPx}px`,
              height: `${rowPx}px`,
              left: share(choice.fromMs),
              right: `calc(100% - ${share(choice.toMs)})`,
            }}
          />
        ))}
    </>
  );
}

function ThreadName({ thread, told, isPointed }: { thread: ThreadTimeline; told: TimeKind; isPointed: boolean }) {
  return (
    <li class={isPointed ? 'thread-name pointed' : 'thread-name'}>
      <PageLink to={flameOfThreads([thread])} class="quiet cut" title="Its wall-clock flame graph" testId="thread-name">
        <b>{thread.thread}</b>{' '}
        <span class="dim">{thread.process === thread.thread ? thread.tid : `${thread.process} ${thread.tid}`}</span>
      </PageLink>
      <span class="num" title={`Share of its time: ${kindTitles[told]}`}>
        {formatShare(shareOf(thread, told))}
      </span>
    </li>
  );
}

function Ticks({ result, widthPx, told }: { result: ThreadsResult; widthPx: number; told: TimeKind }) {
  const { fromMs, toMs } = result;
  return (
    <div class="thread-ticks" aria-hidden="true">
      <span class="dim">{kindTitles[told]}</span>
      <div>
        {timeTicks(fromMs, toMs, Math.max(2, widthPx / 110)).map(ms => (
          <span key={ms} style={{ left: `${shareOfRange(result, ms) * 100}%` }}>
            {formatTime(ms)}
          </span>
        ))}
      </div>
    </div>
  );
}

function Tip(props: { result: ThreadsResult; thread: ThreadTimeline; x: number; row: number; widthPx: number }) {
  const { result, thread, x, row, widthPx } = props;
  const step = stepAt(result, x, widthPx);
  const kinds = kindsOf(thread, step, step + 1);
  const all = kinds.reduce((sum, { ns }) => sum + ns, 0);
  const side = x > widthPx * 0.65 ? { right: `${widthPx - x + 14}px` } : { left: `${x + 14}px` };
  // Above the last rows, for below them nothing can be scrolled into sight.
  const rowsBelow = result.threads.length - row - 1;
  const height =
    rowsBelow < 8 && row > rowsBelow ? { bottom: `${(rowsBelow + 1) * rowPx}px` } : { top: `${(row + 1) * rowPx}px` };
  return (
    <div class="tip" style={{ ...side, ...height }} data-testid="thread-tip">
      <b>
        {thread.thread} {thread.tid}
      </b>
      <span class="dim">
        {formatTime(stepStartMs(result, step))} – {formatTime(stepStartMs(result, step + 1))}
      </span>
      {kinds.length === 0 && <span class="dim">not seen</span>}
      {kinds.map(({ kind, ns }) => (
        <span key={kind} class="thread-tip-line">
          <i style={{ background: cssColor(kindHue(kind)) }} />
          <span>{kindTitles[kind]}</span>
          <span class="num">{formatDuration(ns)}</span>
          <span class="num dim">{formatShare(ns / all)}</span>
        </span>
      ))}
    </div>
  );
}

function paintLanes(
  canvas: HTMLCanvasElement,
  result: ThreadsResult,
  look: { widthPx: number; shownTheme: Theme; without: readonly TimeKind[] },
): void {
  const { widthPx, shownTheme } = look;
  const ratio = window.devicePixelRatio;
  const context = fitCanvas(canvas, { widthPx, heightPx: result.threads.length * rowPx, pixelRatio: ratio });
  if (context === null) return;
  const snap = (px: number) => Math.round(px * ratio) / ratio;
  const barPx = rowPx - gapPx;
  result.threads.forEach((thread, row) => {
    const base = row * rowPx + rowPx - gapPx / 2;
    for (const bar of barsOf(thread, result, look.without)) {
      const left = snap((bar.from / result.steps) * widthPx);
      const right = snap((bar.to / result.steps) * widthPx);
      const bottom = snap(base - bar.bottom * barPx);
      const top = snap(base - bar.top * barPx);
      // Nothing that happened is drawn as nothing: a sliver of work is what one looks for.
      const height = bar.kind === 'on-cpu' ? Math.max(1 / ratio, bottom - top) : bottom - top;
      context.fillStyle = laneFill(bar.kind, shownTheme);
      context.fillRect(left, bottom - height, Math.max(1 / ratio, right - left), height);
    }
  });
}

/** Idle time is the ground on which the rest stands out. */
function laneFill(kind: TimeKind, shownTheme: Theme): string {
  if (kind === 'idle') return cssColor(kindHue(kind), shownTheme === 'dark' ? 0.12 : 0.22);
  return cssColor(areaFill(kind, shownTheme));
}

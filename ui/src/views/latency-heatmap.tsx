/** Counts by time and latency. A brush or a click on a cell chooses: of spans these very ones, of what is only counted the time. */

import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { HeatmapResult } from '../../../agent/server/api.ts';
import { filterDuration, replaceTerms } from '../lib/filter.ts';
import { formatCount, formatDuration, formatLatencyTick, formatTime } from '../lib/format.ts';
import { cssColor, errorHue, mix, type Rgb, surfaceOf, type Theme } from '../lib/frame-kind.ts';
import {
  areaBetween,
  type CellArea,
  type CellRange,
  countsOfArea,
  intensity,
  latencyTicks,
  rangeOfArea,
  rowSums,
} from '../lib/heatmap.ts';
import { timeTicks } from '../lib/time-ticks.ts';
import { filterText, goBack, navigate } from '../state/address.ts';
import { theme } from '../state/theme.ts';
import { useSize } from '../state/use-size.ts';
import { fitCanvas } from './flame-painter.ts';

const axisWidthPx = 56;
const axisHeightPx = 18;
const countHue: Rgb = [86, 180, 233];

interface Point {
  x: number;
  y: number;
}

export interface LatencyHeatmapProps {
  map: HeatmapResult;
  heightPx: number;
  isTable: boolean;
  /** What is counted. */
  noun?: string;
  onChoose?: (range: CellRange) => void;
}

export function LatencyHeatmap({ map, heightPx, isTable, noun = 'spans', onChoose = openSpans }: LatencyHeatmapProps) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = useSize(box);
  const [drag, setDrag] = useState<{ from: Point; to: Point } | undefined>(undefined);
  const [pointed, setPointed] = useState<Point | undefined>(undefined);
  const shownTheme = theme.value;
  const plot = { widthPx: Math.max(1, size.width - axisWidthPx), heightPx: heightPx - axisHeightPx };
  useLayoutEffect(() => {
    if (canvas.current !== null && size.width > 0) paintMap(canvas.current, map, { widthPx: size.width, heightPx, shownTheme });
  }, [map, size.width, heightPx, shownTheme, isTable]);
  if (isTable) return <HeatmapTable {...{ map, noun, onChoose }} />;

  const place = (event: PointerEvent): Point => {
    const edges = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return { x: event.clientX - edges.left - axisWidthPx, y: event.clientY - edges.top };
  };
  const area =
    drag !== undefined
      ? areaBetween(map, plot, drag.from, drag.to)
      : pointed === undefined
        ? undefined
        : areaBetween(map, plot, pointed, pointed);
  const finish = () => {
    if (drag === undefined) return;
    setDrag(undefined);
    const chosen = areaBetween(map, plot, drag.from, drag.to);
    if (countsOfArea(map, chosen).count > 0 || chosen.lastColumn > chosen.firstColumn) onChoose(rangeOfArea(map, chosen));
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the brush is the pointer's way; the table is the keyboard's.
    <div
      ref={box}
      class="heatmap"
      style={{ height: `${heightPx}px` }}
      onPointerDown={event => {
        if (event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        const at = place(event);
        setDrag({ from: at, to: at });
      }}
      onPointerMove={event => {
        const at = place(event);
        setPointed(at.x >= 0 && at.y < plot.heightPx ? at : undefined);
        if (drag !== undefined) setDrag({ from: drag.from, to: at });
      }}
      onPointerUp={finish}
      onPointerCancel={() => setDrag(undefined)}
      onPointerLeave={() => setPointed(undefined)}
      onDblClick={goBack}
      data-testid="heatmap"
    >
      <canvas ref={canvas} role="img" aria-label={`${noun} by time and latency; the table (t) has the same content`} />
      {area !== undefined && <AreaMark {...{ map, plot, area, noun }} isDragging={drag !== undefined} />}
    </div>
  );
}

function openSpans(range: CellRange): void {
  const filter = replaceTerms(
    filterText.peek(),
    ['duration'],
    [
      // The filter has no "at least": one nanosecond less and "greater than" is the same.
      { key: 'duration', op: '>', value: filterDuration(Math.max(0, Math.ceil(range.fromNs) - 1)) },
      { key: 'duration', op: '<', value: filterDuration(Math.ceil(range.toNs)) },
    ],
  );
  navigate({ params: { from: String(Math.floor(range.fromMs)), to: String(Math.ceil(range.toMs)), filter, select: undefined } });
}

function AreaMark(props: {
  map: HeatmapResult;
  plot: { widthPx: number; heightPx: number };
  area: CellArea;
  noun: string;
  isDragging: boolean;
}) {
  const { map, plot, area } = props;
  const range = rangeOfArea(map, area);
  const { count, errors } = countsOfArea(map, area);
  if (count === 0 && !props.isDragging) return null;
  const cellWidth = plot.widthPx / map.columns;
  const cellHeight = plot.heightPx / map.rows;
  const left = axisWidthPx + area.firstColumn * cellWidth;
  const top = plot.heightPx - (area.lastRow + 1) * cellHeight;
  const width = (area.lastColumn - area.firstColumn + 1) * cellWidth;
  const isRight = left > plot.widthPx * 0.65;
  return (
    <>
      <div
        class="area-mark"
        style={{
          left: `${left}px`,
          top: `${top}px`,
          width: `${width}px`,
          height: `${(area.lastRow - area.firstRow + 1) * cellHeight}px`,
        }}
      />
      <div
        class="tip"
        style={
          isRight
            ? { right: `${plot.widthPx + axisWidthPx - left + 8}px`, top: `${top}px` }
            : { left: `${left + width + 8}px`, top: `${top}px` }
        }
      >
        <b>
          {count > 0 && count < 1 ? '<1' : formatCount(count)} {props.noun}
        </b>
        {errors > 0 && <span class="bad">{formatCount(errors)} with errors</span>}
        <span>
          {formatDuration(range.fromNs)} – {formatDuration(range.toNs)}
        </span>
        <span class="dim">
          {formatTime(range.fromMs)} – {formatTime(range.toMs)}
        </span>
      </div>
    </>
  );
}

function paintMap(
  canvas: HTMLCanvasElement,
  map: HeatmapResult,
  size: { widthPx: number; heightPx: number; shownTheme: Theme },
): void {
  const context = fitCanvas(canvas, { ...size, pixelRatio: window.devicePixelRatio });
  if (context === null) return;
  const surface = surfaceOf(size.shownTheme);
  const plotWidth = size.widthPx - axisWidthPx;
  const plotHeight = size.heightPx - axisHeightPx;
  paintAxes(context, map, { width: plotWidth, height: plotHeight, shownTheme: size.shownTheme });
  const max = map.counts.reduce((most, count) => Math.max(most, count), 0);
  const ratio = window.devicePixelRatio;
  const snap = (px: number) => Math.round(px * ratio) / ratio;
  for (let row = 0; row < map.rows; row += 1) {
    const top = snap(plotHeight - ((row + 1) * plotHeight) / map.rows);
    const bottom = snap(plotHeight - (row * plotHeight) / map.rows);
    for (let column = 0; column < map.columns; column += 1) {
      const count = map.counts[row * map.columns + column] ?? 0;
      if (count === 0) continue;
      const errors = map.errors[row * map.columns + column] ?? 0;
      const left = snap(axisWidthPx + (column * plotWidth) / map.columns);
      const right = snap(axisWidthPx + ((column + 1) * plotWidth) / map.columns);
      const width = Math.max(right - left - 1 / ratio, 1 / ratio);
      const height = Math.max(bottom - top - 1 / ratio, 1 / ratio);
      context.fillStyle = cssColor(mix(surface, countHue, intensity(count, max)));
      context.fillRect(left, top, width, height);
      if (errors === 0) continue;
      // The errors' share of the cell in their own hue, and never too narrow to be seen.
      context.fillStyle = cssColor(mix(surface, errorHue, 0.35 + 0.65 * intensity(errors, max)));
      context.fillRect(left, top, Math.max((width * errors) / count, Math.min(2, width)), height);
    }
  }
}

function paintAxes(
  context: CanvasRenderingContext2D,
  map: HeatmapResult,
  size: { width: number; height: number; shownTheme: Theme },
): void {
  const { width, height, shownTheme } = size;
  context.font = '11px system-ui, sans-serif';
  context.fillStyle = shownTheme === 'dark' ? '#8d939d' : '#666c75';
  context.strokeStyle = shownTheme === 'dark' ? 'rgb(255 255 255 / .07)' : 'rgb(0 0 0 / .07)';
  context.lineWidth = 1;
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  for (const { ns, at } of latencyTicks(map)) {
    const y = Math.round(height - at * height) + 0.5;
    context.beginPath();
    context.moveTo(axisWidthPx, y);
    context.lineTo(axisWidthPx + width, y);
    context.stroke();
    context.fillText(formatLatencyTick(ns), axisWidthPx - 6, Math.min(height - 6, Math.max(6, y)));
  }
  context.textAlign = 'center';
  for (const ms of timeTicks(map.fromMs, map.toMs, Math.max(2, width / 110))) {
    const x = axisWidthPx + ((ms - map.fromMs) / (map.toMs - map.fromMs)) * width;
    if (x > axisWidthPx + 24 && x < axisWidthPx + width - 24) context.fillText(formatTime(ms), x, height + axisHeightPx / 2 + 1);
  }
}

function HeatmapTable({ map, noun, onChoose }: Required<Pick<LatencyHeatmapProps, 'map' | 'noun' | 'onChoose'>>) {
  const rows = useMemo(() => rowSums(map), [map]);
  const hasErrors = map.errors.length > 0;
  return (
    <div class="scroll-y" style={{ maxHeight: '240px' }}>
      <table class="grid" data-testid="heatmap-table">
        <thead>
          <tr>
            <th class="num">Latency from</th>
            <th class="num">to</th>
            <th class="num">{noun.charAt(0).toUpperCase() + noun.slice(1)}</th>
            {hasErrors && <th class="num">Errors</th>}
          </tr>
        </thead>
        <tbody>
          {rows.map(row => (
            <tr key={row.fromNs}>
              <td class="num">{formatDuration(row.fromNs)}</td>
              <td class="num">{formatDuration(row.toNs)}</td>
              <td class="num">
                <button type="button" class="plain" onClick={() => onChoose(row)}>
                  {formatCount(row.count)}
                </button>
              </td>
              {hasErrors && <td class={row.errors > 0 ? 'num bad' : 'num'}>{formatCount(row.errors)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A time series with a brush: dragging sets the time range of the whole UI, a double click takes it back. */

import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { formatTime } from '../lib/format.ts';
import { cssColor, mix, type Rgb, surfaceOf, type Theme } from '../lib/frame-kind.ts';
import { type ChartData, sumAt } from '../lib/series.ts';
import { goBack, setRange } from '../state/address.ts';
import { theme } from '../state/theme.ts';
import { useSize } from '../state/use-size.ts';

export interface TimeSeriesProps {
  title: string;
  data: ChartData;
  hues: readonly Rgb[];
  isStacked: boolean;
  /** Whole range, also where there is no data. */
  fromMs: number;
  toMs: number;
  heightPx: number;
  format: (value: number) => string;
  /** Charts of one group show one cursor. */
  syncKey: string;
  testId?: string;
}

const axisFont = '11px system-ui, sans-serif';

export function TimeSeries(props: TimeSeriesProps) {
  const box = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLSpanElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const size = useSize(box);
  const shownTheme = theme.value;
  const { data } = props;
  const labels = data.labels.join('\n');
  // uPlot takes the groups drawn last as the topmost; stacked sums are largest last, so they are drawn in reverse.
  const columns = useMemo(() => [data.times, ...[...data.drawn].reverse()] as uPlot.AlignedData, [data]);

  useLayoutEffect(() => {
    if (box.current === null || size.width === 0) return undefined;
    const chart = new uPlot(chartOptions(latest, shownTheme, size.width, readout), columns, box.current);
    plot.current = chart;
    return () => {
      chart.destroy();
      plot.current = undefined;
    };
  }, [shownTheme, labels, size.width, props.heightPx]);
  useEffect(() => {
    plot.current?.setData(columns, false);
    plot.current?.setScale('x', { min: props.fromMs / 1000, max: props.toMs / 1000 });
    showReadout(latest.current, plot.current?.cursor.idx ?? null, readout.current);
  }, [columns, props.fromMs, props.toMs]);

  return (
    <figure class="chart" data-testid={props.testId} aria-label={`${props.title} over time`}>
      <figcaption>
        <span class="chart-title">{props.title}</span>
        <span class="chart-readout" ref={readout} />
      </figcaption>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the brush is the pointer's way; the range picker is the keyboard's. */}
      <div ref={box} class="chart-box" style={{ height: `${props.heightPx}px` }} onDblClick={goBack} />
    </figure>
  );
}

function chartOptions(
  latest: { current: TimeSeriesProps },
  shown: Theme,
  widthPx: number,
  readout: { current: HTMLElement | null },
): uPlot.Options {
  const props = latest.current;
  const faint = shown === 'dark' ? 'rgb(255 255 255 / .07)' : 'rgb(0 0 0 / .07)';
  const text = shown === 'dark' ? '#8d939d' : '#666c75';
  const count = props.data.labels.length;
  const series = [...props.data.labels].reverse().map((label, i): uPlot.Series => {
    const hue = props.hues[(count - 1 - i) % props.hues.length] ?? surfaceOf(shown);
    const fill = cssColor(mix(surfaceOf(shown), hue, shown === 'dark' ? 0.5 : 0.42));
    return { label, stroke: cssColor(hue), width: 1, points: { show: false }, ...(props.isStacked ? { fill } : {}) };
  });
  const axis = { stroke: text, font: axisFont, grid: { stroke: faint, width: 1 }, ticks: { show: false } };
  return {
    width: widthPx,
    height: props.heightPx,
    padding: [6, 0, 0, 0],
    legend: { show: false },
    scales: {
      x: { time: true, range: () => xRange(latest.current) },
      y: { range: (_chart, _min, max) => [0, max > 0 ? max * 1.08 : 1] },
    },
    axes: [
      { ...axis, size: 18, gap: 2, space: 90, values: (_chart, splits) => splits.map(at => formatTime(at * 1000)) },
      { ...axis, size: 64, gap: 4, space: 26, values: (_chart, splits) => splits.map(value => props.format(value)) },
    ],
    series: [{}, ...series],
    cursor: {
      drag: { x: true, y: false, setScale: false, dist: 4 },
      sync: { key: props.syncKey, setSeries: false },
      points: { show: false },
      y: false,
      bind: { dblclick: () => null },
    },
    hooks: {
      setCursor: [chart => showReadout(latest.current, chart.cursor.idx ?? null, readout.current)],
      setSelect: [
        chart => {
          const { left, width } = chart.select;
          if (width < 4) return;
          const from = chart.posToVal(left, 'x') * 1000;
          const to = chart.posToVal(left + width, 'x') * 1000;
          chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          setRange(from, to);
        },
      ],
    },
  };
}

function xRange(props: TimeSeriesProps): [number, number] {
  return [props.fromMs / 1000, props.toMs / 1000];
}

/** The values under the cursor, else the last ones: written straight into the page, for the pointer does not wait. */
function showReadout(props: TimeSeriesProps, index: number | null, target: HTMLElement | null): void {
  if (target === null) return;
  const { data } = props;
  const at = index ?? lastMeasured(data);
  const sum = at < 0 ? null : sumAt(data, at);
  if (sum === null) {
    target.textContent = '';
    return;
  }
  const time = index === null ? '' : `${formatTime((data.times[at] ?? 0) * 1000)}  `;
  const parts = data.labels
    .map((label, i) => ({ label, value: data.values[i]?.[at] ?? null }))
    .filter(part => part.value !== null && part.label !== '' && (part.value > 0 || data.labels.length <= 4))
    .slice(0, 4)
    .map(part => `${part.label} ${props.format(part.value ?? 0)}`);
  target.textContent =
    time +
    (props.isStacked || parts.length === 0 ? props.format(sum) : '') +
    (parts.length > 1 || !props.isStacked ? `  ${parts.join('  ')}` : '');
}

function lastMeasured(data: ChartData): number {
  for (let i = data.times.length - 1; i >= 0; i -= 1) if (sumAt(data, i) !== null) return i;
  return -1;
}

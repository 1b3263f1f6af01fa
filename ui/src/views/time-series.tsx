/** A time series with a brush: dragging sets the time range of the whole UI, a double click takes it back. */

import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { formatDate, formatTime } from '../lib/format.ts';
import { cssColor, errorHue, mix, type Rgb, surfaceOf, type Theme } from '../lib/frame-kind.ts';
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
  /** Shorter, for the axis. */
  formatAxis: (value: number) => string;
  /** Its axis tells whole numbers only: of a byte, there are no parts. */
  isWhole?: boolean;
  /** Charts of one group show one cursor. */
  syncKey: string;
  /** Colours and values of the groups on a line of their own, kept free where there are none. */
  hasGroupLine?: boolean;
  testId?: string;
}

/** Places in the page that follow the cursor. */
interface Readouts {
  time: HTMLElement | null;
  sum: HTMLElement | null;
  groups: (HTMLElement | null)[];
}

const axisFont = '11px system-ui, sans-serif';
const rightPaddingPx = 14;
/** Half of the width of a digit in that font, generously. */
const halfDigitPx = 3.4;
/** Between the lines of an axis of whole numbers. */
const wholeSteps = Array.from({ length: 16 }, (_, power) => [1, 2, 2.5, 5].map(step => step * 10 ** power))
  .flat()
  .filter(Number.isInteger);

export function TimeSeries(props: TimeSeriesProps) {
  const box = useRef<HTMLDivElement>(null);
  const readouts = useRef<Readouts>({ time: null, sum: null, groups: [] });
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
    const chart = new uPlot(chartOptions(latest, shownTheme, size.width, readouts.current), columns, box.current);
    plot.current = chart;
    return () => {
      chart.destroy();
      plot.current = undefined;
    };
  }, [shownTheme, labels, size.width, props.heightPx]);
  useEffect(() => {
    plot.current?.setData(columns, false);
    plot.current?.setScale('x', { min: props.fromMs / 1000, max: props.toMs / 1000 });
    showReadout(latest.current, plot.current?.cursor.idx ?? null, readouts.current);
  }, [columns, props.fromMs, props.toMs]);

  const groups = data.labels.length > 1 && <Groups data={data} hues={props.hues} readouts={readouts.current} />;
  return (
    <figure class="chart" data-testid={props.testId} aria-label={`${props.title} over time`}>
      <figcaption>
        <span class="chart-title">{props.title}</span>
        <b
          ref={element => {
            readouts.current.sum = element;
          }}
        />
        {props.hasGroupLine !== true && groups}
        <span class="grow" />
        <span
          class="dim"
          ref={element => {
            readouts.current.time = element;
          }}
        />
      </figcaption>
      {props.hasGroupLine === true && <div class="chart-groups">{groups}</div>}
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the brush is the pointer's way; the range picker is the keyboard's. */}
      <div ref={box} class="chart-box" style={{ height: `${props.heightPx}px` }} onDblClick={goBack} />
    </figure>
  );
}

/** What each colour is, with its value under the cursor. */
function Groups({ data, hues, readouts }: { data: ChartData; hues: readonly Rgb[]; readouts: Readouts }) {
  return (
    <>
      {data.labels.map((label, i) => (
        <span key={label} class="chart-group">
          <i style={{ background: cssColor(hues[i % hues.length] ?? errorHue) }} />
          <span class="dim">{label}</span>{' '}
          <span
            ref={element => {
              readouts.groups[i] = element;
            }}
          />
        </span>
      ))}
    </>
  );
}

function chartOptions(latest: { current: TimeSeriesProps }, shown: Theme, widthPx: number, readouts: Readouts): uPlot.Options {
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
    padding: [6, rightPaddingPx, 0, 0],
    legend: { show: false },
    scales: {
      x: { time: true, range: () => xRange(latest.current) },
      y: { range: (_chart, _min, max) => [0, max > 0 ? max * 1.08 : 1] },
    },
    axes: [
      {
        ...axis,
        size: 20,
        gap: 5,
        // Seconds take more room than hours and minutes.
        space: (_chart, _axis, min, max) => (max - min < 600 ? 68 : 46),
        values: (chart, splits, _axis, _space, stepSeconds) => {
          const lastPx = chart.bbox.width / devicePixelRatio + rightPaddingPx;
          return splits.map(at => {
            const label = shortTime(at, stepSeconds);
            return chart.valToPos(at, 'x') + label.length * halfDigitPx > lastPx ? '' : label;
          });
        },
      },
      {
        ...axis,
        size: 52,
        gap: 4,
        space: 24,
        ...(props.isWhole === true ? { incrs: wholeSteps } : {}),
        values: (_chart, splits) => splits.map(value => props.formatAxis(value)),
      },
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
      setCursor: [chart => showReadout(latest.current, chart.cursor.idx ?? null, readouts)],
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

/** Seconds are told where they differ; at midnight, the day. */
function shortTime(seconds: number, stepSeconds: number): string {
  const time = formatTime(seconds * 1000);
  if (time === '00:00:00') return formatDate(seconds * 1000).slice(5);
  return stepSeconds % 60 === 0 ? time.slice(0, 5) : time;
}

function xRange(props: TimeSeriesProps): [number, number] {
  return [props.fromMs / 1000, props.toMs / 1000];
}

/** The values under the cursor, else the last ones: written straight into the page, for the pointer does not wait. */
function showReadout(props: TimeSeriesProps, index: number | null, targets: Readouts): void {
  const { data } = props;
  const at = index ?? lastMeasured(data);
  const sum = at < 0 ? null : sumAt(data, at);
  if (targets.time !== null)
    targets.time.textContent = index === null || sum === null ? '' : formatTime((data.times[at] ?? 0) * 1000);
  if (targets.sum !== null)
    targets.sum.textContent = sum === null || (!props.isStacked && data.labels.length > 1) ? '' : props.format(sum);
  targets.groups.forEach((target, i) => {
    const value = data.values[i]?.[at] ?? null;
    if (target !== null) target.textContent = value === null ? '' : props.format(value);
  });
}

function lastMeasured(data: ChartData): number {
  for (let i = data.times.length - 1; i >= 0; i -= 1) if (sumAt(data, i) !== null) return i;
  return -1;
}

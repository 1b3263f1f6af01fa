/** The Flame page: when (time series), where (graph, table, sandwich), and how sure (samples, losses, incomplete stacks). */

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { FrameKind, SeriesResult } from '../../../agent/server/api.ts';
import { type FlameLayout, nodeByKey, nodeKey, pathOf, sumOfFunctions } from '../lib/flame-layout.ts';
import { formatCompact, formatCoreCount, formatCount, formatShare, formatValue } from '../lib/format.ts';
import { seriesHue } from '../lib/frame-kind.ts';
import { scopeLength } from '../lib/frame-name.ts';
import { matchFunctions } from '../lib/function-table.ts';
import { chartData } from '../lib/series.ts';
import { resolveRange } from '../lib/time-range.ts';
import { filterText, rangeFrom, rangeTo } from '../state/address.ts';
import { apiUrl } from '../state/api.ts';
import { changeFlame, type FlameState, flameState } from '../state/flame-state.ts';
import { useKeys } from '../state/keys.ts';
import { agentNowMs, liveTick } from '../state/live.ts';
import { useApi } from '../state/use-api.ts';
import { useProfile } from '../state/use-profile.ts';
import type { FlamePicture } from '../worker/flame-protocol.ts';
import { type FlameControl, FlameGraph } from './flame-graph.tsx';
import { FlameMenu } from './flame-menu.tsx';
import { FlameStatus } from './flame-status.tsx';
import { FlameToolbar } from './flame-toolbar.tsx';
import { FunctionTable } from './function-table.tsx';
import { KindLegend } from './kind-legend.tsx';
import { Empty, FailureNote } from './parts.tsx';
import { TimeSeries } from './time-series.tsx';

/**
 * Frames below this share of what is in sight are merged by the server. A tenth of what a pixel could show: code without names falls
 * into thousands of tiny frames, which together are much. Zooming in asks for finer ones.
 */
const finestShare = 2e-5;

export function FlamePage() {
  const state = flameState();
  const query = { type: state.type, from: rangeFrom.value, to: rangeTo.value, filter: filterText.value };
  const [viewShare, setViewShare] = useState(1);
  const minShare = finestShare * 10 ** Math.floor(Math.log10(viewShare));
  const { focus, hidden, folded } = state;
  const pivot = state.view === 'sandwich' ? state.select : '';
  const answer = useProfile(apiUrl('profile', { ...query, minShare: Number(minShare.toPrecision(1)) }), {
    focus,
    hidden,
    foldedKinds: folded,
    pivot,
  });
  const picture = answer.data;
  useEffect(() => {
    if (picture === undefined) return;
    const node = nodeByKey(picture.layout, picture.head.functions.name, state.zoom);
    setViewShare(Math.min(1, (picture.layout.total[node] ?? 0) / (picture.layout.total[0] || 1)) || 1);
  }, [picture, state.zoom]);
  return (
    <div class={`flame-page${answer.isLoading ? ' loading' : ''}`}>
      <FlameSeries type={state.type} />
      <FlameToolbar state={state} query={query} picture={picture} />
      {answer.failure !== undefined && <FailureNote failure={answer.failure} retry={answer.reload} />}
      {picture === undefined ? (
        <div class="flame-body skeleton-flame" aria-busy={answer.failure === undefined} />
      ) : picture.layout.total[0] === 0 ? (
        <NoSamples picture={picture} state={state} />
      ) : (
        <FlameBody state={state} picture={picture} />
      )}
    </div>
  );
}

function FlameSeries({ type }: { type: string }) {
  const answer = useApi<SeriesResult>(
    apiUrl('series', { name: type, from: rangeFrom.value, to: rangeTo.value, filter: filterText.value, points: 300 }),
  );
  const range = useMemo(
    () => resolveRange(rangeFrom.value, rangeTo.value, agentNowMs()),
    [rangeFrom.value, rangeTo.value, liveTick.value],
  );
  const data = useMemo(() => (answer.data === undefined ? undefined : chartData(answer.data, true)), [answer.data]);
  if (answer.failure !== undefined) return <FailureNote failure={answer.failure} />;
  if (data === undefined) return <div class="chart-place" style={{ height: '92px' }} />;
  const isCores = answer.data?.unit === 'cores';
  return (
    <TimeSeries
      title={isCores ? 'CPU, cores' : `${type}, ${answer.data?.unit ?? ''}`}
      data={data}
      hues={[seriesHue(7)]}
      isStacked
      {...range}
      heightPx={74}
      format={isCores ? formatCoreCount : formatCompact}
      formatAxis={formatCompact}
      syncKey="flame"
      testId="flame-series"
    />
  );
}

function NoSamples({ picture, state }: { picture: FlamePicture; state: FlameState }) {
  const isCut = state.focus !== '' || state.hidden.length > 0;
  if (isCut && picture.head.total > 0) {
    return <Empty title="Focus and hidden functions leave nothing over.">Remove one of them above the graph.</Empty>;
  }
  if (filterText.value !== '')
    return <Empty title="No samples in this range match the filter.">Clear the filter, or widen the time range.</Empty>;
  return (
    <Empty title={`No ${state.type} samples in this range.`}>
      Widen the time range, or look on the Probes page whether the source “{state.type}” is running:{' '}
      <code>hotspan sources start {state.type}</code>
    </Empty>
  );
}

function FlameBody({ state, picture }: { state: FlameState; picture: FlamePicture }) {
  const { layout, head } = picture;
  const { functions, unit } = head;
  const [hovered, setHovered] = useState(-1);
  const [menu, setMenu] = useState<{ node: number; x: number; y: number } | undefined>(undefined);
  const control = useRef<FlameControl | undefined>(undefined);
  const matches = useMemo(() => matchFunctions(functions.name, functions.module, state.search), [functions, state.search]);
  const zoomed = useMemo(() => nodeByKey(layout, functions.name, state.zoom), [layout, functions, state.zoom]);
  useEffect(() => setHovered(-1), [layout]);
  useFlameKeys(state, control);
  const viewTotal = layout.total[zoomed] ?? 0;
  const nameOf = (node: number) => functions.name[layout.fn[node] ?? -1] ?? 'all';
  const select = (name: string) =>
    changeFlame(state.view === 'sandwich' ? { select: name } : { select: name, search: exactly(name) });
  return (
    <>
      <FlameFacts state={state} picture={picture} matches={matches} zoomed={zoomed} />
      <div class="flame-body">
        <div class="flame-main">
          {state.view === 'sandwich' ? (
            <Sandwich picture={picture} select={state.select} />
          ) : (
            <>
              <ZoomPath picture={picture} zoomed={zoomed} isLost={state.zoom !== '' && zoomed === 0} />
              <FlameGraph
                layout={layout}
                functions={functions}
                orientation={state.view}
                zoom={state.zoom}
                onZoom={zoom => changeFlame({ zoom })}
                matches={matches}
                onHover={setHovered}
                onMenu={(node, x, y) => setMenu({ node, x, y })}
                label={`Flame graph of ${formatValue(layout.total[0] ?? 0, unit)}; the table (t) has the same content`}
                control={control}
              />
            </>
          )}
        </div>
        {(state.hasTable || state.view === 'sandwich') && (
          <FunctionTable
            layout={layout}
            functions={functions}
            unit={unit}
            matches={matches}
            order={state.order}
            onOrder={order => changeFlame({ order })}
            selected={state.select}
            onSelect={select}
          />
        )}
      </div>
      {state.view !== 'sandwich' && (
        <FlameStatus layout={layout} functions={functions} unit={unit} node={hovered} viewTotal={viewTotal} />
      )}
      {menu !== undefined && (
        <FlameMenu
          name={nameOf(menu.node)}
          stack={pathOf(layout, menu.node).map(nameOf)}
          x={menu.x}
          y={menu.y}
          onClose={() => setMenu(undefined)}
          onZoom={() => control.current?.zoomTo(menu.node)}
          onFocus={() => changeFlame({ focus: nameOf(menu.node), zoom: '' })}
          onHide={() => changeFlame({ hidden: [...state.hidden, nameOf(menu.node)] })}
          onSandwich={() => changeFlame({ view: 'sandwich', select: nameOf(menu.node) })}
          onSearch={() => changeFlame({ search: exactly(nameOf(menu.node)) })}
        />
      )}
    </>
  );
}

/** A search that finds this name only. */
function exactly(name: string): string {
  return `^${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`;
}

function useFlameKeys(state: FlameState, control: { current: FlameControl | undefined }): void {
  const move = (key: string, direction: 'up' | 'down' | 'left' | 'right') => ({
    key,
    help: 'Move among frames',
    run: () => control.current?.move(direction),
  });
  useKeys([
    ...(['ArrowUp', 'w'] as const).map(key => move(key, 'up')),
    ...(['ArrowDown', 's'] as const).map(key => move(key, 'down')),
    ...(['ArrowLeft', 'a'] as const).map(key => move(key, 'left')),
    ...(['ArrowRight', 'd'] as const).map(key => move(key, 'right')),
    { key: 'Enter', help: 'Zoom to the frame', run: () => control.current?.zoomToCursor() },
    { key: 'm', help: 'Menu on the frame', run: () => control.current?.menu() },
    {
      key: 'Escape',
      help: 'Zoom out one frame, or leave the search',
      run: () => (state.search !== '' && state.zoom === '' ? changeFlame({ search: '' }) : control.current?.zoomOut()),
    },
    {
      key: 'r',
      help: 'Reset zoom, search, focus and hidden',
      run: () => changeFlame({ zoom: '', search: '', focus: '', hidden: [], folded: [] }),
    },
    { key: 'i', help: 'Flame or icicle', run: () => changeFlame({ view: state.view === 'flame' ? 'icicle' : 'flame' }) },
    { key: 't', help: 'Table of functions', run: () => changeFlame({ hasTable: !state.hasTable }) },
  ]);
}

/** How much the picture stands on, and what its colours mean. */
function FlameFacts(props: { state: FlameState; picture: FlamePicture; matches: Uint8Array | undefined; zoomed: number }) {
  const { state, picture, matches, zoomed } = props;
  const { head, layout } = picture;
  const present = useMemo(() => {
    const kinds = new Set<FrameKind>();
    head.functions.kind.forEach((kind, f) => {
      if ((layout.fnTotal[f] ?? 0) > 0) kinds.add(kind);
    });
    return kinds;
  }, [picture]);
  const found = useMemo(() => {
    if (matches === undefined) return undefined;
    const from = layout.start[zoomed] ?? 0;
    return sumOfFunctions(layout, fn => fn >= 0 && matches[fn] === 1, { from, to: from + (layout.total[zoomed] ?? 0) });
  }, [layout, matches, zoomed]);
  const incomplete = Object.entries(head.incomplete);
  const broken = incomplete.reduce((sum, [, count]) => sum + count, 0);
  const toggle = (kind: FrameKind) =>
    changeFlame({ folded: state.folded.includes(kind) ? state.folded.filter(other => other !== kind) : [...state.folded, kind] });
  return (
    <div class="facts" data-testid="flame-facts">
      <b data-testid="flame-total">{formatValue(layout.total[0] ?? 0, head.unit)}</b>
      <span>{formatCount(head.samples)} samples</span>
      <span class={head.lost > 0 ? 'bad' : 'dim'}>lost {formatCompact(head.lost)}</span>
      <span class="dim" title={incomplete.map(([reason, count]) => `${reason}: ${formatCount(count)}`).join('\n')}>
        {broken === 0
          ? 'no stack known to be incomplete'
          : `${formatShare(broken / Math.max(1, head.samples))} of stacks incomplete`}
      </span>
      {found !== undefined && (
        <span class="found" data-testid="search-share">
          found {formatShare(found / (layout.total[zoomed] || 1))} {zoomed === 0 ? 'of all' : 'of view'} (
          {formatValue(found, head.unit)})
        </span>
      )}
      <span class="grow" />
      <KindLegend present={present} folded={state.folded} onToggle={toggle} />
    </div>
  );
}

/** The zoomed frame's ancestors, thin, from the root on; each leads back to itself. */
function ZoomPath({ picture, zoomed, isLost }: { picture: FlamePicture; zoomed: number; isLost: boolean }) {
  const { layout, head } = picture;
  const path = pathOf(layout, zoomed);
  const zoomToDepth = (depth: number) => changeFlame({ zoom: depth === 0 ? '' : keyOf(picture, path[depth - 1] ?? 0) });
  return (
    <nav class="zoom-path" aria-label="Path to the zoomed frame" data-testid="zoom-path">
      <button type="button" class="plain" onClick={() => zoomToDepth(0)} disabled={path.length === 0 && !isLost}>
        all
      </button>
      <div>
        {isLost && <span class="dim">the zoomed frame has no samples in this range</span>}
        {path.map((node, i) => (
          <button
            key={node}
            type="button"
            class="plain"
            onClick={() => zoomToDepth(i + 1)}
            title={head.functions.name[layout.fn[node] ?? -1]}
          >
            {shortName(head.functions.name[layout.fn[node] ?? -1] ?? '')}
          </button>
        ))}
      </div>
    </nav>
  );
}

/** The function's own name without its package and arguments: a path has room for no more. */
function shortName(name: string): string {
  return name.slice(scopeLength(name)).replace(/(?<=\w)\(.*$/, '') || name;
}

function keyOf(picture: FlamePicture, node: number): string {
  return nodeKey(picture.layout, picture.head.functions.name, node);
}

/** The chosen function, the only child of the root: the root itself says nothing in a sandwich. */
function pivotKey(layout: FlameLayout, names: readonly string[]): string {
  return layout.count > 1 ? nodeKey(layout, names, 1) : '';
}

/** Callers above, callees below, the chosen function in the middle. */
function Sandwich({ picture, select }: { picture: FlamePicture; select: string }) {
  const { callers, callees, head } = picture;
  const [hovered, setHovered] = useState<{ part: 'callers' | 'callees'; node: number }>({ part: 'callers', node: -1 });
  const [zooms, setZooms] = useState({ callers: '', callees: '' });
  useEffect(() => setZooms({ callers: '', callees: '' }), [select]);
  if (callers === undefined || callees === undefined) {
    return (
      <Empty title={select === '' ? 'No function chosen.' : `No samples of ${select} in this range.`}>
        Choose a function in the table to see who calls it, and what it calls.
      </Empty>
    );
  }
  const shown = hovered.part === 'callers' ? callers : callees;
  return (
    <div class="sandwich" data-testid="sandwich">
      <div class="sandwich-title dim">Callers of {select}</div>
      <FlameGraph
        layout={callers}
        functions={head.functions}
        orientation="flame"
        zoom={zooms.callers || pivotKey(callers, head.functions.name)}
        onZoom={zoom => setZooms({ ...zooms, callers: zoom })}
        onHover={node => setHovered({ part: 'callers', node })}
        label={`Callers of ${select}`}
        testId="callers"
      />
      <div class="sandwich-title dim">Callees</div>
      <FlameGraph
        layout={callees}
        functions={head.functions}
        orientation="icicle"
        zoom={zooms.callees || pivotKey(callees, head.functions.name)}
        onZoom={zoom => setZooms({ ...zooms, callees: zoom })}
        onHover={node => setHovered({ part: 'callees', node })}
        label={`Callees of ${select}`}
        testId="callees"
      />
      <FlameStatus
        layout={shown}
        functions={head.functions}
        unit={head.unit}
        node={hovered.node}
        viewTotal={shown.total[0] ?? 0}
      />
    </div>
  );
}

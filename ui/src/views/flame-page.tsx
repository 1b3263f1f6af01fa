/** The Flame page: when (time series), where (graph, table, sandwich), and how sure (samples, losses, incomplete stacks). */

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { nodeByKey, pathOf } from '../lib/flame-layout.ts';
import { formatValue } from '../lib/format.ts';
import { matchFunctions } from '../lib/function-table.ts';
import { profileType, shownUnit } from '../lib/profile-types.ts';
import { filterText } from '../state/address.ts';
import { apiUrl } from '../state/api.ts';
import { changeFlame, type FlameState, flameState } from '../state/flame-state.ts';
import { useKeys } from '../state/keys.ts';
import { queryFrom, queryTo } from '../state/live.ts';
import { useProfile } from '../state/use-profile.ts';
import type { FlamePicture } from '../worker/flame-protocol.ts';
import { FlameFacts } from './flame-facts.tsx';
import { FlameGraph } from './flame-graph.tsx';
import { FlameMenu } from './flame-menu.tsx';
import { FlameSeries } from './flame-series.tsx';
import type { FlameControl } from './flame-stage.ts';
import { FlameStatus } from './flame-status.tsx';
import { FlameToolbar } from './flame-toolbar.tsx';
import { FunctionTable } from './function-table.tsx';
import { Empty, EmptyActions, FailureNote } from './parts.tsx';
import { Sandwich } from './sandwich.tsx';
import { notRunning, StartSource } from './start-source.tsx';
import { ZoomPath } from './zoom-path.tsx';

/**
 * Frames below this share of what is in sight are merged by the server. A tenth of what a pixel could show: code without names falls
 * into thousands of tiny frames, which together are much. Zooming in asks for finer ones.
 */
const finestShare = 2e-5;

export function FlamePage() {
  const state = flameState();
  const without = state.without.join(',');
  const query = { type: state.type, from: queryFrom.value, to: queryTo.value, filter: filterText.value, without };
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
  const picture = useMemo(
    () =>
      answer.data && {
        ...answer.data,
        head: { ...answer.data.head, unit: shownUnit(answer.data.head.type, answer.data.head.unit) },
      },
    [answer.data],
  );
  useEffect(() => {
    if (picture === undefined) return;
    const node = nodeByKey(picture.layout, picture.head.functions.name, state.zoom);
    setViewShare(Math.min(1, (picture.layout.total[node] ?? 0) / (picture.layout.total[0] || 1)) || 1);
  }, [picture, state.zoom]);
  return (
    <div class={`flame-page${answer.isLoading ? ' loading' : ''}`}>
      <FlameSeries state={state} />
      <FlameToolbar state={state} query={query} picture={picture} />
      {answer.failure !== undefined && <FailureNote failure={answer.failure} retry={answer.reload} />}
      {picture === undefined ? (
        <div class="flame-body skeleton-flame" aria-busy={answer.failure === undefined} />
      ) : picture.layout.total[0] === 0 ? (
        <>
          {/* What was left out, and the legend that brings it back, stay in sight when nothing else is. */}
          {picture.head.withheld > 0 && <FlameFacts state={state} picture={picture} matches={undefined} zoomed={0} />}
          <NoSamples picture={picture} state={state} />
        </>
      ) : (
        <FlameBody state={state} picture={picture} />
      )}
    </div>
  );
}

function NoSamples({ picture, state }: { picture: FlamePicture; state: FlameState }) {
  const isCut = state.focus !== '' || state.hidden.length > 0;
  if (isCut && picture.head.total > 0) {
    return (
      <Empty title="Focus and hidden functions leave nothing over.">
        <button type="button" class="button" onClick={() => changeFlame({ focus: '', hidden: [], folded: [] })}>
          Show all functions
        </button>
      </Empty>
    );
  }
  if (filterText.value !== '')
    return (
      <Empty title="No samples in this range match the filter.">
        <EmptyActions />
      </Empty>
    );
  const type = profileType(state.type);
  const missing = notRunning(type.sources);
  return (
    <Empty title={`Nothing for “${type.title}” in this range.`}>
      {missing.length > 0 ? (
        <div class="row" data-testid="start-hint">
          It comes from the source{missing.length === 1 ? '' : 's'} {missing.map(name => `“${name}”`).join(' and ')}, which{' '}
          {missing.length === 1 ? 'does' : 'do'} not run:{' '}
          {missing.map(name => (
            <StartSource key={name} name={name} />
          ))}
          <span>
            or <code>hotspan sources start {missing.join(' ')}</code>
          </span>
        </div>
      ) : (
        <span>
          {state.without.length > 0 && picture.head.withheld > 0
            ? 'All there is was left out: show its kinds again in the legend.'
            : 'Its source runs; widen the time range, or wait for the next second.'}
        </span>
      )}
      {state.without.length > 0 && picture.head.withheld > 0 && (
        <button type="button" class="button" onClick={() => changeFlame({ without: [] })}>
          Show all kinds of time
        </button>
      )}
      <EmptyActions hasProbes />
    </Empty>
  );
}

function FlameBody({ state, picture }: { state: FlameState; picture: FlamePicture }) {
  const { layout, head } = picture;
  const { functions, unit } = head;
  const [hovered, setHovered] = useState(-1);
  const [menu, setMenu] = useState<MenuPlace | undefined>(undefined);
  const control = useRef<FlameControl | undefined>(undefined);
  const matches = useMemo(() => matchFunctions(functions.name, functions.module, state.search), [functions, state.search]);
  const zoomed = useMemo(() => nodeByKey(layout, functions.name, state.zoom), [layout, functions, state.zoom]);
  useFlameKeys(state, control);
  const viewTotal = layout.total[zoomed] ?? 0;
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
        <FlameStatus {...{ layout, functions, unit, viewTotal }} node={hovered} counted={profileType(head.type).counted} />
      )}
      {menu !== undefined && (
        <FrameMenu picture={picture} state={state} menu={menu} control={control.current} close={() => setMenu(undefined)} />
      )}
    </>
  );
}

interface MenuPlace {
  node: number;
  x: number;
  y: number;
}

function FrameMenu(props: {
  picture: FlamePicture;
  state: FlameState;
  menu: MenuPlace;
  control: FlameControl | undefined;
  close: () => void;
}) {
  const { menu, state } = props;
  const { layout, head } = props.picture;
  const nameOf = (node: number) => head.functions.name[layout.fn[node] ?? -1] ?? 'all';
  const name = nameOf(menu.node);
  return (
    <FlameMenu
      name={name}
      stack={pathOf(layout, menu.node).map(nameOf)}
      x={menu.x}
      y={menu.y}
      onClose={props.close}
      onZoom={() => props.control?.zoomTo(menu.node)}
      onFocus={() => changeFlame({ focus: name, zoom: '' })}
      onHide={() => changeFlame({ hidden: [...state.hidden, name] })}
      onSandwich={() => changeFlame({ view: 'sandwich', select: name })}
      onSearch={() => changeFlame({ search: exactly(name) })}
    />
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
      run: () => changeFlame({ zoom: '', search: '', focus: '', hidden: [], folded: [], type: state.type }),
    },
    { key: 'i', help: 'Flame or icicle', run: () => changeFlame({ view: state.view === 'flame' ? 'icicle' : 'flame' }) },
    { key: 't', help: 'Table of functions', run: () => changeFlame({ hasTable: !state.hasTable }) },
  ]);
}

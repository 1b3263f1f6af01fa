/** How much the flame graph stands on, what was lost, what a search found, and what the colours mean. */

import { useMemo } from 'preact/hooks';
import type { FrameKind } from '../../../agent/server/api.ts';
import { sumOfFunctions } from '../lib/flame-layout.ts';
import { formatCompact, formatCount, formatShare, formatValue } from '../lib/format.ts';
import { kindTitles } from '../lib/frame-kind.ts';
import { isTimeKind, type ProfileType, profileType } from '../lib/profile-types.ts';
import { changeFlame, type FlameState } from '../state/flame-state.ts';
import type { FlamePicture } from '../worker/flame-protocol.ts';
import { KindLegend } from './kind-legend.tsx';
import { notRunning, StartSource } from './start-source.tsx';

export function FlameFacts(props: { state: FlameState; picture: FlamePicture; matches: Uint8Array | undefined; zoomed: number }) {
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
  const unnamed = useMemo(
    () =>
      sumOfFunctions(layout, fn => fn >= 0 && head.functions.kind[fn] === 'unresolved', { from: 0, to: layout.total[0] ?? 0 }),
    [picture],
  );
  const incomplete = Object.entries(head.incomplete);
  const broken = incomplete.reduce((sum, [, count]) => sum + count, 0);
  const type = profileType(state.type);
  const toggle = (kind: FrameKind) =>
    isTimeKind(kind)
      ? changeFlame({ without: toggled(state.without, kind), zoom: '' })
      : changeFlame({ folded: toggled(state.folded, kind) });
  return (
    <div class="facts" data-testid="flame-facts">
      <b data-testid="flame-total">{formatValue(layout.total[0] ?? 0, head.unit)}</b>
      {/* What is counted has its name in its unit: "12 faults". */}
      {type.noun !== '' && head.unit !== type.counted && <span class="dim noun">{type.noun}</span>}
      <Counted type={type} head={head} />
      {state.without.length > 0 && head.withheld > 0 && (
        <button
          type="button"
          class="chip"
          title="Show all kinds of time"
          onClick={() => changeFlame({ without: [], zoom: '' })}
          data-testid="withheld"
        >
          {state.without.map(kind => kindTitles[kind]).join(', ')} left out: {formatValue(head.withheld, head.unit)} ×
        </button>
      )}
      {notRunning(type.sources).map(name => (
        <span key={name} class="row bad" data-testid={`missing-${name}`}>
          {name} does not run <StartSource name={name} />
        </span>
      ))}
      <span class={head.lost > 0 ? 'bad' : 'dim'}>lost {formatCompact(head.lost)}</span>
      <span class="dim" title={incomplete.map(([reason, count]) => `${reason}: ${formatCount(count)}`).join('\n')}>
        {broken === 0
          ? 'no stack known to be incomplete'
          : `${formatShare(broken / Math.max(1, head.samples))} of stacks incomplete`}
      </span>
      {unnamed > 0 && (
        <span class="dim" title="In stacks that pass through code whose function or module is not known.">
          {formatShare(unnamed / (layout.total[0] || 1))} through unnamed code
        </span>
      )}
      {found !== undefined && (
        <span class="found" data-testid="search-share">
          found {formatShare(found / (layout.total[zoomed] || 1))} {zoomed === 0 ? 'of all' : 'of view'} (
          {formatValue(found, head.unit)})
        </span>
      )}
      <span class="grow" />
      <KindLegend present={present} folded={state.folded} without={state.without} onToggle={toggle} />
    </div>
  );
}

/** What the picture stands on. Of things that are counted one by one, the mean says more than their number. */
function Counted({ type, head }: { type: ProfileType; head: FlamePicture['head'] }) {
  // Where each counts for one, the value is their number already.
  if (head.unit === type.counted && head.total === head.samples) return null;
  if (type.counted.startsWith('samples') || head.unit === type.counted)
    return (
      <span>
        {formatCount(head.samples)} {head.unit === type.counted ? 'samples' : type.counted}
      </span>
    );
  return (
    <span>
      {formatCount(head.samples)} {type.counted}{' '}
      {head.samples > 0 && <span class="dim">mean {formatValue(head.total / head.samples, head.unit)}</span>}
    </span>
  );
}

function toggled<T>(list: readonly T[], item: T): T[] {
  return list.includes(item) ? list.filter(other => other !== item) : [...list, item];
}

/** The status line of the flame graph: everything about the frame under the pointer, else about the whole picture. */

import type { FlameLayout } from '../lib/flame-layout.ts';
import { formatCount, formatShare, formatValue } from '../lib/format.ts';
import { kindTitles } from '../lib/frame-kind.ts';
import { isTimeKind } from '../lib/profile-types.ts';
import type { FlameFunctions } from '../worker/flame-protocol.ts';

const defaultHint = 'Point at a frame, or move with the arrow keys. Click zooms, right click offers more, / searches.';

export interface FlameStatusProps {
  layout: FlameLayout;
  functions: FlameFunctions;
  unit: string;
  node: number;
  viewTotal: number;
  /** The whole profile, where the layout is a part of it made anew: shares of all refer to it. */
  whole?: FlameLayout;
  /** What is counted one by one below a frame. */
  counted?: string;
  /** Said while no frame is pointed at. */
  hint?: string;
}

export function FlameStatus({
  layout,
  functions,
  unit,
  node,
  viewTotal,
  whole,
  counted = '',
  hint = defaultHint,
}: FlameStatusProps) {
  if (node < 0 || node >= layout.count) {
    return (
      <div class="status" data-testid="flame-status">
        <span class="dim cut">{hint}</span>
      </div>
    );
  }
  const f = layout.fn[node] ?? -1;
  const total = layout.total[node] ?? 0;
  const all = (whole ?? layout).total[0] ?? 0;
  const functionTotal = f < 0 ? all : ((whole ?? layout).fnTotal[f] ?? 0);
  const file = f < 0 ? '' : (functions.file[f] ?? '');
  const kind = f < 0 ? undefined : functions.kind[f];
  return (
    <div class="status" data-testid="flame-status">
      <b class="status-name" title={f < 0 ? 'all' : functions.name[f]}>
        {f < 0 ? 'all' : functions.name[f]}
      </b>
      {f >= 0 && functions.isGuess[f] === true && <span class="tag">a guess</span>}
      {file !== '' && <span class="status-place">{`${file}${(functions.line[f] ?? 0) > 0 ? `:${functions.line[f]}` : ''}`}</span>}
      {f >= 0 && functions.module[f] !== '' && <span class="dim status-place">{functions.module[f]}</span>}
      {kind !== undefined && <span class="dim">{kindTitles[kind]}</span>}
      <span class="grow" />
      <span>
        <span class="dim">self</span> {formatValue(layout.self[node] ?? 0, unit)}
      </span>
      <span>
        <span class="dim">total</span> {formatValue(total, unit)}
      </span>
      <Counted {...{ layout, node, unit, counted }} isWait={kind !== undefined && isTimeKind(kind)} />
      <span>
        {formatShare(viewTotal === 0 ? 0 : total / viewTotal)} <span class="dim">of view</span>
      </span>
      <span>
        {formatShare(all === 0 ? 0 : total / all)} <span class="dim">of all</span>
      </span>
      <span title="This function wherever it stands">
        <span class="dim">everywhere</span> {formatValue(functionTotal, unit)} {formatShare(all === 0 ? 0 : functionTotal / all)}
      </span>
    </div>
  );
}

/** How often it happened below a frame. The mean is told of what is counted alone: in a wall profile, code also ran. */
function Counted(props: { layout: FlameLayout; node: number; unit: string; counted: string; isWait: boolean }) {
  const { layout, node, unit, counted, isWait } = props;
  const times = layout.waits?.[node] ?? 0;
  // What has its count as its value has said it.
  if (times === 0 || unit === counted) return null;
  return (
    <span data-testid="status-waits">
      <span class="dim">{counted.startsWith('samples') ? 'waits' : counted || 'waits'}</span> {formatCount(times)}
      {(isWait || !counted.startsWith('samples')) && (
        <>
          {' '}
          <span class="dim">mean</span> {formatValue((layout.total[node] ?? 0) / times, unit)}
        </>
      )}
    </span>
  );
}

/** What the colours of frames mean. A click folds a kind of code: its frames' time goes to their callers. A kind of time it leaves out. */

import type { FrameKind, TimeKind } from '../../../agent/server/api.ts';
import { cssColor, frameFill, frameKinds, kindMeanings, kindTitles } from '../lib/frame-kind.ts';
import { isTimeKind } from '../lib/profile-types.ts';
import { theme } from '../state/theme.ts';

export interface KindLegendProps {
  present: ReadonlySet<FrameKind>;
  folded: readonly FrameKind[];
  without: readonly TimeKind[];
  onToggle: (kind: FrameKind) => void;
}

export function KindLegend({ present, folded, without, onToggle }: KindLegendProps) {
  const isOff = (kind: FrameKind) => folded.includes(kind) || (without as readonly FrameKind[]).includes(kind);
  const shown = frameKinds.filter(kind => present.has(kind) || isOff(kind));
  return (
    <fieldset class="legend" aria-label="Frame kinds" data-testid="legend">
      {shown.map(kind => {
        const isFolded = isOff(kind);
        return (
          <button
            key={kind}
            type="button"
            aria-pressed={!isFolded}
            title={hintOf(kind, isFolded)}
            data-testid={`legend-${kind}`}
            onClick={() => onToggle(kind)}
          >
            <i style={{ background: cssColor(frameFill(kind, 2, theme.value)) }} />
            {kindTitles[kind]}
          </button>
        );
      })}
    </fieldset>
  );
}

function hintOf(kind: FrameKind, isOff: boolean): string {
  if (isTimeKind(kind))
    return `${kindTitles[kind]}: ${kindMeanings[kind]}. Click to ${isOff ? 'show it again' : 'leave it out'}.`;
  return isOff ? `Show ${kindTitles[kind]} frames again` : `Fold ${kindTitles[kind]} frames into their callers`;
}

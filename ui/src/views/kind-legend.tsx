/** What the colours of frames mean. A click folds a kind: its frames' time goes to their callers. */

import type { FrameKind } from '../../../agent/server/api.ts';
import { cssColor, frameFill, frameKinds, kindTitles } from '../lib/frame-kind.ts';
import { theme } from '../state/theme.ts';

export interface KindLegendProps {
  present: ReadonlySet<FrameKind>;
  folded: readonly FrameKind[];
  onToggle: (kind: FrameKind) => void;
}

export function KindLegend({ present, folded, onToggle }: KindLegendProps) {
  const shown = frameKinds.filter(kind => present.has(kind) || folded.includes(kind));
  return (
    <fieldset class="legend" aria-label="Frame kinds" data-testid="legend">
      {shown.map(kind => {
        const isFolded = folded.includes(kind);
        return (
          <button
            key={kind}
            type="button"
            aria-pressed={!isFolded}
            title={isFolded ? `Show ${kindTitles[kind]} frames again` : `Fold ${kindTitles[kind]} frames into their callers`}
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

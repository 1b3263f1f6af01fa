/** The zoomed frame's ancestors, thin, from the root on; each leads back to itself. */

import { nodeKey, pathOf } from '../lib/flame-layout.ts';
import { scopeLength } from '../lib/frame-name.ts';
import { changeFlame } from '../state/flame-state.ts';
import type { FlamePicture } from '../worker/flame-protocol.ts';

export function ZoomPath({ picture, zoomed, isLost }: { picture: FlamePicture; zoomed: number; isLost: boolean }) {
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

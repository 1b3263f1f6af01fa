/** Callers above, callees below, the chosen function in the middle. */

import { useEffect, useState } from 'preact/hooks';
import { type FlameLayout, nodeKey } from '../lib/flame-layout.ts';
import type { FlamePicture } from '../worker/flame-protocol.ts';
import { FlameGraph } from './flame-graph.tsx';
import { FlameStatus } from './flame-status.tsx';
import { Empty } from './parts.tsx';

/** The chosen function, the only child of the root: the root itself says nothing in a sandwich. */
function pivotKey(layout: FlameLayout, names: readonly string[]): string {
  return layout.count > 1 ? nodeKey(layout, names, 1) : '';
}

export function Sandwich({ picture, select }: { picture: FlamePicture; select: string }) {
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
        whole={picture.layout}
        hint="Point at a frame; click zooms. A function in the table becomes the middle."
      />
    </div>
  );
}

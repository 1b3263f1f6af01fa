/** A flame graph that can be scrolled, zoomed and pointed at. What it shows is given; where the user goes is told to the parent. */

import type { RefObject } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { nodeByKey, subtreeRows } from '../lib/flame-layout.ts';
import { theme } from '../state/theme.ts';
import { useSize } from '../state/use-size.ts';
import { rowPx } from './flame-painter.ts';
import { type FlameGraphProps, FlameStage } from './flame-stage.ts';

export function FlameGraph(props: FlameGraphProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const overlay = useRef<HTMLCanvasElement>(null);
  const size = useSize(scroller);
  const { layout, orientation } = props;
  const { zoomed, rows } = useMemo(() => {
    const node = nodeByKey(layout, props.functions.name, props.zoom);
    return { zoomed: node, rows: subtreeRows(layout, node) };
  }, [layout, props.functions, props.zoom]);
  const contentPx = Math.max(rows * rowPx, size.height);
  const stage = useRef<FlameStage | undefined>(undefined);
  stage.current ??= new FlameStage();
  const current = stage.current;
  current.props = props;
  current.zoomed = zoomed;
  if (props.control !== undefined) props.control.current = current;
  const shownTheme = theme.value;

  useLayoutEffect(() => {
    current.attach(scroller.current, canvas.current, overlay.current);
  });
  useLayoutEffect(() => {
    current.aim();
  }, [layout, props.zoom, orientation]);
  const keepScroll = useRootEdge(scroller, { orientation, zoom: props.zoom, heightPx: size.height, contentPx });
  const onScroll = () => {
    keepScroll();
    current.paint();
  };
  useLayoutEffect(() => {
    current.setScene(size.width, size.height, contentPx, shownTheme);
  }, [layout, props.functions, orientation, props.matches, size.width, size.height, contentPx, shownTheme, props.zoom]);
  useEffect(() => () => current.stop(), []);

  return (
    <div class="flame-scroll" ref={scroller} onScroll={onScroll} data-testid={props.testId ?? 'flame-graph'}>
      <div class="flame-content" style={{ height: `${contentPx}px` }}>
        <div class="flame-stage" style={{ height: `${size.height}px` }}>
          <canvas ref={canvas} role="img" aria-label={props.label} />
          <canvas
            ref={overlay}
            class="flame-overlay"
            onPointerMove={event => current.point(event.offsetX, event.offsetY)}
            onPointerLeave={() => current.point(-1, -1)}
            onClick={event => current.click(event.offsetX, event.offsetY)}
            onContextMenu={event => {
              event.preventDefault();
              current.menuAt(event.offsetX, event.offsetY, event.clientX, event.clientY);
            }}
          />
        </div>
      </div>
    </div>
  );
}

interface ScrollPlace {
  orientation: 'flame' | 'icicle';
  zoom: string;
  heightPx: number;
  contentPx: number;
}

/** Keeps the root's edge in sight, or the user's distance from it. Gives back what to call when the user has scrolled. */
function useRootEdge(scroller: RefObject<HTMLDivElement | null>, place: ScrollPlace): () => void {
  // How far the user has scrolled away from the root: kept when new data makes the graph higher or lower.
  const fromRootPx = useRef(0);
  useLayoutEffect(() => {
    fromRootPx.current = 0;
  }, [place.orientation, place.zoom]);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const bottom = element.scrollHeight - element.clientHeight;
    element.scrollTop = place.orientation === 'flame' ? bottom - fromRootPx.current : fromRootPx.current;
  }, [place.orientation, place.zoom, place.heightPx, place.contentPx]);
  return () => {
    const element = scroller.current;
    if (element === null) return;
    fromRootPx.current =
      place.orientation === 'flame' ? element.scrollHeight - element.clientHeight - element.scrollTop : element.scrollTop;
  };
}

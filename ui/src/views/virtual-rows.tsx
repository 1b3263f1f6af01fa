/** A list of any length of which only the rows in sight are in the document. */

import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { useSize } from '../state/use-size.ts';

export interface VirtualRowsProps {
  count: number;
  rowPx: number;
  row: (index: number) => ComponentChildren;
  /** Scrolls this row into sight when its key changes: not when live data moves the row. -1 for none. */
  reveal?: number;
  revealKey?: string;
  /** Called when the last rows come into sight. */
  onEnd?: () => void;
  /** Stays at the top; in the same box as the rows, so that their columns line up. */
  head?: ComponentChildren;
  /** Narrower boxes scroll sideways. */
  minWidthPx?: number;
  testId?: string;
}

/** Rows above and below what is in sight, so that scrolling shows no blank. */
const overscan = 8;

export function VirtualRows(props: VirtualRowsProps) {
  const { count, rowPx, reveal = -1 } = props;
  const box = useRef<HTMLDivElement>(null);
  const size = useSize(box);
  const [scrollPx, setScrollPx] = useState(0);
  const first = Math.max(0, Math.floor(scrollPx / rowPx) - overscan);
  const last = Math.min(count, Math.ceil((scrollPx + size.height) / rowPx) + overscan);
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null || reveal < 0) return;
    const top = reveal * rowPx;
    // The head covers as much at the top of the box as it pushes the rows down.
    const bottom = top + rowPx + (props.head === undefined ? 0 : rowPx);
    if (top < element.scrollTop) element.scrollTop = top;
    else if (bottom > element.scrollTop + element.clientHeight) element.scrollTop = bottom - element.clientHeight;
  }, [props.revealKey, reveal >= 0]);
  const minWidth = props.minWidthPx === undefined ? {} : { minWidth: `${props.minWidthPx}px` };
  const onScroll = () => {
    const element = box.current;
    if (element === null) return;
    setScrollPx(element.scrollTop);
    if (element.scrollTop + element.clientHeight > element.scrollHeight - 20 * rowPx) props.onEnd?.();
  };
  return (
    <div class="virtual" ref={box} onScroll={onScroll} role="rowgroup" data-testid={props.testId}>
      {props.head !== undefined && (
        <div class="virtual-head" style={minWidth}>
          {props.head}
        </div>
      )}
      <div class="virtual-content" style={{ height: `${count * rowPx}px`, ...minWidth }}>
        <div style={{ transform: `translateY(${first * rowPx}px)` }}>
          {Array.from({ length: Math.max(0, last - first) }, (_, i) => props.row(first + i))}
        </div>
      </div>
    </div>
  );
}

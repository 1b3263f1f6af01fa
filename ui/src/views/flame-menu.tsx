/** The menu on a frame. */

import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { copyText, useDismiss } from './parts.tsx';

export interface FlameMenuProps {
  name: string;
  /** Names from the root to the frame. */
  stack: readonly string[];
  x: number;
  y: number;
  onClose: () => void;
  onZoom: () => void;
  onFocus: () => void;
  onHide: () => void;
  onSandwich: () => void;
  onSearch: () => void;
}

export function FlameMenu(props: FlameMenuProps) {
  const box = useRef<HTMLDivElement>(null);
  useDismiss(true, props.onClose);
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return;
    element.style.left = `${Math.min(props.x, window.innerWidth - element.offsetWidth - 8)}px`;
    element.style.top = `${Math.min(props.y, window.innerHeight - element.offsetHeight - 8)}px`;
  }, [props.x, props.y]);
  useEffect(() => {
    box.current?.querySelector('button')?.focus();
  }, []);
  const move = (event: KeyboardEvent) => {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    event.preventDefault();
    event.stopPropagation();
    const items = [...(box.current?.querySelectorAll('button') ?? [])];
    const at = items.indexOf(document.activeElement as HTMLButtonElement);
    items[(at + (event.key === 'ArrowDown' ? 1 : items.length - 1)) % items.length]?.focus();
  };
  const item = (title: string, hint: string, run: () => void) => (
    <button
      type="button"
      role="menuitem"
      class="menu-item"
      title={hint}
      onClick={() => {
        props.onClose();
        run();
      }}
    >
      {title}
    </button>
  );
  return (
    <div
      ref={box}
      class="popup frame-menu"
      role="menu"
      tabIndex={-1}
      aria-label={`Actions on ${props.name}`}
      onKeyDown={move}
      data-testid="frame-menu"
    >
      <div class="frame-menu-name">{props.name}</div>
      {item('Zoom to this frame', 'The frame over the full width', props.onZoom)}
      {item('Focus on this function', 'Only stacks that go through it', props.onFocus)}
      {item('Hide this function', 'Leave out all samples below it', props.onHide)}
      {item('Callers and callees', 'Who called it, and what it called, merged over all places', props.onSandwich)}
      {item('Search for this name', 'Mark it wherever it stands', props.onSearch)}
      {item('Copy name', '', () => void copyText(props.name))}
      {item('Copy stack', 'One name a line, the root first', () => void copyText(props.stack.join('\n')))}
    </div>
  );
}

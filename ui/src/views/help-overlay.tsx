/** All keys that work here and now, from the bindings themselves. */

import { signal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { bindings, useKeysAbove } from '../state/keys.ts';

export const isHelpOpen = signal(false);

const keyNames: Readonly<Record<string, string>> = {
  ArrowUp: '↑',
  ArrowDown: '↓',
  ArrowLeft: '←',
  ArrowRight: '→',
  Escape: 'Esc',
};

export function HelpOverlay() {
  const dialog = useRef<HTMLDialogElement>(null);
  const isOpen = isHelpOpen.value;
  useLayoutEffect(() => {
    // The browser gives the focus to the dialog, keeps it there, and gives it back to what had it.
    if (isOpen) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isOpen]);
  const close = () => {
    isHelpOpen.value = false;
  };
  useKeysAbove(isOpen, [
    { key: 'Escape', help: 'Close', run: close },
    { key: '?', help: 'Close', run: close },
  ]);
  // Several keys for one thing stand on one line.
  const lines = new Map<string, string[]>();
  for (const binding of bindings.value.flat()) lines.set(binding.help, [...(lines.get(binding.help) ?? []), binding.key]);
  return (
    <dialog ref={dialog} class="help" onClose={close} aria-label="Keys" data-testid="help">
      <header class="row between">
        <h2>Keys</h2>
        <button type="button" class="ghost" onClick={close}>
          Close <kbd>Esc</kbd>
        </button>
      </header>
      <dl class="help-keys">
        {[...lines].map(([help, keys]) => (
          <div key={help}>
            <dt>
              {keys.map(key => (
                <kbd key={key}>
                  {key
                    .split(' ')
                    .map(part => keyNames[part] ?? part)
                    .join(' ')}
                </kbd>
              ))}
            </dt>
            <dd>{help}</dd>
          </div>
        ))}
      </dl>
      <p class="dim">
        In time series and the heatmap: drag to set the range, double-click to go back. Back and forward of the browser undo and
        redo.
      </p>
    </dialog>
  );
}

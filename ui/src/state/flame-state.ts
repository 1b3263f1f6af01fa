/** The flame page's part of the address, read and changed as typed values. */

import type { FrameKind, TimeKind } from '../../../agent/server/api.ts';
import { frameKinds } from '../lib/frame-kind.ts';
import type { FunctionOrder } from '../lib/function-table.ts';
import { formatWithout, parseWithout } from '../lib/profile-types.ts';
import { navigate, param } from './address.ts';

export type FlameViewName = 'flame' | 'icicle' | 'sandwich';

export interface FlameState {
  type: string;
  view: FlameViewName;
  hasTable: boolean;
  order: FunctionOrder;
  zoom: string;
  search: string;
  /** Name of the function that the table and the sandwich are about. */
  select: string;
  focus: string;
  hidden: string[];
  folded: FrameKind[];
  /** Kinds of time that are left out. */
  without: TimeKind[];
}

/** Call inside a component: it then follows the address. */
export function flameState(): FlameState {
  const view = param('view');
  const order = param('order');
  const type = param('type') || 'cpu';
  return {
    type,
    without: parseWithout(type, param('without')),
    view: view === 'icicle' || view === 'sandwich' ? view : 'flame',
    hasTable: param('table') === '1',
    order: order === 'total' || order === 'name' ? order : 'self',
    zoom: param('zoom'),
    search: param('search'),
    select: param('select'),
    focus: param('focus'),
    hidden: lines(param('hide')),
    folded: param('fold')
      .split(',')
      .filter((kind): kind is FrameKind => (frameKinds as string[]).includes(kind)),
  };
}

export function changeFlame(patch: Partial<FlameState>, mode: 'push' | 'replace' = 'push'): void {
  const params: Record<string, string | undefined> = {};
  if (patch.type !== undefined) {
    params.type = patch.type === 'cpu' ? undefined : patch.type;
    params.without = undefined;
    // Of another type's operations.
    params.operation = undefined;
  }
  if (patch.without !== undefined) params.without = formatWithout(patch.type ?? (param('type') || 'cpu'), patch.without);
  if (patch.view !== undefined) params.view = patch.view === 'flame' ? undefined : patch.view;
  if (patch.hasTable !== undefined) params.table = patch.hasTable ? '1' : undefined;
  if (patch.order !== undefined) params.order = patch.order === 'self' ? undefined : patch.order;
  if (patch.hidden !== undefined) params.hide = patch.hidden.join('\n');
  if (patch.folded !== undefined) params.fold = patch.folded.join(',');
  for (const key of ['zoom', 'search', 'select', 'focus'] as const) if (patch[key] !== undefined) params[key] = patch[key];
  navigate({ params }, mode);
}

/** Function names hold every letter but a line break. */
function lines(text: string): string[] {
  return text.split('\n').filter(line => line !== '');
}

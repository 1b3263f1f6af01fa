/** The flame graph as a table: every function with its own time and its time with callees. */

import { useMemo } from 'preact/hooks';
import type { FlameLayout } from '../lib/flame-layout.ts';
import { formatCount, formatShare, formatValue } from '../lib/format.ts';
import { cssColor, kindHue } from '../lib/frame-kind.ts';
import { scopeLength } from '../lib/frame-name.ts';
import { type FunctionOrder, sortedFunctions } from '../lib/function-table.ts';
import type { FlameFunctions } from '../worker/flame-protocol.ts';
import { VirtualRows } from './virtual-rows.tsx';

export interface FunctionTableProps {
  layout: FlameLayout;
  functions: FlameFunctions;
  unit: string;
  matches: Uint8Array | undefined;
  order: FunctionOrder;
  onOrder: (order: FunctionOrder) => void;
  selected: string;
  onSelect: (name: string) => void;
}

export function FunctionTable(props: FunctionTableProps) {
  const { layout, functions, matches, order, unit } = props;
  const rows = useMemo(() => sortedFunctions(layout, functions.name, order, matches), [layout, functions, matches, order]);
  const all = layout.total[0] ?? 0;
  const head = (key: FunctionOrder, title: string, isNumber: boolean) => (
    <span
      role="columnheader"
      class={isNumber ? 'num' : ''}
      aria-sort={order === key ? (isNumber ? 'descending' : 'ascending') : 'none'}
    >
      <button type="button" class="sort" onClick={() => props.onOrder(key)} data-testid={`sort-${key}`}>
        {title}
        {order === key ? (isNumber ? ' ↓' : ' ↑') : ''}
      </button>
    </span>
  );
  return (
    <div class="table function-table" role="table" aria-label="Functions by their share" data-testid="function-table">
      <VirtualRows
        head={
          <div class="table-head" role="row">
            {head('name', `Function (${formatCount(rows.length)})`, false)}
            {head('self', 'Self', true)}
            {head('total', 'Total', true)}
          </div>
        }
        count={rows.length}
        rowPx={24}
        row={index => {
          const f = rows[index] ?? 0;
          const name = functions.name[f] ?? '';
          const cut = scopeLength(name);
          return (
            <div key={f} role="row" class="table-row" aria-selected={name === props.selected}>
              <span role="cell" class="name" title={`${name}\n${functions.module[f] ?? ''}`}>
                <i class="kind" style={{ background: cssColor(kindHue(functions.kind[f] ?? 'unresolved')) }} />
                <button type="button" class="plain" onClick={() => props.onSelect(name)}>
                  <span class="scope dim">{name.slice(0, cut)}</span>
                  <b>{name.slice(cut)}</b>
                </button>
              </span>
              <Cell value={layout.fnSelf[f] ?? 0} all={all} unit={unit} />
              <Cell value={layout.fnTotal[f] ?? 0} all={all} unit={unit} />
            </div>
          );
        }}
      />
    </div>
  );
}

function Cell({ value, all, unit }: { value: number; all: number; unit: string }) {
  const share = all === 0 ? 0 : value / all;
  return (
    <span role="cell" class="num share-cell">
      <i class="share-bar" style={{ width: `${(share * 100).toFixed(2)}%` }} />
      <span>{formatValue(value, unit)}</span>
      <span class="dim">{formatShare(share)}</span>
    </span>
  );
}

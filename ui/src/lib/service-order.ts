/** In which order services stand on the Overview. */

import type { ServiceRow } from '../../../agent/server/api.ts';

export const serviceOrders = ['cpu', 'service', 'processes', 'spans', 'errors', 'p50', 'p99'] as const;
export type ServiceOrder = (typeof serviceOrders)[number];

const keys: Readonly<Record<Exclude<ServiceOrder, 'service'>, (row: ServiceRow) => number>> = {
  cpu: row => row.cpuSeconds,
  processes: row => row.processes,
  spans: row => row.spans,
  errors: row => row.errors / Math.max(1, row.spans),
  p50: row => row.p50Ns,
  p99: row => row.p99Ns,
};

/** Names rise, numbers fall; what is equal stands by CPU, then by spans, then by name, so that live data does not make rows jump. */
export function sortServices(rows: readonly ServiceRow[], order: ServiceOrder): ServiceRow[] {
  const collator = new Intl.Collator('en');
  const byName = (a: ServiceRow, b: ServiceRow) => collator.compare(a.service, b.service);
  if (order === 'service') return [...rows].sort(byName);
  const key = keys[order];
  return [...rows].sort((a, b) => key(b) - key(a) || b.cpuSeconds - a.cpuSeconds || b.spans - a.spans || byName(a, b));
}

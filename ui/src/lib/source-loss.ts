/** Which of a source's counters tell of a loss. */

/** Successes, and what was left out because the user asked for it or nobody wants it (bpf/lib/event.h, enum drop_reason). */
const notLost = new Set([
  'seen',
  'stored',
  'inFlight',
  'emitted',
  'filtered',
  'below_min',
  'own_process',
  'no_entry',
  'open_at_stop',
]);

export function isLoss(reason: string): boolean {
  return !notLost.has(reason);
}

/** "inFlight" and "below_min" as words. */
export function reasonTitle(reason: string): string {
  return reason.replaceAll('_', ' ').replace(/[A-Z]/g, letter => ` ${letter.toLowerCase()}`);
}

export function lossOf(counts: Readonly<Record<string, number>>): number {
  let lost = 0;
  for (const [reason, count] of Object.entries(counts)) if (isLoss(reason)) lost += count;
  return lost;
}

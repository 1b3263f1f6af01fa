/** The ledger's balance as a bar, and when the store will be full. */

import type { LedgerResult, StatusResponse } from '../../../agent/server/api.ts';
import { isLoss } from './source-loss.ts';

export interface BalancePart {
  name: 'stored' | 'left' | 'lost' | 'flight' | 'unexplained';
  share: number;
}

/** Shares of what was seen; what is unexplained is never rounded away. */
export function balanceParts(line: LedgerResult['sources'][number]): BalancePart[] {
  const sumOf = (isWanted: (reason: string) => boolean) =>
    line.lost.reduce((sum, entry) => (isWanted(entry.reason) ? sum + entry.count : sum), 0);
  const lost = sumOf(isLoss);
  const left = sumOf(reason => !isLoss(reason));
  const whole = Math.max(1, line.stored + left + lost + Math.max(0, line.inFlight) + Math.abs(line.unexplained));
  const unexplained = line.unexplained === 0 ? 0 : Math.max(0.02, Math.abs(line.unexplained) / whole);
  const parts: BalancePart[] = [
    { name: 'stored', share: line.stored / whole },
    { name: 'left', share: left / whole },
    { name: 'lost', share: lost / whole },
    { name: 'flight', share: Math.max(0, line.inFlight) / whole },
    { name: 'unexplained', share: unexplained },
  ];
  return parts.filter(part => part.share > 0);
}

/** Unix milliseconds at which the store reaches its limit at its present growth; undefined if not within ten years. */
export function storeFullMs(store: StatusResponse['store'], nowMs: number): number | undefined {
  const hours = (store.limitBytes - store.bytes) / store.growthBytesPerHour;
  return store.growthBytesPerHour > 0 && hours >= 0 && hours < 10 * 365 * 24 ? nowMs + hours * 3_600_000 : undefined;
}

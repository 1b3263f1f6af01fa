/** Which of a source's counters tell of a loss. */

/** Seen and handed on, or left out because the user asked for it. */
const notLost = /^(seen|emitted|below_|filtered|own_|skipped|open)/;

/** Everything that a source counts and that is neither a success nor wanted. */
export function lossOf(counts: Readonly<Record<string, number>>): number {
  let lost = 0;
  for (const [reason, count] of Object.entries(counts)) if (!notLost.test(reason)) lost += count;
  return lost;
}

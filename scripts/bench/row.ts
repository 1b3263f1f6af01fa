/** One figure of the bench. */

export interface BenchRow {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What was aimed at: "<= 150" or ">= 3000000"; left out where the figure is only told. */
  readonly target?: string;
  /** Whether the target is met. */
  readonly ok?: boolean;
}

/** A row with a target: `isAtLeast` says in which direction more is better. */
export function rowWithTarget(
  name: string,
  value: number,
  unit: string,
  target: { readonly isAtLeast: boolean; readonly bound: number },
): BenchRow {
  const { isAtLeast, bound } = target;
  return { name, value, unit, target: `${isAtLeast ? '>=' : '<='} ${bound}`, ok: isAtLeast ? value >= bound : value <= bound };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

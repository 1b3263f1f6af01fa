/** "did you mean": the known word nearest to a mistyped one. */

/** The candidate within two edits (one for words of up to three letters), nearest first; undefined where none is near. */
export function nearestWord(word: string, candidates: Iterable<string>): string | undefined {
  const limit = word.length <= 3 ? 1 : 2;
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word, candidate, bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `; did you mean "listen"?`, or nothing. `quote` surrounds the suggestion. */
export function didYouMean(word: string, candidates: Iterable<string>, quote = '"'): string {
  const nearest = nearestWord(word, candidates);
  return nearest === undefined ? '' : `; did you mean ${quote}${nearest}${quote}?`;
}

/** Insertions, deletions, substitutions and swaps of neighbours; stops counting at `bound`. */
function editDistance(a: string, b: string, bound: number): number {
  if (Math.abs(a.length - b.length) >= bound) return bound;
  let older: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const isSame = a[row - 1] === b[column - 1];
      let cost = Math.min(current[column - 1]! + 1, previous[column]! + 1, previous[column - 1]! + (isSame ? 0 : 1));
      const isSwap = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (isSwap) cost = Math.min(cost, older[column - 2]! + 1);
      current.push(cost);
    }
    older = previous;
    previous = current;
  }
  return Math.min(bound, previous[b.length]!);
}

/** Names of functions as people read them: where the package ends and the function begins, and how to shorten a name that does not fit. */

/** What compilers append to a name when they clone or split a function; its dots separate nothing. */
const cloneSuffix = /(\.(constprop|isra|part|cold|llvm|lto_priv|localalias)(\.\d+)*)+$/;

/** A place without a name: module+offset. */
const placeOnly = /\+0x[0-9a-f]+$/i;

/** Length of the package, namespace or class in front of the function's own name. */
export function scopeLength(fullName: string): number {
  if (placeOnly.test(fullName)) return 0;
  const name = fullName.replace(cloneSuffix, '');
  // What stands in brackets or after a bracket (arguments, receiver, template) holds separators that do not count.
  let depth = 0;
  let cut = 0;
  const slash = goPackageEnd(name);
  for (let i = slash; i < name.length; i += 1) {
    const char = name[i];
    if (char === '(' && depth === 0 && i > cut && !name.startsWith('(*', i)) break;
    if (char === '<' || char === '(' || char === '[') depth += 1;
    else if (char === '>' || char === ')' || char === ']') depth = Math.max(0, depth - 1);
    else if (depth === 0 && (char === '.' || (char === ':' && name[i - 1] === ':')) && i + 1 < name.length && i > 0) cut = i + 1;
  }
  // A name must be left over.
  return Math.max(cut, slash) >= name.length ? 0 : Math.max(cut, slash);
}

/** Go and JVM names have a path in front; dots in it ("github.com/…") belong to no package separator. */
function goPackageEnd(name: string): number {
  const bracket = name.search(/[(<[ ]/);
  const head = bracket < 0 ? name : name.slice(0, bracket);
  return head.lastIndexOf('/') + 1;
}

export interface FittedName {
  /** Dimmed. */
  scope: string;
  /** Strong. */
  base: string;
}

/**
 * The name within a width: whole if it fits, then without its scope, then cut in the middle with the end starting at a word, for the
 * end of a name tells more than its middle. Empty when not even three letters fit.
 */
export function fitName(name: string, width: number, measure: (text: string) => number): FittedName {
  const cut = scopeLength(name);
  const scope = name.slice(0, cut);
  const base = name.slice(cut);
  const scopeWidth = measure(scope);
  const baseWidth = measure(base);
  if (scopeWidth + baseWidth <= width) return { scope, base };
  const ellipsisWidth = measure('…');
  if (baseWidth + ellipsisWidth <= width) {
    const tail = fittingTail(scope, width - baseWidth - ellipsisWidth, measure);
    return { scope: `…${tail}`, base };
  }
  if (baseWidth <= width) return { scope: '', base };
  return { scope: '', base: cutMiddle(base, width, measure) };
}

export function cutMiddle(text: string, width: number, measure: (text: string) => number): string {
  if (measure(text) <= width) return text;
  const room = width - measure('…');
  if (room < measure('abc')) return '';
  const tail = fittingTail(text, room / 2, measure);
  let head = text.slice(0, text.length - tail.length);
  const headRoom = room - measure(tail);
  while (head.length > 0 && measure(head) > headRoom) head = head.slice(0, -1);
  return head.length === 0 ? '' : `${head}…${tail}`;
}

/** The longest end of the text that fits and starts at a word. */
function fittingTail(text: string, width: number, measure: (text: string) => number): string {
  let best = '';
  for (let i = text.length - 1; i > 0; i -= 1) {
    const tail = text.slice(i);
    if (measure(tail) > width) break;
    if (isWordStart(text, i)) best = tail;
  }
  return best;
}

function isWordStart(text: string, index: number): boolean {
  const before = text[index - 1] ?? '';
  const at = text[index] ?? '';
  if (!/\w/.test(at)) return false;
  return !/[A-Za-z0-9]/.test(before) || (/[a-z0-9]/.test(before) && /[A-Z]/.test(at));
}

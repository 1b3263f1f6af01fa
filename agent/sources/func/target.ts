/** Targets of source func as people write them: kernel:FUNCTION and uprobe:/PATH:SYMBOL, with globs in the name. Pure. */

export type Target =
  | { readonly kind: 'kernel'; readonly text: string; readonly pattern: string }
  | { readonly kind: 'user'; readonly text: string; readonly path: string; readonly pattern: string };

const forms = 'write kernel:FUNCTION or uprobe:/PATH:SYMBOL, where * and ? stand for any characters of the name';

const openBracket = 'a "[" is not closed; write [abc] for any one of these characters';

function hasOpenBracket(pattern: string): boolean {
  return pattern.lastIndexOf('[') > pattern.lastIndexOf(']');
}

/** Longest name that is taken; kallsyms ends at 511, mangled C++ rarely goes further. */
const maxPattern = 1024;

/** Throws a RangeError with one sentence for what is no target. */
export function parseTarget(text: string): Target {
  const wrong = (why: string): RangeError => new RangeError(`target "${shortened(text)}": ${why}`);
  const colon = text.indexOf(':');
  const kind = text.slice(0, colon);
  if (colon < 0) throw wrong(/^[\w.*?[\]-]+$/.test(text) ? `say what it is of, such as kernel:${text}` : forms);
  const rest = text.slice(colon + 1);
  if (kind === 'kernel') {
    if (rest === '') throw wrong('the name of the kernel function is missing');
    if (!/^[\w.*?[\]!-]+$/.test(rest)) throw wrong('a kernel function has a name of letters, digits, "_" and "."');
    if (hasOpenBracket(rest)) throw wrong(openBracket);
    if (rest.length > maxPattern) throw wrong(`the name is longer than ${maxPattern} characters`);
    return { kind: 'kernel', text, pattern: rest };
  }
  if (kind !== 'uprobe') throw wrong(`"${shortened(kind)}" is no kind of target; ${forms}`);
  if (!rest.startsWith('/')) throw wrong('the path of the binary must begin with "/"');
  const end = rest.indexOf(':');
  if (end < 0) throw wrong('the symbol is missing; write uprobe:/PATH:SYMBOL');
  const pattern = rest.slice(end + 1);
  if (pattern === '') throw wrong('the symbol is missing; write uprobe:/PATH:SYMBOL');
  if (hasOpenBracket(pattern)) throw wrong(openBracket);
  if (pattern.length > maxPattern) throw wrong(`the symbol is longer than ${maxPattern} characters`);
  return { kind: 'user', text, path: rest.slice(0, end), pattern };
}

export function isGlob(pattern: string): boolean {
  return /[*?[]/.test(pattern);
}

function shortened(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/**
 * What the compiler made of a function, by its suffix; undefined for a function as written. Such a piece is not the function: its
 * arguments may be missing or moved, or it is only a part.
 */
export function compilerPiece(name: string): string | undefined {
  const suffix = /\.(isra|constprop|part|cold|lto_priv|llvm)\b/.exec(name)?.[1];
  switch (suffix) {
    case 'isra':
    case 'constprop':
      return 'a copy with other arguments';
    case 'part':
      return 'a part of it, the rest being inlined';
    case 'cold':
      return 'its rarely run part';
    case 'lto_priv':
    case 'llvm':
      return 'renamed by link-time optimisation';
    default:
      return undefined;
  }
}

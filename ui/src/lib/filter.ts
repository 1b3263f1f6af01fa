/** The filter text of every page: terms such as service="gateway" or duration>5ms, read, changed and written back. */

export interface FilterTerm {
  /** '' for a bare word. */
  key: string;
  op: string;
  value: string;
}

export const filterKeys: readonly string[] = [
  'service',
  'process',
  'pid',
  'thread',
  'tid',
  'container',
  'executable',
  'name',
  'source',
  'error',
  'duration',
  'trace',
];

const keyPattern = /^([A-Za-z_][\w.-]*)(!=|!~|=~|=|>|<)/;

/** Never fails: what is no term is a bare word, and the server says what is wrong with it. */
export function parseFilter(text: string): FilterTerm[] {
  return splitTerms(text).map(part => {
    const match = keyPattern.exec(part.text);
    if (match === null) return { key: '', op: '', value: unquote(part.text) };
    return { key: match[1] ?? '', op: match[2] ?? '', value: unquote(part.text.slice(match[0].length)) };
  });
}

export function formatFilter(terms: readonly FilterTerm[]): string {
  return terms.map(formatTerm).join(' ');
}

export function formatTerm(term: FilterTerm): string {
  if (term.key === '') return quoteIfNeeded(term.value);
  // Durations read better bare, and cannot hold a space.
  return term.key + term.op + (term.key === 'duration' ? term.value : quote(term.value));
}

/** The filter with every term of these keys and operators gone and the new ones at its end. */
export function replaceTerms(text: string, keys: readonly string[], added: readonly FilterTerm[]): string {
  return formatFilter([...parseFilter(text).filter(term => !keys.includes(term.key)), ...added]);
}

/** The filter with this term, once. */
export function addTerm(text: string, term: FilterTerm): string {
  const terms = parseFilter(text);
  const isThere = terms.some(other => other.key === term.key && other.op === term.op && other.value === term.value);
  return formatFilter(isThere ? terms : [...terms, term]);
}

/** A duration for a filter, exact to a nanosecond and as short as that allows: "1500us", "20ms". */
export function filterDuration(ns: number): string {
  const whole = Math.max(0, Math.round(ns));
  if (whole >= 1e9 && whole % 1e9 === 0) return `${whole / 1e9}s`;
  if (whole >= 1e6 && whole % 1e6 === 0) return `${whole / 1e6}ms`;
  if (whole >= 1e3 && whole % 1e3 === 0) return `${whole / 1e3}us`;
  return `${whole}ns`;
}

/** What completion has to offer at the caret: a key to finish, or a value of a key. */
export interface CompletionSite {
  kind: 'key' | 'value';
  key: string;
  prefix: string;
  /** The part of the text that a choice replaces. */
  start: number;
  end: number;
}

export function completionSite(text: string, caret: number): CompletionSite {
  const part = splitTerms(text).find(candidate => candidate.start <= caret && caret <= candidate.end);
  const start = part?.start ?? caret;
  const end = part?.end ?? caret;
  const match = part === undefined ? null : keyPattern.exec(part.text);
  if (match === null) return { kind: 'key', key: '', prefix: text.slice(start, caret), start, end };
  const valueStart = start + match[0].length;
  return {
    kind: 'value',
    key: match[1] ?? '',
    prefix: text.slice(valueStart, Math.max(caret, valueStart)).replace(/^"|"$/g, ''),
    start: valueStart,
    end,
  };
}

export function quote(value: string): string {
  return `"${value.replace(/["\\]/g, '\\$&')}"`;
}

function quoteIfNeeded(value: string): string {
  return /[\s"]|^$/.test(value) ? quote(value) : value;
}

function unquote(text: string): string {
  if (!text.startsWith('"')) return text;
  const body = text.endsWith('"') && text.length > 1 ? text.slice(1, -1) : text.slice(1);
  return body.replace(/\\(.)/g, '$1');
}

/** Splits at spaces outside quotes. */
function splitTerms(text: string): { text: string; start: number; end: number }[] {
  const parts: { text: string; start: number; end: number }[] = [];
  let start = -1;
  let isQuoted = false;
  for (let i = 0; i <= text.length; i += 1) {
    const char = text[i];
    const isEnd = char === undefined || (/\s/.test(char) && !isQuoted);
    if (isEnd) {
      if (start >= 0) parts.push({ text: text.slice(start, i), start, end: i });
      start = -1;
      continue;
    }
    if (start < 0) start = i;
    if (char === '\\' && isQuoted) i += 1;
    else if (char === '"') isQuoted = !isQuoted;
  }
  return parts;
}

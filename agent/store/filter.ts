/**
 * Parser of FilterText (rows.ts): pure, bounded, and with errors that say where and what to write instead. Compiled to predicates
 * on interned texts, so a test runs once per distinct value and not once per row.
 */

import { setFlagsFromString } from 'node:v8';
import { QueryError } from './store-error.ts';

export type FilterOperator = '=' | '!=' | '=~' | '!~' | '>' | '<' | '>=' | '<=';

/** key '' is a bare word. Position is the index of the term's first character. */
export interface FilterTerm {
  readonly key: string;
  readonly operator: FilterOperator;
  readonly value: string;
  readonly position: number;
}

export class FilterError extends QueryError {
  override readonly name = 'FilterError';
  /** Index into the text, from 0. */
  readonly position: number;

  constructor(position: number, what: string, remedy: string) {
    super(`filter, character ${position + 1}: ${what}`, remedy);
    this.position = position;
  }
}

const maxTextLength = 4096;
const maxTerms = 32;
const maxPatternLength = 256;
/** What a regular expression or substring is tried on is cut to this. */
const maxSubjectLength = 4096;

// A pattern that backtracks too often is finished by V8's engine of linear time, which has no back references or lookarounds:
// those are refused. A person's pattern can so not stall the thread that answers queries.
setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');

const keyCharacter = /[^\s"=!~<>]/;

/** Throws a FilterError. An empty text gives no terms. */
export function parseFilter(text: string): FilterTerm[] {
  if (text.length > maxTextLength) {
    throw new FilterError(maxTextLength, `it is longer than ${maxTextLength} characters`, 'leave out some terms');
  }
  const terms: FilterTerm[] = [];
  let at = skipSpace(text, 0);
  while (at < text.length) {
    if (terms.length >= maxTerms) throw new FilterError(at, `it has more than ${maxTerms} terms`, 'leave some out');
    const { term, end } = parseTerm(text, at);
    terms.push(term);
    at = skipSpace(text, end);
  }
  return terms;
}

function parseTerm(text: string, position: number): { term: FilterTerm; end: number } {
  if (text[position] === '"') {
    const { value, end } = parseValue(text, position);
    return { term: { key: '', operator: '=', value, position }, end };
  }
  let end = position;
  while (end < text.length && keyCharacter.test(text[end] as string)) end += 1;
  const key = text.slice(position, end);
  if (key === '')
    throw new FilterError(
      position,
      `"${text[position]}" stands where a key or word should`,
      'write key="value", or put the word in quotes',
    );
  const operatorAt = skipSpace(text, end);
  const operator = operatorStarting(text, operatorAt);
  if (operator === undefined) return { term: { key: '', operator: '=', value: key, position }, end };
  const valueAt = skipSpace(text, operatorAt + operator.length);
  const parsed = parseValue(text, valueAt);
  return { term: { key, operator, value: parsed.value, position }, end: parsed.end };
}

function operatorStarting(text: string, at: number): FilterOperator | undefined {
  const two = text.slice(at, at + 2);
  if (two === '!=' || two === '=~' || two === '!~' || two === '>=' || two === '<=') return two;
  const one = text[at];
  if (one === '=' || one === '>' || one === '<') return one;
  if (one === '!' || one === '~') throw new FilterError(at, `"${one}" is no operator`, 'use = != =~ !~ > or <');
  return undefined;
}

function parseValue(text: string, at: number): { value: string; end: number } {
  if (at >= text.length) throw new FilterError(text.length, 'a value is missing', 'write it after the operator, "" for empty');
  if (text[at] !== '"') {
    let end = at;
    while (end < text.length && !/[\s"]/.test(text[end] as string)) end += 1;
    return { value: text.slice(at, end), end };
  }
  let value = '';
  for (let i = at + 1; i < text.length; i += 1) {
    const character = text[i] as string;
    if (character === '"') return { value, end: i + 1 };
    // Only a quote and a backslash are escaped, so that patterns keep their own backslashes.
    if (character === '\\' && (text[i + 1] === '"' || text[i + 1] === '\\')) i += 1;
    value += text[i] as string;
  }
  throw new FilterError(at, 'the quote is not closed', 'add a " at the end of the value');
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && /\s/.test(text[at] as string)) at += 1;
  return at;
}

export type TextTest = (value: string) => boolean;

/** A test for = != =~ !~ on texts. Throws a FilterError for a bad pattern or an operator that needs numbers. */
export function textTest(term: FilterTerm): TextTest {
  const { operator, value } = term;
  switch (operator) {
    case '=':
      return text => text === value;
    case '!=':
      return text => text !== value;
    case '=~':
    case '!~': {
      const pattern = compilePattern(term);
      const isWanted = operator === '=~';
      return text => pattern.test(text.length > maxSubjectLength ? text.slice(0, maxSubjectLength) : text) === isWanted;
    }
    default:
      throw new FilterError(term.position, `${term.key} is a text and cannot be compared by ${operator}`, 'use = != =~ or !~');
  }
}

/** A bare word matches where it stands anywhere in the text, in any case. */
export function wordTest(word: string): TextTest {
  const wanted = word.toLowerCase();
  return text => text.slice(0, maxSubjectLength).toLowerCase().includes(wanted);
}

/** A test on numbers: = != > < >= <=. `parse` turns the term's value into a number, NaN where it is none. */
export function numberTest(term: FilterTerm, wanted: number): (value: number) => boolean {
  if (Number.isNaN(wanted))
    throw new FilterError(term.position, `"${term.value}" is no number`, `write ${term.key}${term.operator}123`);
  switch (term.operator) {
    case '=':
      return value => value === wanted;
    case '!=':
      return value => value !== wanted;
    case '>':
      return value => value > wanted;
    case '<':
      return value => value < wanted;
    case '>=':
      return value => value >= wanted;
    case '<=':
      return value => value <= wanted;
    default:
      throw new FilterError(term.position, `${term.key} is a number and has no patterns`, 'use = != > or <');
  }
}

const durationUnits: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9 };

/** Nanoseconds of "1.5ms". */
export function parseDuration(term: FilterTerm): number {
  const match = /^(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m)$/.exec(term.value);
  if (match === null)
    throw new FilterError(term.position, `"${term.value}" is no duration`, 'write a number with ns, us, ms or s, such as 1.5ms');
  return Number(match[1]) * (durationUnits[match[2] as string] as number);
}

function compilePattern({ value, position }: FilterTerm): RegExp {
  if (value.length > maxPatternLength) {
    throw new FilterError(position, `the pattern is longer than ${maxPatternLength} characters`, 'shorten it');
  }
  if (/\(\?(?![:])|\\[1-9]|\\k</.test(value)) {
    throw new FilterError(
      position,
      'the pattern looks around or back',
      'leave out (?=, (?!, (?< and \\1: patterns here have groups and alternatives only',
    );
  }
  try {
    return new RegExp(value);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^Invalid regular expression: /, '') : String(error);
    throw new FilterError(position, `the pattern is not valid: ${reason}`, 'escape special characters with a backslash');
  }
}

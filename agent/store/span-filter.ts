/** Filters on spans: tested once per distinct operation, thread and error of a segment, and per span only where nothing else serves. */

import { type SeriesTest, seriesTermTest, seriesWordTest } from './entity-filter.ts';
import {
  FilterError,
  type FilterTerm,
  numberTest,
  parseDuration,
  parseFilter,
  type TextTest,
  textTest,
  wordTest,
} from './filter.ts';
import type { AttributeValue } from './rows.ts';
import type { SpanOperation } from './span-segment.ts';

export interface AttributeTest {
  readonly key: string;
  /** The value is undefined where the span has no such attribute. */
  readonly test: (value: AttributeValue | undefined) => boolean;
}

/** A conjunction; `words` match on the thread or on the operation. */
export interface SpanFilter {
  /** Whether it lets every span through. */
  readonly isEmpty: boolean;
  readonly series: readonly SeriesTest[];
  readonly operation: readonly ((operation: SpanOperation) => boolean)[];
  readonly error: readonly TextTest[];
  readonly duration: readonly ((durationNs: number) => boolean)[];
  readonly words: readonly { series: SeriesTest; operation: (operation: SpanOperation) => boolean }[];
  /** Trace ids that must (or must not) be the span's. */
  readonly traces: readonly { id: Buffer; isWanted: boolean }[];
  readonly attributes: readonly AttributeTest[];
}

/** Throws a FilterError. */
export function compileSpanFilter(text: string): SpanFilter {
  const terms = parseFilter(text);
  const filter = {
    isEmpty: terms.length === 0,
    series: [] as SeriesTest[],
    operation: [] as ((operation: SpanOperation) => boolean)[],
    error: [] as TextTest[],
    duration: [] as ((durationNs: number) => boolean)[],
    words: [] as { series: SeriesTest; operation: (operation: SpanOperation) => boolean }[],
    traces: [] as { id: Buffer; isWanted: boolean }[],
    attributes: [] as AttributeTest[],
  };
  for (const term of terms) {
    const series = term.key === '' ? undefined : seriesTermTest(term);
    if (series !== undefined) filter.series.push(series);
    else if (term.key === '') {
      const test = wordTest(term.value);
      filter.words.push({ series: seriesWordTest(term.value), operation: operation => test(operation.name) });
    } else if (term.key === 'name' || term.key === 'source') {
      const { key } = term;
      const test = textTest(term);
      filter.operation.push(operation => test(operation[key]));
    } else if (term.key === 'error') filter.error.push(textTest(term));
    else if (term.key === 'duration') filter.duration.push(numberTest(term, durationOf(term)));
    else if (term.key === 'trace') filter.traces.push(traceTest(term));
    else filter.attributes.push(attributeTest(term));
  }
  return filter;
}

function durationOf(term: FilterTerm): number {
  if (term.operator === '=~' || term.operator === '!~') {
    throw new FilterError(term.position, 'duration is a number and has no patterns', 'use > or <, as in duration>1ms');
  }
  return parseDuration(term);
}

function traceTest({ operator, value, position }: FilterTerm): { id: Buffer; isWanted: boolean } {
  if (operator !== '=' && operator !== '!=')
    throw new FilterError(position, `trace cannot be compared by ${operator}`, 'use = or !=');
  if (!/^[0-9a-f]{32}$/i.test(value))
    throw new FilterError(position, `"${value}" is no trace id`, 'write its 32 hexadecimal digits');
  return { id: Buffer.from(value, 'hex'), isWanted: operator === '=' };
}

/** Attributes are compared as texts by = != =~ !~, as numbers by > < >= <=. One that is missing is equal to nothing. */
function attributeTest(term: FilterTerm): AttributeTest {
  const { key, operator, value } = term;
  if (operator === '>' || operator === '<' || operator === '>=' || operator === '<=') {
    const test = numberTest(term, value === '' ? Number.NaN : Number(value));
    return { key, test: found => typeof found === 'number' && test(found) };
  }
  const test = textTest(term);
  const isMissingWanted = operator === '!=' || operator === '!~';
  // Each distinct text is tried once: patterns are dear.
  const answers = new Map<string, boolean>();
  return {
    key,
    test: found => {
      if (found === undefined) return isMissingWanted;
      const text = String(found);
      let answer = answers.get(text);
      if (answer === undefined) {
        answer = test(text);
        if (answers.size < maxAnswers) answers.set(text, answer);
      }
      return answer;
    },
  };
}

const maxAnswers = 100_000;

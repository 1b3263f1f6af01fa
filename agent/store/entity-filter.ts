/** Filters on processes and threads, as profiles, series and spans share them. */

import { FilterError, type FilterTerm, numberTest, parseFilter, textTest, wordTest } from './filter.ts';

/** What the filter keys see of a series. */
export interface SeriesInfo {
  readonly processId: number;
  readonly service: string;
  readonly process: string;
  readonly pid: number;
  readonly tid: number;
  readonly thread: string;
  readonly container: string;
  readonly executable: string;
}

export type SeriesTest = (series: SeriesInfo) => boolean;

const textKeys = ['service', 'process', 'thread', 'container', 'executable'] as const;
const numberKeys = ['pid', 'tid'] as const;

/** Keys that every page's filter knows. */
export const seriesKeys: readonly string[] = [...textKeys, ...numberKeys];

const spanKeys = new Set(['name', 'source', 'error', 'duration', 'trace']);

/** The test of one term; undefined where its key is none of a series. */
export function seriesTermTest(term: FilterTerm): SeriesTest | undefined {
  const textKey = textKeys.find(key => key === term.key);
  if (textKey !== undefined) {
    const test = textTest(term);
    return series => test(series[textKey]);
  }
  const numberKey = numberKeys.find(key => key === term.key);
  if (numberKey === undefined) return undefined;
  if (term.operator === '=~' || term.operator === '!~') {
    const test = textTest(term);
    return series => test(String(series[numberKey]));
  }
  const test = numberTest(term, term.value === '' ? Number.NaN : Number(term.value));
  return series => test(series[numberKey]);
}

export function seriesWordTest(word: string): SeriesTest {
  const test = wordTest(word);
  return series => test(series.service) || test(series.process) || test(series.thread);
}

/** The filter of profiles, series of samples, and processes. Throws a FilterError, also for keys that only spans have. */
export function compileSeriesFilter(text: string, of: 'profiles' | 'processes' = 'profiles'): SeriesTest {
  const tests = parseFilter(text).map(term => {
    if (term.key === '') return seriesWordTest(term.value);
    const test = seriesTermTest(term);
    const isThreadKey = term.key === 'thread' || term.key === 'tid';
    if (test !== undefined && !(of === 'processes' && isThreadKey)) return test;
    const what = spanKeys.has(term.key) || test !== undefined ? `${of} have no ${term.key}` : `"${term.key}" is no key of ${of}`;
    const known = of === 'processes' ? seriesKeys.filter(key => key !== 'thread' && key !== 'tid') : seriesKeys;
    throw new FilterError(term.position, what, `use one of ${known.join(', ')}`);
  });
  return series => tests.every(test => test(series));
}

/** The spans of the range that match the filter, in pages: the first is live, further ones are fetched when wanted and then all stands still. */

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { SpanSummary, SpansResult } from '../../../agent/server/api.ts';
import { type ApiFailure, apiUrl, getJson, type QueryParams } from './api.ts';
import { type Answer, toFailure, useApi } from './use-api.ts';

interface FurtherPages {
  url: string;
  spans: readonly SpanSummary[];
  next: string;
  failure: ApiFailure | undefined;
}

export interface SpanPages {
  first: Answer<SpansResult>;
  spans: readonly SpanSummary[];
  /** Of a further page. */
  failure: ApiFailure | undefined;
  loadMore: () => void;
}

export function useSpanPages(query: QueryParams, isStill: boolean): SpanPages {
  const url = apiUrl('spans', query);
  const [further, setFurther] = useState<FurtherPages>({ url: '', spans: [], next: '', failure: undefined });
  const mine = further.url === url ? further : undefined;
  const first = useApi<SpansResult>(url, { isLive: mine === undefined && !isStill });
  const next = mine === undefined ? (first.data?.next ?? '') : mine.next;
  const spans = useMemo(() => [...(first.data?.spans ?? []), ...(mine?.spans ?? [])], [first.data, mine]);
  const asked = useRef('');
  useEffect(() => {
    asked.current = '';
  }, [url, first.data]);
  const loadMore = () => {
    if (next === '' || asked.current === next) return;
    asked.current = next;
    const before = mine?.spans ?? [];
    getJson<SpansResult>(apiUrl('spans', { ...query, cursor: next })).then(
      page => setFurther({ url, spans: [...before, ...page.spans], next: page.next, failure: undefined }),
      (error: unknown) => setFurther({ url, spans: before, next, failure: toFailure(error) }),
    );
  };
  return { first, spans, failure: mine?.failure, loadMore };
}

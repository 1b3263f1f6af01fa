/** Answers to what a user types: asked for after a short rest, for typing is not asked about letter by letter. */

import { useEffect, useState } from 'preact/hooks';
import { type ApiFailure, getJson } from './api.ts';
import { toFailure } from './use-api.ts';

const restMs = 120;

/** data is always the answer to this url, never to an earlier one. undefined asks for nothing. */
export function useDelayed<T>(url: string | undefined): { data: T | undefined; failure: ApiFailure | undefined } {
  const [answer, setAnswer] = useState<{ url: string; data?: T; failure?: ApiFailure }>({ url: '' });
  useEffect(() => {
    if (url === undefined) return undefined;
    const controller = new AbortController();
    const timer = window.setTimeout(() => {
      getJson<T>(url, controller.signal).then(
        data => setAnswer({ url, data }),
        (error: unknown) => {
          if (!controller.signal.aborted) setAnswer({ url, failure: toFailure(error) });
        },
      );
    }, restMs);
    return () => {
      window.clearTimeout(timer);
      controller.abort();
    };
  }, [url]);
  return answer.url === url ? { data: answer.data, failure: answer.failure } : { data: undefined, failure: undefined };
}

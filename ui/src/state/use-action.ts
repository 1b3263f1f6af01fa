/** Something that a user sets off: busy while it runs, and its failure told where it was set off. */

import { useState } from 'preact/hooks';
import type { ApiFailure } from './api.ts';
import { toFailure } from './use-api.ts';

export interface Action<T> {
  isBusy: boolean;
  failure: ApiFailure | undefined;
  run: (work: () => Promise<T>) => void;
}

export function useAction<T>(onDone: (result: T) => void): Action<T> {
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<ApiFailure | undefined>(undefined);
  const run = (work: () => Promise<T>) => {
    setBusy(true);
    setFailure(undefined);
    work()
      .then(onDone, (error: unknown) => setFailure(toFailure(error)))
      .finally(() => setBusy(false));
  };
  return { isBusy, failure, run };
}

/** A profile laid out by the worker, in a component. */

import type { FrameKind } from '../../../agent/server/api.ts';
import type { FlamePicture, FlameReply, FlameRequest } from '../worker/flame-protocol.ts';
import { ApiFailure } from './api.ts';
import { type Answer, useAnswer } from './use-api.ts';

let worker: Worker | undefined;
let lastId = 0;
const waiting = new Map<number, { resolve: (picture: FlamePicture) => void; reject: (error: Error) => void }>();

function flameWorker(): Worker {
  if (worker !== undefined) return worker;
  worker = new Worker(new URL('../worker/flame-worker.ts', import.meta.url), { type: 'module' });
  worker.onmessage = (event: MessageEvent<FlameReply>) => {
    const reply = event.data;
    const entry = waiting.get(reply.id);
    waiting.delete(reply.id);
    if ('picture' in reply) entry?.resolve(reply.picture);
    else entry?.reject(new ApiFailure(reply.failure.message, reply.failure.remedy, reply.failure.status));
  };
  worker.onerror = event => {
    // A worker that fails outside of a request would leave all of them waiting.
    for (const entry of waiting.values()) entry.reject(new Error(`The layout worker failed: ${event.message}`));
    waiting.clear();
  };
  return worker;
}

/** Asks the worker; a picture no longer wanted is made all the same, for a layout takes less time than to stop one. */
export function askWorker(question: Omit<FlameRequest, 'id'>): Promise<FlamePicture> {
  lastId += 1;
  const id = lastId;
  const answer = new Promise<FlamePicture>((resolve, reject) => waiting.set(id, { resolve, reject }));
  flameWorker().postMessage({ ...question, id } satisfies FlameRequest);
  return answer;
}

export interface ProfileWishes {
  focus?: string;
  hidden?: readonly string[];
  foldedKinds?: readonly FrameKind[];
  pivot?: string;
  isLive?: boolean;
}

/** Keys that were asked for already: asking again for one means that it should be fetched anew. */
const askedUrls = new Set<string>();

export function useProfile(url: string | undefined, wishes: ProfileWishes = {}): Answer<FlamePicture> {
  const { focus = '', hidden = [], foldedKinds = [], pivot = '' } = wishes;
  const key = url === undefined ? undefined : JSON.stringify([url, focus, hidden, foldedKinds, pivot]);
  const load = () => {
    if (url === undefined || key === undefined) throw new Error('No profile was asked for.');
    const isRefresh = askedUrls.has(key);
    if (askedUrls.size > 1000) askedUrls.clear();
    askedUrls.add(key);
    return askWorker({ url, isRefresh, focus, hidden, foldedKinds, pivot });
  };
  return useAnswer<FlamePicture>(key, load, wishes.isLive === undefined ? {} : { isLive: wishes.isLive });
}

/**
 * Calls between threads: one side serves an object's methods on a port, the other has a typed proxy of it. Errors come back with
 * their name, message and plain fields.
 */

import type { MessagePort, Worker } from 'node:worker_threads';

interface Request {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: { name: string; message: string; fields: Record<string, unknown> };
}

type Methods = Record<string, (...args: never[]) => unknown>;

/** The same methods, each as a promise. */
export type Remote<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never;
};

/** Answers requests on the port with the methods of `target`. */
export function serve(port: MessagePort, target: object): void {
  const methods = target as Methods;
  port.on('message', async (request: Request) => {
    const reply = await answer(methods, request);
    port.postMessage(reply);
  });
}

async function answer(methods: Methods, { id, method, args }: Request): Promise<Reply> {
  try {
    const call = methods[method];
    if (typeof call !== 'function') throw new TypeError(`no method ${method}`);
    return { id, value: await call.apply(methods, args as never[]) };
  } catch (error) {
    const { name, message, ...fields } =
      error instanceof Error ? { ...error, name: error.name, message: error.message } : { name: 'Error', message: String(error) };
    return { id, error: { name, message, fields: plainFields(fields) } };
  }
}

/** Only what structured clone takes; a cause or a function stays behind. */
function plainFields(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value)));
}

/** A proxy whose methods run on the other side. When that side ends, every open and later call is rejected with `ended`. */
export function connect<T extends object>(worker: Worker, ended: () => Error): Remote<T> {
  const open = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let nextId = 1;
  let isEnded = false;
  worker.on('message', (reply: Reply) => {
    const call = open.get(reply.id);
    if (call === undefined) return;
    open.delete(reply.id);
    if (reply.error === undefined) call.resolve(reply.value);
    else call.reject(Object.assign(new Error(reply.error.message), { name: reply.error.name }, reply.error.fields));
  });
  worker.on('exit', () => {
    isEnded = true;
    for (const call of open.values()) call.reject(ended());
    open.clear();
  });
  return new Proxy({} as Remote<T>, {
    get: (_target, method: string) =>
      // A proxy that had a `then` would be taken for a promise by await.
      method === 'then'
        ? undefined
        : (...args: unknown[]) =>
            new Promise((resolve, reject) => {
              if (isEnded) {
                reject(ended());
                return;
              }
              const id = nextId;
              nextId += 1;
              open.set(id, { resolve, reject });
              worker.postMessage({ id, method, args });
            }),
  });
}

/** What the query client and its worker say to each other. */

import type { SqliteStoreReader } from './reader.ts';

export type ProfileFormat = 'pprof' | 'folded' | 'speedscope' | 'otlp';

/** Methods of the reader that a query may call. */
export type QueryMethod = Exclude<keyof SqliteStoreReader, 'close' | 'warm' | 'profileJson' | 'fullProfile'>;

export interface QueryRequest {
  readonly id: number;
  readonly method: QueryMethod | 'profileFile';
  readonly args: readonly unknown[];
  /** Whether the answer is wanted as the bytes of its JSON; a file always comes as bytes. */
  readonly isJson: boolean;
}

export interface QueryReply {
  readonly id: number;
  readonly value?: unknown;
  readonly bytes?: Uint8Array<ArrayBuffer>;
  readonly error?: {
    readonly name: string;
    readonly message: string;
    readonly fields: Readonly<Record<string, string | number>>;
  };
}

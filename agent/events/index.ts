/** Until the first `npm run gen`. */
export type SourceName = 'cpu' | 'exec' | 'file' | 'func';
export type EventOf = Record<SourceName, { kind: number }>;

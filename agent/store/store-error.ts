/** The store's own error: what was being done, why it failed, and what a person can do about it. */

export class StoreError extends Error {
  override readonly name = 'StoreError';
  /** "open", "flush", "query", ... */
  readonly operation: string;
  /** SQLite's or the system's name of the failure ("SQLITE_FULL", "EACCES"); '' where there is none. */
  readonly code: string;
  readonly remedy: string;

  constructor(operation: string, what: string, options: { remedy: string; code?: string; cause?: unknown }) {
    super(`store ${operation}: ${what}; ${options.remedy}`, options.cause === undefined ? {} : { cause: options.cause });
    this.operation = operation;
    this.code = options.code ?? '';
    this.remedy = options.remedy;
  }
}

const remedies: readonly { readonly code: RegExp; readonly what: string; readonly remedy: string }[] = [
  { code: /^(SQLITE_FULL|ENOSPC|EDQUOT)/, what: 'the disk is full', remedy: "free space on it, or lower the store's size limit" },
  {
    code: /^(SQLITE_IOERR|EFBIG|EIO)/,
    what: 'the disk refused a read or write',
    remedy: 'check its free space, file size limits and health',
  },
  {
    code: /^(SQLITE_READONLY|SQLITE_CANTOPEN|SQLITE_PERM|EACCES|EPERM|EROFS)/,
    what: 'the data directory is not writable',
    remedy: 'run as root, or name another directory with --data-dir',
  },
  {
    code: /^(SQLITE_CORRUPT|SQLITE_NOTADB)/,
    what: 'the database is damaged',
    remedy: 'restart hotspan: it moves the file aside and begins a new one',
  },
  {
    code: /^SQLITE_BUSY/,
    what: 'another process holds the database',
    remedy: 'stop the other hotspan that uses this data directory',
  },
];

/** Puts words to a failure of SQLite or of the file system. An error that is a StoreError already is handed back as it is. */
export function asStoreError(operation: string, object: string, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const code = errorCode(cause);
  const known = remedies.find(entry => entry.code.test(code));
  const detail = cause instanceof Error ? cause.message : String(cause);
  const what = known === undefined ? `${object}: ${detail}` : `${object}: ${known.what} (${code})`;
  return new StoreError(operation, what, { remedy: known?.remedy ?? 'please report this with the message', code, cause });
}

export function errorCode(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : '';
}

/** A question that has no answer because it is badly put: the asker's fault, not the store's. */
export class QueryError extends Error {
  override readonly name: string = 'QueryError';
  readonly remedy: string;

  constructor(what: string, remedy: string) {
    super(`${what}; ${remedy}`);
    this.remedy = remedy;
  }
}

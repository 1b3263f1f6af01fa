/** Opens the database file for its one writer or for a reader; moves a damaged file aside and sees that no second writer comes in. */

import { existsSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { makeFolders } from '../lib/make-folders.ts';
import { checkVersion, migrate, schemaVersion } from './schema.ts';
import { asStoreError, errorCode, StoreError } from './store-error.ts';

/** Files up to this size are checked whole at the opening (about 100 ms); larger ones by their length only. */
const checkedWholeBytes = 32 << 20;

/** The write-ahead log is cut back to this after a long reader had let it grow. */
const walLimitBytes = 64 << 20;

export interface OpenDatabase {
  readonly database: Database.Database;
  /** Releases the writer's lock and closes the file. */
  close(): void;
}

/** Opens or creates the file for writing. `warn` is told when a damaged file was moved aside. Throws a StoreError. */
export function openForWriting(path: string, warn: (message: string) => void): OpenDatabase {
  try {
    makeFolders(dirname(path));
    const lock = takeLock(path);
    try {
      const database = openUndamaged(path, warn);
      return {
        database,
        close: () => {
          settle(database);
          database.close();
          lock.close();
        },
      };
    } catch (error) {
      lock.close();
      throw error;
    }
  } catch (error) {
    throw asStoreError('open', path, error);
  }
}

/** Moves what the log holds into the file: closing does that by itself only where no reader has the file open. */
function settle(database: Database.Database): void {
  try {
    database.pragma('wal_checkpoint(TRUNCATE)');
  } catch {
    // SQLITE_FULL, or a reader in the midst of a query: nothing is lost, the next opening reads the log.
  }
}

/** Opens an existing file read-only. Throws a StoreError when there is none or its version is not ours. */
export function openForReading(path: string): Database.Database {
  try {
    const database = new Database(path, { readonly: true, fileMustExist: true, timeout: 2000 });
    try {
      checkVersion(database, path);
      const version = database.pragma('user_version', { simple: true }) as number;
      if (version < schemaVersion) {
        throw new StoreError('open', `${path} has the older schema version ${version}`, {
          remedy: `start hotspan once so that it brings the file to version ${schemaVersion}`,
        });
      }
      database.pragma('cache_size = -32000');
      // Reads go through the page cache without a copy: a flame graph of an hour reads some megabytes.
      database.pragma('mmap_size = 1073741824');
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  } catch (error) {
    throw asStoreError('open', path, error);
  }
}

/** Remembers that the file proved damaged in use, so that the next opening moves it aside. */
export function markDamaged(path: string): void {
  try {
    writeFileSync(`${path}.damaged`, '');
  } catch {
    // ENOSPC or EACCES: the mark only saves the next start a failure that it would report anyway.
  }
}

/**
 * A second database, held in an exclusive transaction, is the writer's lock: the kernel gives it back when a process dies in any
 * way, and readers of the data do not see it.
 */
function takeLock(path: string): Database.Database {
  const lock = new Database(`${path}.lock`, { timeout: 0 });
  try {
    lock.pragma('journal_mode = MEMORY');
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch (error) {
    lock.close();
    if (errorCode(error) !== 'SQLITE_BUSY') throw error;
    throw new StoreError('open', `another hotspan writes to ${path}`, {
      remedy: 'stop it, or name another directory with --data-dir',
      code: 'SQLITE_BUSY',
      cause: error,
    });
  }
}

function openUndamaged(path: string, warn: (message: string) => void): Database.Database {
  const damage = existsSync(`${path}.damaged`) && existsSync(path) ? 'it proved damaged when it was last used' : undefined;
  const opened = damage === undefined ? tryOpen(path) : damage;
  if (typeof opened !== 'string') return opened;
  const aside = moveAside(path);
  warn(`the database ${path} is damaged (${opened}); it was moved to ${aside} and a new one begun`);
  const fresh = tryOpen(path);
  if (typeof fresh === 'string') throw new StoreError('open', `${path}: ${fresh}`, { remedy: "check the disk's health" });
  return fresh;
}

/** The open database, or a word on why it is damaged. */
function tryOpen(path: string): Database.Database | string {
  let database: Database.Database | undefined;
  try {
    database = new Database(path, { timeout: 2000 });
    checkVersion(database, path);
    const damage = findDamage(database, path);
    if (damage !== undefined) {
      database.close();
      return damage;
    }
    configure(database);
    migrate(database);
    return database;
  } catch (error) {
    database?.close();
    if (/^SQLITE_(CORRUPT|NOTADB)/.test(errorCode(error))) return error instanceof Error ? error.message : String(error);
    throw error;
  }
}

function findDamage(database: Database.Database, path: string): string | undefined {
  const pageBytes = database.pragma('page_size', { simple: true }) as number;
  const pages = database.pragma('page_count', { simple: true }) as number;
  const fileBytes = statSync(path).size;
  const walBytes = existsSync(`${path}-wal`) ? statSync(`${path}-wal`).size : 0;
  // Pages that the log still holds may lie beyond the end of the file; without a log every page must be in it.
  if (walBytes === 0 && pages * pageBytes > fileBytes) return `it has ${fileBytes} bytes of ${pages * pageBytes}`;
  if (fileBytes > checkedWholeBytes) return undefined;
  const found = database.pragma('quick_check(1)', { simple: true }) as string;
  return found === 'ok' ? undefined : found.split('\n')[0];
}

function configure(database: Database.Database): void {
  // Both take effect only while the file is empty. Larger pages suit rows that are blobs of kilobytes.
  database.pragma('page_size = 8192');
  database.pragma('auto_vacuum = INCREMENTAL');
  const mode = database.pragma('journal_mode = WAL', { simple: true }) as string;
  if (mode !== 'wal')
    throw new StoreError('open', `the file system gives no write-ahead log (journal mode ${mode})`, {
      remedy: 'name a directory on a local disk with --data-dir',
    });
  // NORMAL: a killed process loses nothing that was committed; only a power cut may lose the last seconds.
  database.pragma('synchronous = NORMAL');
  database.pragma(`journal_size_limit = ${walLimitBytes}`);
  database.pragma('cache_size = -16000');
  database.pragma('temp_store = MEMORY');
}

function moveAside(path: string): string {
  const stamp = new Date().toISOString().replace(/[-:]/g, '').replace(/\..*/, '');
  let aside = `${path}.damaged-${stamp}`;
  for (let attempt = 1; existsSync(aside); attempt += 1) aside = `${path}.damaged-${stamp}-${attempt}`;
  renameSync(path, aside);
  for (const suffix of ['-wal', '-shm']) if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
  rmSync(`${path}.damaged`, { force: true });
  forgetOldest(path);
  return aside;
}

/** Keeps the two newest damaged files: a disk that breaks files again and again must not fill up with them. */
function forgetOldest(path: string): void {
  const prefix = `${basename(path)}.damaged-`;
  const names = readdirSync(dirname(path)).filter(name => name.startsWith(prefix) && !/-(wal|shm)$/.test(name));
  for (const name of names.sort().slice(0, -2)) {
    for (const suffix of ['', '-wal', '-shm']) rmSync(join(dirname(path), name + suffix), { force: true });
  }
}

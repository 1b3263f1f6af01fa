/**
 * The database file: its tables, their version and the steps from one version to the next. A migration, once released, is never
 * edited; a change of the tables is a new entry at the end of the list.
 */

import type Database from 'better-sqlite3';
import { StoreError } from './store-error.ts';

/** "HSPN": tells our file from another program's SQLite file. */
export const applicationId = 0x4853504e;

/**
 * Times are Unix seconds, minutes (seconds / 60) or milliseconds, as the column says. Tables without rowid are clustered by what
 * their queries ask for. What is written once and read whole is a packed blob: sample-blob.ts, span-segment.ts, stack-chunk.ts.
 */
const migrations: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

  CREATE TABLE module (id INTEGER PRIMARY KEY, path TEXT NOT NULL, build_id TEXT NOT NULL, UNIQUE (path, build_id));
  CREATE TABLE file (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
  -- Names are long: an index of their hashes takes a fifth of one of the names.
  CREATE TABLE function (id INTEGER PRIMARY KEY AUTOINCREMENT, hash INTEGER NOT NULL, name TEXT NOT NULL, file INTEGER NOT NULL);
  CREATE INDEX function_hash ON function (hash);
  CREATE TABLE frame (
    id INTEGER PRIMARY KEY AUTOINCREMENT, module INTEGER NOT NULL, address INTEGER NOT NULL, kind INTEGER NOT NULL, is_guess INTEGER NOT NULL,
    lines BLOB NOT NULL
  );
  CREATE UNIQUE INDEX frame_identity ON frame (module, address);
  -- Frames whose lines were replaced after they were first written, in that order.
  CREATE TABLE frame_change (revision INTEGER PRIMARY KEY AUTOINCREMENT, frame INTEGER NOT NULL);
  CREATE TABLE stack_chunk (first INTEGER PRIMARY KEY, nodes INTEGER NOT NULL, data BLOB NOT NULL);
  CREATE TABLE stack_epoch (first INTEGER PRIMARY KEY, began_second INTEGER NOT NULL);

  CREATE TABLE process (
    id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, start_ns INTEGER NOT NULL, parent_pid INTEGER NOT NULL, comm TEXT NOT NULL,
    executable TEXT NOT NULL, command_line TEXT NOT NULL, build_id TEXT NOT NULL, cgroup_path TEXT NOT NULL,
    container_id TEXT NOT NULL, service TEXT NOT NULL, exit_ns INTEGER NOT NULL, exit_status INTEGER NOT NULL
  );
  CREATE UNIQUE INDEX process_identity ON process (pid, start_ns);
  CREATE INDEX process_exit ON process (exit_ns);
  CREATE TABLE series (id INTEGER PRIMARY KEY, process INTEGER NOT NULL, tid INTEGER NOT NULL, thread TEXT NOT NULL);
  CREATE UNIQUE INDEX series_identity ON series (process, tid, thread);

  CREATE TABLE profile_type (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
  CREATE TABLE sample_second (
    type INTEGER NOT NULL, time INTEGER NOT NULL, series INTEGER NOT NULL, samples INTEGER NOT NULL, value INTEGER NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (type, time, series)
  ) WITHOUT ROWID;
  CREATE TABLE sample_minute (
    type INTEGER NOT NULL, time INTEGER NOT NULL, series INTEGER NOT NULL, samples INTEGER NOT NULL, value INTEGER NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (type, time, series)
  ) WITHOUT ROWID;
  CREATE INDEX sample_minute_sum ON sample_minute (type, time, series, samples, value);

  -- Cursors of exporters count by segment, so an id is never given out twice.
  CREATE TABLE span_segment (
    id INTEGER PRIMARY KEY AUTOINCREMENT, min_start_ms INTEGER NOT NULL, max_start_ms INTEGER NOT NULL, spans INTEGER NOT NULL,
    errors INTEGER NOT NULL, min_duration INTEGER NOT NULL, max_duration INTEGER NOT NULL, bytes INTEGER NOT NULL
  );
  CREATE INDEX span_segment_time ON span_segment (max_start_ms, min_start_ms, id, spans, errors, min_duration, max_duration);
  CREATE TABLE span_hot (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
  CREATE TABLE span_cold (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
  CREATE TABLE span_trace (id INTEGER PRIMARY KEY, bloom BLOB NOT NULL);

  CREATE TABLE metric (id INTEGER PRIMARY KEY, name TEXT NOT NULL, labels TEXT NOT NULL, UNIQUE (name, labels));
  CREATE TABLE metric_second (time INTEGER NOT NULL, metric INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (time, metric)) WITHOUT ROWID;
  CREATE TABLE metric_minute (metric INTEGER NOT NULL, time INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (metric, time)) WITHOUT ROWID;

  CREATE TABLE operation (id INTEGER PRIMARY KEY, source TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (source, name));
  CREATE TABLE operation_second (
    time INTEGER NOT NULL, operation INTEGER NOT NULL, calls INTEGER NOT NULL, errors INTEGER NOT NULL, bytes INTEGER NOT NULL,
    total_ns INTEGER NOT NULL, buckets BLOB NOT NULL, PRIMARY KEY (time, operation)
  ) WITHOUT ROWID;
  CREATE TABLE operation_minute (
    time INTEGER NOT NULL, operation INTEGER NOT NULL, calls INTEGER NOT NULL, errors INTEGER NOT NULL, bytes INTEGER NOT NULL,
    total_ns INTEGER NOT NULL, buckets BLOB NOT NULL, PRIMARY KEY (time, operation)
  ) WITHOUT ROWID;

  CREATE TABLE ledger (
    time INTEGER NOT NULL, source TEXT NOT NULL, stage TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (time, source, stage)
  ) WITHOUT ROWID;
  `,
];

export const schemaVersion = migrations.length;

/** Refuses a file that is another program's or a newer hotspan's. Throws a StoreError. */
export function checkVersion(database: Database.Database, path: string): void {
  const version = database.pragma('user_version', { simple: true }) as number;
  const application = database.pragma('application_id', { simple: true }) as number;
  if (application !== applicationId) {
    const tables = database.prepare('SELECT count(*) AS tables FROM sqlite_schema').get() as { tables: number };
    if (application === 0 && version === 0 && tables.tables === 0) return;
    throw new StoreError('open', `${path} is a database of another program`, {
      remedy: 'name another directory with --data-dir',
    });
  }
  if (version > schemaVersion) {
    throw new StoreError(
      'open',
      `${path} has schema version ${version}, and this hotspan knows versions up to ${schemaVersion}`,
      {
        remedy: 'use the newer hotspan that wrote it, or name another directory with --data-dir',
      },
    );
  }
}

/** Brings an older or an empty file to the present version, each step in a transaction of its own. */
export function migrate(database: Database.Database): void {
  const found = database.pragma('user_version', { simple: true }) as number;
  for (let version = found; version < schemaVersion; version += 1) {
    database.transaction(() => {
      database.exec(migrations[version] as string);
      database.pragma(`application_id = ${applicationId}`);
      database.pragma(`user_version = ${version + 1}`);
    })();
  }
}

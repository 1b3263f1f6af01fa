import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { openStoreReader } from './reader.ts';
import { StoreError } from './store-error.ts';
import { frameRow, noonMs, openTestStore, operationRow, processRow, sampleRow, spanRow, testFolder } from './test-kit.ts';
import { openStoreWriter } from './writer.ts';

const day = { fromMs: Date.now() - 86_400_000, toMs: Date.now() + 86_400_000 };
const allSpans = { filter: '', order: 'start' as const, isDescending: true, limit: 1, cursor: '' };

/** Writes some of everything and closes. */
function makeStore(path: string): void {
  const writer = openStoreWriter({ path });
  const processId = writer.process(processRow());
  for (let i = 0; i < 20_000; i += 1)
    writer.span(spanRow({ processId, startNs: BigInt(Date.now()) * 1_000_000n, attributes: { path: `/${i * 7919}` } }));
  writer.sample(sampleRow({ processId, stackId: writer.stack([writer.frame(frameRow('main'))]), timeMs: Date.now() }));
  writer.close();
}

for (const round of [1, 2, 3]) {
  test(`a writer killed with SIGKILL loses nothing that it committed, round ${round}`, async context => {
    const path = join(testFolder(context), 'hotspan.db');
    const child = spawn(process.execPath, [join(import.meta.dirname, 'test-writer.ts'), path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let told = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      told += text;
    });
    while (told.split('\n').length < 20 + round * 7) await new Promise(resolve => setTimeout(resolve, 5));
    child.kill('SIGKILL');
    await once(child, 'close');
    const committed = Number(told.trimEnd().split('\n').at(-1));
    const warnings: string[] = [];
    const writer = openStoreWriter({ path, warn: message => warnings.push(message) });
    context.after(() => writer.close());
    const reader = openStoreReader(path);
    context.after(() => reader.close());
    assert.deepEqual(warnings, []);
    const spans = reader.spans({ ...day, ...allSpans }).count;
    // The commit that it was killed in may have been done and not told of any more.
    assert.ok(spans === committed || spans === committed + 500, `${spans} spans of ${committed}`);
    assert.equal(reader.profile({ ...day, type: 'cpu', filter: '', minShare: 0 }).samples, spans);
    const { sources } = reader.ledger(day);
    assert.deepEqual(
      sources.map(({ seen, stored, inFlight, unexplained }) => ({ seen, stored, inFlight, unexplained })),
      [{ seen: (spans / 500) * 501, stored: spans, inFlight: 0, unexplained: 0 }],
    );
    assert.deepEqual(
      sources[0]?.lost.map(({ reason, count }) => [reason, count]),
      [['agent_ended', spans / 500]],
    );
    assert.equal(new Database(path, { readonly: true }).pragma('integrity_check', { simple: true }), 'ok');
  });
}

test('a database of a newer version is refused in one sentence and left alone', context => {
  const path = join(testFolder(context), 'hotspan.db');
  makeStore(path);
  const database = new Database(path);
  database.pragma('user_version = 99');
  database.close();
  const before = statSync(path).size;
  const message =
    /has schema version 99, and this hotspan knows versions up to \d+; use the newer hotspan that wrote it, or name another/;
  assert.throws(() => openStoreWriter({ path }), message);
  assert.throws(() => openStoreReader(path), message);
  assert.equal(statSync(path).size, before);
  assert.deepEqual(
    readdirSync(join(path, '..')).filter(name => name.includes('damaged')),
    [],
  );
});

test("another program's database is refused and left alone", context => {
  const path = join(testFolder(context), 'hotspan.db');
  const database = new Database(path);
  database.exec('CREATE TABLE photos (id INTEGER)');
  database.close();
  assert.throws(() => openStoreWriter({ path }), /is a database of another program; name another directory with --data-dir/);
});

for (const [name, damage] of [
  ['garbage', (path: string) => writeFileSync(path, Buffer.alloc(100_000, 'x'))],
  ['a truncated file', (path: string) => truncateSync(path, Math.floor(statSync(path).size * 0.6))],
  ['a file cut within its first page', (path: string) => truncateSync(path, 3000)],
  ['overwritten pages', (path: string) => overwrite(path)],
] as const) {
  test(`${name} is moved aside with a warning, and a new database begun`, context => {
    const folder = testFolder(context);
    const path = join(folder, 'hotspan.db');
    makeStore(path);
    damage(path);
    const warnings: string[] = [];
    const writer = openStoreWriter({ path, warn: message => warnings.push(message) });
    context.after(() => writer.close());
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0] as string,
      /is damaged \(.+\); it was moved to .*hotspan\.db\.damaged-\d{8}T\d{6} and a new one begun$/,
    );
    assert.equal(readdirSync(folder).filter(file => /damaged-\d{8}T\d{6}$/.test(file)).length, 1);
    writer.span(spanRow({ processId: writer.process(processRow()) }));
    writer.flush();
    const reader = openStoreReader(path);
    context.after(() => reader.close());
    assert.equal(reader.spans({ ...allSpans, fromMs: noonMs, toMs: noonMs + 1 }).count, 1);
  });
}

/** Overwrites the root of a table and keeps the length. */
function overwrite(path: string, table = 'span_segment'): void {
  const database = new Database(path);
  const pageBytes = database.pragma('page_size', { simple: true }) as number;
  const root = database.prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?').pluck().get(table) as number;
  database.close();
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(pageBytes, 0xff), 0, pageBytes, (root - 1) * pageBytes);
  closeSync(file);
}

/** Files of this size are not checked whole when they are opened. */
function makeLargeStore(path: string): void {
  makeStore(path);
  const database = new Database(path);
  database.exec('CREATE TABLE filler (data); INSERT INTO filler VALUES (zeroblob(40000000))');
  database.close();
}

test('damage of a large file that shows while it is opened is dealt with at once', context => {
  const path = join(testFolder(context), 'hotspan.db');
  makeLargeStore(path);
  overwrite(path);
  const warnings: string[] = [];
  const writer = openStoreWriter({ path, warn: warning => warnings.push(warning) });
  context.after(() => writer.close());
  assert.match(warnings.join(), /proved damaged when it was last used.*was moved to/);
  writer.flush();
});

test('damage found in use is told, and the next opening begins anew', context => {
  const path = join(testFolder(context), 'hotspan.db');
  makeLargeStore(path);
  overwrite(path, 'span_hot');
  const writer = openStoreWriter({ path });
  writer.span(spanRow({ processId: writer.process(processRow()) }));
  const message = /the database is damaged .*restart hotspan: it moves the file aside/;
  assert.throws(() => writer.flush(), message);
  assert.throws(() => writer.close(), message);
  const warnings: string[] = [];
  const fresh = openStoreWriter({ path, warn: warning => warnings.push(warning) });
  context.after(() => fresh.close());
  assert.match(warnings.join(), /proved damaged when it was last used/);
  fresh.flush();
});

test('a second writer is refused while the first lives, and not after it', context => {
  const path = join(testFolder(context), 'hotspan.db');
  const first = openStoreWriter({ path });
  assert.throws(
    () => openStoreWriter({ path }),
    /another hotspan writes to .*; stop it, or name another directory with --data-dir/,
  );
  first.close();
  openStoreWriter({ path }).close();
});

test('a reader of no database says so', context => {
  const path = join(testFolder(context), 'none', 'hotspan.db');
  assert.throws(
    () => openStoreReader(path),
    error => error instanceof StoreError && error.operation === 'open' && error.remedy !== '',
  );
});

test('a data directory that cannot be written is refused with a remedy', context => {
  if (process.getuid?.() !== 0) return context.skip('only root can become a user who may not write');
  const folder = testFolder(context);
  mkdirSync(join(folder, 'data'));
  chmodSync(folder, 0o755);
  chmodSync(join(folder, 'data'), 0o555);
  const script = `import(${JSON.stringify(join(import.meta.dirname, 'writer.ts'))}).then(m => m.openStoreWriter({path: process.argv[1]})).catch(e => console.log(e.name + '|' + e.code + '|' + e.message))`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script, join(folder, 'data', 'hotspan.db')], {
    uid: 65_534,
    encoding: 'utf8',
  });
  assert.match(
    stdout,
    /^StoreError\|SQLITE_CANTOPEN\|store open: .*: the data directory is not writable \(SQLITE_CANTOPEN\); run as root, or name another directory/,
    stderr,
  );
});

test('a full disk stops commits, not the agent: memory is bounded, loss is counted, and a commit succeeds once there is room', context => {
  if (process.getuid?.() !== 0) return context.skip('only root can mount the small file system that this fills');
  const folder = testFolder(context);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'hotspan-test', folder]);
  try {
    fillDisk(folder);
  } finally {
    execFileSync('umount', ['-l', folder]);
  }
});

function fillDisk(folder: string): void {
  const path = join(folder, 'hotspan.db');
  const filler = join(folder, 'filler');
  writeFileSync(filler, Buffer.alloc(3 << 20));
  const writer = openStoreWriter({ path, maxPendingBytes: 1 << 20, now: () => noonMs });
  const processId = writer.process(processRow());
  let written = 0;
  const write = () => {
    for (let i = 0; i < 5000; i += 1) {
      writer.span(spanRow({ processId, attributes: { path: `/file/${Math.sin(written + i)}` } }));
      writer.ledger('file', 'seen', 1, noonMs);
      writer.ledger('file', 'stored', 1, noonMs);
    }
    written += 5000;
  };
  let failure: unknown;
  for (let i = 0; i < 40 && (failure === undefined || writer.dropped().spans === undefined); i += 1) {
    write();
    try {
      writer.flush();
    } catch (error) {
      failure = error;
    }
  }
  assert.ok(failure instanceof StoreError, String(failure));
  assert.equal(failure.code, 'SQLITE_FULL');
  assert.match(
    failure.message,
    /^store flush: .*: the disk is full \(SQLITE_FULL\); free space on it, or lower the store's size limit$/,
  );
  const dropped = writer.dropped().spans ?? 0;
  assert.ok(dropped > 0 && dropped < written, `${dropped} of ${written} were dropped`);
  rmSync(filler);
  writer.flush();
  const reader = openStoreReader(path);
  assert.equal(
    reader.spans({ ...allSpans, fromMs: noonMs - 1000, toMs: noonMs + 1000 }).count,
    1_000_000 > written ? written - dropped : 1_000_000,
  );
  const [line] = reader.ledger({ fromMs: noonMs - 60_000, toMs: noonMs + 60_000 }).sources;
  assert.deepEqual(
    [line?.seen, line?.stored, line?.lost.map(({ reason, count }) => [reason, count]), line?.unexplained],
    [written, written - dropped, [['store_full', dropped]], 0],
  );
  reader.close();
  writer.close();
}

test('processes keep their id over pid reuse, exec, exit and restart', context => {
  const store = openTestStore(context);
  const row = processRow();
  const id = store.writer.process(row);
  assert.equal(store.writer.process({ ...row, comm: 'renamed' }), id);
  assert.equal(store.writer.process({ ...row, startNs: row.startNs + 9_000_000n }), id, 'a start known from another clock');
  const reused = store.writer.process({ ...row, startNs: row.startNs + 60_000_000_000n, comm: 'second' });
  assert.notEqual(reused, id);
  store.writer.flush();
  assert.equal(store.writer.process({ ...row, exitNs: BigInt(noonMs) * 1_000_000n, exitStatus: 256 }), id);
  store.writer.flush();
  store.reopen();
  assert.equal(store.writer.process({ ...row, startNs: row.startNs + 60_000_000_000n, comm: 'second' }), reused);
  store.writer.flush();
  const found = store.reader.processes({ fromMs: noonMs - 86_400_000, toMs: noonMs + 1, filter: '' });
  assert.deepEqual(
    found.map(({ comm, exitMs, exitStatus }) => [comm, exitMs, exitStatus]),
    [
      ['second', null, -1],
      ['gateway', noonMs, 256],
    ],
  );
});

test('a process whose end nobody saw has ended when the agent comes back', context => {
  const store = openTestStore(context);
  store.writer.process(processRow());
  store.writer.metric({ name: 'host.load', labels: '', timeMs: noonMs, value: 1 });
  store.writer.flush();
  store.nowMs += 3_600_000;
  store.reopen();
  const [found] = store.reader.processes({ fromMs: noonMs - 1000, toMs: noonMs + 1000, filter: '' });
  assert.ok(found?.exitMs !== null && found !== undefined && found.exitMs >= noonMs && found.exitMs < noonMs + 60_000);
  assert.equal(store.reader.processes({ fromMs: noonMs + 60_000, toMs: noonMs + 120_000, filter: '' }).length, 0);
});

test('operations of one second are added up, and rolled up by the minute', context => {
  const store = openTestStore(context);
  store.writer.operation(operationRow());
  store.writer.flush();
  store.writer.operation(operationRow({ timeMs: noonMs + 400 }));
  store.writer.operation(operationRow({ timeMs: noonMs + 3000, operation: 'write' }));
  store.writer.flush();
  const expected = (timeMs: number) => ({
    ...operationRow({ timeMs, calls: 6, errors: 2, bytes: 1024, totalNs: 30_000 }),
    buckets: operationRow().buckets.map(count => count * 2),
  });
  const fine = { fromMs: noonMs, toMs: noonMs + 60_000 };
  assert.deepEqual(store.reader.operations(fine), [
    expected(noonMs),
    operationRow({ timeMs: noonMs + 3000, operation: 'write' }),
  ]);
  store.nowMs += 1_200_000;
  store.writer.flush();
  assert.deepEqual(store.reader.operations(fine), [expected(noonMs), operationRow({ timeMs: noonMs, operation: 'write' })]);
});

/** Databases that are newer, cut short, garbage or in use, and a disk that fills up while the agent runs. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import Database from 'better-sqlite3';
import { openStoreWriter } from '../../agent/store/writer.ts';
import {
  eventually,
  type LedgerResult,
  type SpansResult,
  type StatusResponse,
  source,
  startAgent,
  type TestAgent,
} from './agent.ts';
import { hotspan, logged, residentBytes, stopClean } from './command.ts';

const folder = mkdtempSync(join(tmpdir(), 'hotspan-bad-store-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function dataDir(name: string): { dir: string; path: string } {
  const dir = join(folder, name);
  mkdirSync(dir);
  return { dir, path: join(dir, 'hotspan.db') };
}

const run = (dir: string) => ['run', '--listen', '127.0.0.1:0', '--data-dir', dir];

test('a database of a newer hotspan is refused and not touched', async () => {
  const { dir, path } = dataDir('newer');
  openStoreWriter({ path }).close();
  const database = new Database(path);
  database.pragma('user_version = 1000');
  database.close();
  const before = readFileSync(path);
  const { code, out, err } = await hotspan(run(dir));
  assert.match(
    err,
    /^hotspan: store open: \S+hotspan\.db has schema version 1000, and this hotspan knows versions up to \d+; use the newer hotspan that wrote it, or name another directory with --data-dir\n$/,
  );
  assert.deepEqual([code, out], [1, '']);
  assert.ok(readFileSync(path).equals(before), 'not a byte of it has changed');
});

test('a database cut short and one of garbage are moved aside whole, and a new one is begun', async () => {
  const { dir, path } = dataDir('damaged');
  const writer = openStoreWriter({ path });
  for (let i = 0; i < 5000; i += 1) writer.metric({ name: `test.${i}`, labels: '', timeMs: Date.now(), value: i });
  writer.close();
  truncateSync(path, Math.floor(statSync(path).size / 2));
  await movedAside(dir, path);
  writeFileSync(path, Buffer.alloc(100_000, 'no database '));
  await movedAside(dir, path);
});

async function movedAside(dir: string, path: string): Promise<void> {
  const damaged = readFileSync(path);
  const agent = await startAgent({ dataDir: dir });
  try {
    const warning = await logged(agent, /damaged/);
    const [, aside = ''] =
      /^the database \S+hotspan\.db is damaged \(.+\); it was moved to (\S+) and a new one begun$/.exec(warning) ?? [];
    assert.ok(readFileSync(aside).equals(damaged), `${warning}: the old bytes are kept`);
    await eventually('new rows are stored', 30_000, async () => {
      // On a quiet host nothing would end by itself; each of these gives a span.
      spawnSync('/bin/true');
      const { store } = await agent.get<StatusResponse>('/api/v1/status');
      assert.equal(store.state, 'ok');
      return (await spanCount(agent, 'source=exec')) > 0 ? true : undefined;
    });
  } finally {
    assert.equal(await stopClean(agent), 0);
  }
}

test('a second agent on one store is refused, and the first goes on', async () => {
  const { dir } = dataDir('shared');
  const agent = await startAgent({ dataDir: dir });
  try {
    const { code, err } = await hotspan(run(dir));
    assert.match(
      err,
      /^hotspan: store open: another hotspan writes to \S+hotspan\.db; stop it, or name another directory with --data-dir\n$/,
    );
    assert.equal(code, 1);
    assert.equal((await source(agent, 'cpu')).state, 'running');
    assert.equal((await agent.get<StatusResponse>('/api/v1/status')).store.state, 'ok');
  } finally {
    assert.equal(await stopClean(agent), 0);
  }
});

/** Spans of the last hour that match. */
async function spanCount(agent: TestAgent, filter: string): Promise<number> {
  const spans = await agent.get<SpansResult>(`/api/v1/spans?from=now-1h&to=now&limit=1&filter=${encodeURIComponent(filter)}`);
  assert.ok(spans.isCountExact);
  return spans.count;
}

/** Holds a mount namespace with a small disk of its own, until it is killed. */
async function startDisk(sizeMiB: number): Promise<{ holder: ChildProcess; dir: string; seenFromOutside: string }> {
  const dir = join(folder, 'disk');
  mkdirSync(dir);
  const mount = `mount -t tmpfs -o size=${sizeMiB}m none '${dir}' && echo mounted && exec sleep 600`;
  const holder = spawn('unshare', ['-m', 'sh', '-c', mount], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    holder.stdout?.once('data', () => resolve());
    holder.once('exit', code => reject(new Error(`no disk could be mounted (${code})`)));
  });
  return { holder, dir, seenFromOutside: `/proc/${holder.pid}/root${dir}` };
}

/** Takes what is left of the disk. Called again and again, since the agent gives space back when it rolls its log over. */
function fill(path: string): void {
  const file = openSync(path, 'a');
  try {
    for (const bytes of [1 << 20, 1 << 12]) {
      const chunk = Buffer.alloc(bytes);
      for (;;) if (writeSync(file, chunk) < bytes) break;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}

/** Opens files until it is killed: several ten thousand spans a second. */
const opener = `
  const { openSync, closeSync } = require('node:fs');
  for (;;) closeSync(openSync('/etc/hostname'));
`;

test('a full disk is told, memory stays bounded, losses are counted, and with space it stores again', async () => {
  const disk = await startDisk(24);
  const wrapper = ['nsenter', '-m', '-t', String(disk.holder.pid)];
  const filler = join(disk.seenFromOutside, 'filler');
  const options = { wrapper, dataDir: disk.dir, args: ['--pending-bytes', '1MiB'] };
  try {
    const agent = await startAgent(options);
    const rssBefore = residentBytes(agent.pid);
    const load = spawn(process.execPath, ['-e', opener], { stdio: 'inherit' });
    try {
      await agent.post('/api/v1/sources/file/start', { settings: { min: 0 } });
      await eventually('the disk is full and spans are given up', 60_000, async () => {
        fill(filler);
        return ((await source(agent, 'file')).counts.store_full ?? 0) > 1000 ? true : undefined;
      });
    } finally {
      load.kill();
    }
    const full = await agent.get<StatusResponse>('/api/v1/status');
    assert.equal(full.store.state, 'full');
    assert.match(
      full.store.message,
      /^store flush: \S+hotspan\.db: the disk is full \(\S+\); free space on it, or lower the store's size limit$/,
    );
    assert.equal(await logged(agent, /^store flush/), full.store.message);
    assert.ok(full.lost > 1000, `${full.lost} lost`);
    const grown = residentBytes(agent.pid) - rssBefore;
    assert.ok(grown < 200 << 20, `the agent has grown by ${grown >> 20} MiB`);

    rmSync(filler);
    await logged(agent, /^the store can be written again; \d+ samples and spans were given up since the start$/);
    await agent.post('/api/v1/sources/file/stop');
    await checkBooks(agent);

    // Full again at the end: what could not be stored is told, and so is the exit code.
    await eventually('the disk is full again', 30_000, async () => {
      fill(filler);
      return (await agent.get<StatusResponse>('/api/v1/status')).store.state === 'full' ? true : undefined;
    });
    fill(filler);
    assert.equal(await stopClean(agent), 1);
    assert.match(
      agent.log(),
      /"level":"error","text":"not everything could be brought to an end: store flush: [^"]*: the disk is full/,
    );

    rmSync(filler);
    const again = await startAgent(options);
    assert.doesNotMatch(again.log(), /damaged/);
    assert.ok((await spanCount(again, 'source=file')) > 1000, 'what was stored before is there');
    assert.equal(await stopClean(again), 0);
  } finally {
    disk.holder.kill();
  }
});

/** Every call that was seen is stored or told as lost, in the ledger on disk as in the agent's own counts. */
async function checkBooks(agent: TestAgent): Promise<void> {
  const line = await eventually('the books are closed', 10_000, async () => {
    const { sources } = await agent.get<LedgerResult>('/api/v1/ledger?from=now-1h');
    const found = sources.find(candidate => candidate.source === 'file');
    return found !== undefined && found.seen > 0 && found.inFlight === 0 ? found : undefined;
  });
  const lost = line.lost.reduce((sum, { count }) => sum + count, 0);
  const storeFull = line.lost.find(({ reason }) => reason === 'store_full')?.count ?? 0;
  assert.equal(line.seen, line.stored + lost);
  assert.equal(line.unexplained, 0);
  assert.ok(storeFull > 1000, `${storeFull} lost for want of room`);
  const { counts } = await source(agent, 'file');
  assert.deepEqual([counts.seen, counts.stored, counts.store_full], [line.seen, line.stored, storeFull]);
  assert.equal(await spanCount(agent, 'source=file'), line.stored, 'what is told as stored can be read');
}

test('a disk that is full from the start ends the agent with the reason', async () => {
  const disk = join(folder, 'full');
  mkdirSync(disk);
  const commands = `mount -t tmpfs -o size=64k none '${disk}' && head -c 65536 /dev/zero > '${disk}/filler'`;
  const { code, err } = await hotspan(run(disk), { wrapper: ['unshare', '-m', 'sh', '-c', `${commands}; exec "$@"`, 'sh'] });
  assert.match(err, /^hotspan: store open: \S+: the disk is full \(\S+\); free space on it, or lower the store's size limit\n$/);
  assert.equal(code, 1);
  assert.ok(!existsSync(join(disk, 'filler')) && readdirSync(disk).length === 0, 'the disk was its own');
});

/** Real programs as Debian ships them, stripped and optimised, each under a load of its own. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectDir } from '../../scripts/lib/bpf.ts';
import type { Subject } from './subject.ts';

const sourceDir = join(projectDir, 'test', 'zoo', 'stacks');

/** What was started for one subject: all of it ends with it, and its folder goes. */
class Stage {
  readonly folder = mkdtempSync(join(tmpdir(), 'hotspan-real-'));
  readonly #children: ChildProcess[] = [];

  start(program: string, args: readonly string[], options: { argv0?: string; input?: string } = {}): ChildProcess {
    const stdin = options.input === undefined ? 'ignore' : 'pipe';
    const child = spawn(program, args, { stdio: [stdin, 'ignore', 'ignore'], cwd: this.folder, argv0: options.argv0 });
    child.on('error', () => {});
    child.stdin?.end(options.input);
    this.#children.push(child);
    return child;
  }

  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  async waitFor(name: string): Promise<void> {
    for (let turn = 0; turn < 300 && !existsSync(join(this.folder, name)); turn++) await sleep(100);
    if (!existsSync(join(this.folder, name))) throw new Error(`${name} did not come up`);
  }

  subject(name: string, pid: number): Subject {
    const binary = realpathSync(`/proc/${pid}/exe`);
    return { name, pid, binary, symbolFile: '', stop: () => this.stop() };
  }

  stop(): void {
    for (const child of this.#children.reverse()) child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function pathOf(program: string): string | undefined {
  const places = [
    ...'/usr/local/sbin:/usr/sbin:/usr/bin:/usr/lib/postgresql/15/bin'.split(':'),
    ...(process.env.PATH ?? '').split(':'),
  ];
  return places.map(place => join(place, program)).find(existsSync);
}

async function startNginx(): Promise<Subject | string> {
  const nginx = pathOf('nginx');
  if (!nginx) return 'nginx';
  const stage = new Stage();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    name => `${name}_temp_path ${stage.folder}/${name};`,
  );
  stage.write('index.html', 'some text\n'.repeat(2000));
  const config = stage.write(
    'nginx.conf',
    `daemon off; master_process off; user root; pid ${stage.folder}/pid; error_log ${stage.folder}/error.log;
events {}
http { access_log ${stage.folder}/access.log; gzip on; ${temporary.join(' ')}
  server { listen unix:${stage.folder}/http; location / { root ${stage.folder}; } } }`,
  );
  const server = stage.start(nginx, ['-e', `${stage.folder}/error.log`, '-p', stage.folder, '-c', config]);
  await stage.waitFor('http');
  stage.start(process.execPath, [join(sourceDir, 'requests.mjs'), `${stage.folder}/http`]);
  await sleep(500);
  return stage.subject('nginx', server.pid ?? 0);
}

async function startRedis(): Promise<Subject | string> {
  // Debian's redis-server is a link to this file, which comes with redis-tools and starts no service when it is installed.
  const redis = pathOf('redis-check-rdb');
  if (!redis) return 'redis-server';
  const stage = new Stage();
  const server = stage.start(redis, ['--port', '0', '--unixsocket', `${stage.folder}/redis`, '--save', ''], {
    argv0: 'redis-server',
  });
  await stage.waitFor('redis');
  stage.start('redis-benchmark', [
    '-s',
    `${stage.folder}/redis`,
    '-l',
    '-q',
    '-c',
    '10',
    '-t',
    'set,get,lpush,lrange,zadd,mset,hset',
  ]);
  await sleep(500);
  return stage.subject('redis-server', server.pid ?? 0);
}

async function startMariadb(): Promise<Subject | string> {
  const mariadb = pathOf('mariadbd');
  if (!mariadb) return 'mariadbd';
  const stage = new Stage();
  const load = stage.write(
    'load.sql',
    [
      'CREATE DATABASE zoo;',
      'CREATE TABLE zoo.numbers (id INT PRIMARY KEY, text VARCHAR(50), KEY (text)) ENGINE=InnoDB;',
      'INSERT INTO zoo.numbers SELECT seq, MD5(seq) FROM zoo.seq_1_to_20000;',
      ...Array<string>(50).fill(
        'SELECT SUM(a.id), COUNT(DISTINCT MD5(CONCAT(a.text, b.text))) FROM zoo.numbers a JOIN zoo.numbers b ON a.id % 100 = b.id % 100 GROUP BY a.text ORDER BY 2;',
      ),
    ].join('\n'),
  );
  // What it only reserves is written into each core that is made of it.
  const small = ['--innodb-buffer-pool-size=8M', '--key-buffer-size=1M', '--aria-pagecache-buffer-size=8M'];
  const paths = [`--datadir=${stage.folder}`, `--socket=${stage.folder}/socket`, `--init-file=${load}`];
  const server = stage.start(mariadb, [
    '--no-defaults',
    '--user=root',
    '--skip-networking',
    '--skip-grant-tables',
    ...small,
    ...paths,
  ]);
  // It runs the file before it opens its socket, so the socket cannot be waited for.
  await sleep(8000);
  return stage.subject('mariadbd', server.pid ?? 0);
}

/** A backend of its own, without a server around it: what runs a query is the same. */
async function startPostgres(): Promise<Subject | string> {
  const postgres = pathOf('postgres');
  const initdb = pathOf('initdb');
  if (!postgres || !initdb) return 'postgres';
  const stage = new Stage();
  chmodSync(stage.folder, 0o777);
  const data = join(stage.folder, 'data');
  const made = spawnSync('setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', initdb, '-D', data, '--no-sync'], {
    encoding: 'utf8',
    cwd: '/',
  });
  if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`);
  const query = `select a % 100, count(distinct md5(a::text || b::text)), string_agg(b::text, ',' order by b desc) from
 generate_series(1, 3000) a, generate_series(1, 3000) b where a % 7 = b % 7 group by 1 order by 2;`.replaceAll('\n', '');
  const server = stage.start(
    'setpriv',
    ['--reuid=postgres', '--regid=postgres', '--clear-groups', realpathSync(postgres), '--single', '-D', data, 'postgres'],
    { input: `${query}\n`.repeat(50) },
  );
  await sleep(2500);
  return stage.subject('postgres', server.pid ?? 0);
}

/** The interpreter itself: what stands in the path may be a script that starts it. */
async function startPython(): Promise<Subject | string> {
  const python = pathOf('python3');
  if (!python) return 'python3';
  const stage = new Stage();
  const child = stage.start(realpathSync(python), [join(sourceDir, 'python.py')]);
  await sleep(1000);
  return stage.subject('python3', child.pid ?? 0);
}

async function startNode(): Promise<Subject | string> {
  const stage = new Stage();
  const child = stage.start(process.execPath, [join(sourceDir, 'script.mjs')]);
  await sleep(1500);
  return stage.subject('node', child.pid ?? 0);
}

async function startJava(): Promise<Subject | string> {
  const java = pathOf('java');
  if (!java) return 'java';
  const stage = new Stage();
  const child = stage.start(realpathSync(java), ['-Xmx64m', '-XX:+PreserveFramePointer', join(sourceDir, 'stacks.java')]);
  // Until the compilers have had their turn.
  await sleep(6000);
  return stage.subject('java', child.pid ?? 0);
}

/** Each answers with what is missing where it cannot be started. */
export const REAL_PROGRAMS: Readonly<Record<string, () => Promise<Subject | string>>> = {
  nginx: startNginx,
  'redis-server': startRedis,
  mariadbd: startMariadb,
  postgres: startPostgres,
  python3: startPython,
  node: startNode,
  java: startJava,
};

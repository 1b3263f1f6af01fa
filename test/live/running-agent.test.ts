/** What a running agent bears and follows: changes of its configuration, nonsense on its port, signals, and a person at a terminal. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { eventually, launcher, type StatusResponse, source, startAgent } from './agent.ts';
import { logged, logLines, stopClean } from './command.ts';

const folder = mkdtempSync(join(tmpdir(), 'hotspan-running-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('a change of the configuration file is followed without a restart, and a broken one changes nothing', async () => {
  const path = join(folder, 'hotspan.yaml');
  const text = (hz: number, rest: string) => `sources:\n  cpu:\n    hz: ${hz}\n  file:\n    enabled: false\n${rest}`;
  writeFileSync(path, text(49, ''));
  const agent = await startAgent({ args: ['--config', path] });
  const cpu = await source(agent, 'cpu');
  // As an editor does it, a new file in the old one's place: a signal never finds a file that is half written.
  const replace = (content: string) => {
    writeFileSync(`${path}.new`, content);
    renameSync(`${path}.new`, path);
  };
  const limit = async () => (await agent.get<StatusResponse>('/api/v1/status')).store.limitBytes;
  try {
    assert.equal(cpu.settings.hz, 49);
    assert.equal((await source(agent, 'file')).state, 'stopped');

    const changed = text(99, 'retention:\n  bytes: 32MiB\nbuffer-pages: 64\n').replace('enabled: false', 'enabled: true');
    replace(changed);
    const names = 'retention.bytes, buffer-pages, sources.cpu.hz, sources.file.enabled';
    assert.equal(await logged(agent, /^reloaded; changed/), `reloaded; changed: ${names}`);
    assert.ok(logLines(agent).some(line => line.text === 'buffer-pages changed; restart hotspan for it to be felt'));
    assert.deepEqual([(await source(agent, 'cpu')).settings.hz, (await source(agent, 'file')).state], [99, 'running']);
    assert.equal((await source(agent, 'cpu')).startedMs, cpu.startedMs, 'sampling was not interrupted');
    await eventually('the new limit is shown', 5000, async () => ((await limit()) === 32 << 20 ? true : undefined));

    replace(text(0, 'lisen: x\n'));
    assert.equal(await logged(agent, /unknown key/), `not reloaded: ${path}:6: unknown key "lisen"; did you mean "listen"?`);
    assert.ok(
      logLines(agent).some(line => line.text === `not reloaded: ${path}:3: sources.cpu.hz must be at least 1 Hz, not 0 Hz`),
    );
    assert.deepEqual([(await source(agent, 'cpu')).settings.hz, await limit()], [99, 32 << 20]);

    // SIGHUP does the same, and the log's level is followed: what is below it is said no more.
    replace(changed.replace('hz: 99', 'hz: 19').concat('log:\n  level: error\n'));
    agent.child.kill('SIGHUP');
    await eventually('the new rate', 5000, async () => ((await source(agent, 'cpu')).settings.hz === 19 ? true : undefined));
    const said = logLines(agent).filter(line => line.level === 'info').length;
    agent.child.kill('SIGHUP');
    replace(changed.replace('hz: 99', 'hz: 29').concat('log:\n  level: error\n'));
    await eventually('the rate after it', 5000, async () => ((await source(agent, 'cpu')).settings.hz === 29 ? true : undefined));
    assert.equal(logLines(agent).filter(line => line.level === 'info').length, said);
  } finally {
    assert.equal(await stopClean(agent), 0);
  }
});

/** Sends bytes to the port and resolves when the other side, or the time, has ended the connection. */
function send(port: number, bytes: Buffer | string): Promise<void> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => socket.end(bytes));
    socket.setTimeout(3000, () => socket.destroy());
    // A reset is an answer as good as any other here.
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.resume();
  });
}

test('nonsense at its port does not end it', async () => {
  const agent = await startAgent();
  const port = Number(new URL(agent.url).port);
  const host = `Host: 127.0.0.1:${port}\r\n`;
  const upgrade = `${host}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n`;
  const nonsense: readonly (Buffer | string)[] = [
    ...Array.from({ length: 50 }, () => randomBytes(4096)),
    'GET / HTTP/9.9\r\n\r\n',
    `GET ${'/a'.repeat(50_000)} HTTP/1.1\r\n${host}\r\n`,
    `GET / HTTP/1.1\r\n${host}${'X-A: b\r\n'.repeat(5000)}\r\n`,
    `GET /../../../etc/shadow HTTP/1.1\r\n${host}\r\n`,
    `GET /%00%ff%2e%2e%2f HTTP/1.1\r\n${host}\r\n`,
    `GET /api/v1/profile?from=NaN&to=1e999&type=%F0%9F HTTP/1.1\r\n${host}\r\n`,
    `GET /api/v1/spans?from=0&to=now&filter=${encodeURIComponent('name=~"((a+)+)+$"')} HTTP/1.1\r\n${host}\r\n`,
    `POST /api/v1/sources/cpu/start HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: -1\r\n\r\n`,
    `POST /api/v1/sources/cpu/start HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":[[`,
    `POST /api/v1/sources/cpu/start HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx`,
    `POST /api/v1/sources/__proto__/start HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
    Buffer.concat([Buffer.from(`GET /api/v1/live HTTP/1.1\r\n${upgrade}\r\n`), randomBytes(4096)]),
    Buffer.concat([Buffer.from(`GET /api/v1/live HTTP/1.1\r\n${upgrade}\r\n`), Buffer.from([0x81, 0xff, 255, 255, 255, 255])]),
  ];
  try {
    await Promise.all(nonsense.map(bytes => send(port, bytes)));
    assert.equal(await agent.text('/healthz'), 'ok\n');
    assert.equal((await source(agent, 'cpu')).state, 'running');
    assert.equal(agent.child.exitCode, null);
    assert.doesNotMatch(agent.log(), /the pipeline has ended/);
  } finally {
    assert.equal(await stopClean(agent), 0);
  }
});

test('a signal that comes before it runs ends it in order all the same', async () => {
  for (const delayMs of [300, 600, 900]) {
    const args = ['run', '--listen', '127.0.0.1:0', '--data-dir', join(folder, `early-${delayMs}`)];
    const child = spawn(launcher, args, { stdio: ['ignore', 'inherit', 'pipe'] });
    let log = '';
    child.stderr.setEncoding('utf8').on('data', chunk => {
      log += chunk;
    });
    setTimeout(() => child.kill('SIGTERM'), delayMs);
    const [code, signal] = await new Promise<[number | null, string | null]>(resolve =>
      child.once('close', (...end) => resolve(end)),
    );
    // Before Node has come to the program's first line, the signal itself ends it.
    if (signal === null) assert.equal(code, 0, log);
    else assert.deepEqual([signal, log], ['SIGTERM', '']);
    assert.doesNotMatch(log, /"level":"(warning|error)"/);
  }
});

test('at a terminal it greets with its address, sources and how to end it, whatever the level of the log', async t => {
  const dataDir = join(folder, 'terminal');
  const command = `exec '${launcher}' run --listen 127.0.0.1:0 --log-level error --data-dir '${dataDir}'`;
  const child = spawn('script', ['-qefc', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  // Its terminal closes, which ends the agent as well.
  t.after(() => child.kill());
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', chunk => {
    shown += chunk;
  });
  const ended = new Promise<number | null>(resolve => child.once('exit', resolve));
  await eventually('the greeting', 20_000, async () => (/detaches and ends\./.test(shown) ? true : undefined));
  assert.match(shown, /^\r\nhotspan is running: http:\/\/127\.0\.0\.1:\d+\r\n\r\n/);
  assert.match(shown, /\r\n {2}cpu {4}\S.* \(by perf event\)\r\n/);
  assert.match(shown, /\r\n {2}func {3}off until it is started on the Probes page or by "hotspan sources start func"\r\n/);
  assert.match(shown, /\r\n {2}Stored in \S+hotspan\.db\. Ctrl-C stores what is in flight, detaches and ends\.\r\n/);
  // Ctrl-C, as the terminal's driver turns it into SIGINT.
  child.stdin.write('\x03');
  assert.equal(await ended, 0, shown);
});

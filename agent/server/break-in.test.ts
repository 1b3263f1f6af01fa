/** Tries to get in where it is not allowed, over HTTP and WebSocket, and to wear the server out. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';
import type { LiveMessage } from './api.ts';
import { defaultLiveOptions } from './live.ts';
import { ListenError } from './server.ts';
import { send, sendRaw, startTestServer, type TestServer } from './testing.ts';

const token = 'correct horse battery staple'.replaceAll(' ', '-');
let open: TestServer;
let guarded: TestServer;
before(async () => {
  open = await startTestServer();
  guarded = await startTestServer({ token, allowedHosts: ['hotspan.example'] });
});
after(async () => {
  await open.close();
  await guarded.close();
});

const asJson = { 'content-type': 'application/json' };

/** 'open', or the status that refused the upgrade. */
async function upgrade(port: number, headers: Record<string, string>, path = '/api/v1/live'): Promise<'open' | number> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers });
  return new Promise(resolve => {
    socket.on('open', () => {
      socket.close();
      resolve('open');
    });
    socket.on('unexpected-response', (_, response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    socket.on('error', () => resolve(0));
  });
}

test('a foreign Host is refused everywhere: a rebound DNS name gets nothing', async () => {
  for (const host of [
    'evil.example',
    'evil.example:7575',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '10.0.0.1',
    'local host',
    '[::2]',
  ]) {
    for (const path of ['/', '/api/v1/status', '/metrics', '/healthz', '/api/v1/openapi.json']) {
      const answer = await send(open.port, path, { headers: { host } });
      assert.ok(answer.status === 403 || answer.status === 400, `${host} ${path}: ${answer.status}`);
      assert.doesNotMatch(answer.text, /hotspan page|"cpus"/);
    }
    assert.notEqual(await upgrade(open.port, { host }), 'open', host);
  }
  const empty = await sendRaw(open.port, 'GET /api/v1/status HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n');
  assert.match(empty.answer, /^HTTP\/1\.1 40[03]/);
});

test("the server's own names are let in, on any port: people forward ports over ssh", async () => {
  for (const host of ['localhost', 'LOCALHOST:7575', '127.0.0.1:1', '127.1.2.3', '[::1]:7575']) {
    assert.equal((await send(open.port, '/api/v1/status', { headers: { host } })).status, 200, host);
  }
  const headers = { host: 'hotspan.example', authorization: `Bearer ${token}` };
  assert.equal((await send(guarded.port, '/api/v1/status', { headers })).status, 200);
});

test('another site in the browser can neither post, nor read, nor listen', async () => {
  const own = `127.0.0.1:${open.port}`;
  for (const origin of [
    'http://evil.example',
    'null',
    `http://127.0.0.1:${open.port + 1}`,
    `http://localhost:${open.port}`,
    `ftp://${own}`,
    'http://',
    'x',
  ]) {
    const posted = await send(open.port, '/api/v1/sources/cpu/stop', {
      method: 'POST',
      headers: { ...asJson, origin },
      body: '{}',
    });
    assert.equal(posted.status, 403, origin);
    assert.equal((await send(open.port, '/api/v1/status', { headers: { origin } })).status, 403, origin);
    assert.equal(await upgrade(open.port, { origin }), 403, origin);
  }
  const headers = { ...asJson, 'sec-fetch-site': 'cross-site' };
  assert.equal((await send(open.port, '/api/v1/sources/cpu/stop', { method: 'POST', headers, body: '{}' })).status, 403);
  assert.equal((await send(open.port, '/api/v1/profile', { headers })).status, 403);
  assert.equal((await send(open.port, '/metrics', { headers: { 'sec-fetch-site': 'same-site' } })).status, 403);
  assert.ok(!open.backend.calls.some(([name]) => name === 'stopSource'));
});

test('the same origin and programs without a browser are let in', async () => {
  const origin = `http://127.0.0.1:${open.port}`;
  for (const headers of [{ ...asJson, origin }, asJson]) {
    assert.equal((await send(open.port, '/api/v1/sources/cpu/start', { method: 'POST', headers, body: '{}' })).status, 200);
  }
  assert.equal(await upgrade(open.port, { origin }), 'open');
  assert.equal(await upgrade(open.port, {}), 'open');
});

test('cookies without an Origin do not post and do not listen', async () => {
  const cookie = 'anything=1';
  assert.equal(
    (await send(open.port, '/api/v1/sources/cpu/stop', { method: 'POST', headers: { ...asJson, cookie }, body: '{}' })).status,
    403,
  );
  assert.equal(await upgrade(open.port, { cookie }), 403);
});

test('a form of another site cannot post: only JSON is taken', async () => {
  for (const type of [
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'text/plain',
    'text/plain; application/json',
    'application/jsonp',
    '',
  ]) {
    const headers: Record<string, string> = type === '' ? {} : { 'content-type': type };
    const answer = await send(open.port, '/api/v1/sources/file/stop', { method: 'POST', headers, body: '{}' });
    assert.equal(answer.status, 415, type);
  }
  const preflight = await send(open.port, '/api/v1/sources/file/stop', {
    method: 'OPTIONS',
    headers: { 'access-control-request-method': 'POST' },
  });
  assert.equal(preflight.status, 405);
  assert.equal(preflight.headers['access-control-allow-origin'], undefined);
  assert.ok(!open.backend.calls.some(([name]) => name === 'stopSource'));
});

test('without the right token there is nothing but health', async () => {
  const wrong: Record<string, string>[] = [
    {},
    { authorization: 'Bearer wrong' },
    { authorization: `Bearer ${token}x` },
    { authorization: `Bearer ${token.slice(0, -1)}` },
    { authorization: `Basic ${Buffer.from(`:${token}`).toString('base64')}` },
    { authorization: 'Bearer ' },
    { cookie: `hotspan_${guarded.port}=${token}` },
    { cookie: `hotspan_${guarded.port}=` },
    { cookie: `hotspan=${token}; token=${token}` },
  ];
  for (const headers of wrong) {
    for (const path of [
      '/',
      '/flame',
      '/assets/main-Ab3_dE9x.js',
      '/api/v1/status',
      '/api/v1/openapi.json',
      '/metrics',
      `/api/v1/status?token=${token}`,
    ]) {
      const answer = await send(guarded.port, path, { headers });
      assert.equal(answer.status, 401, `${path} ${JSON.stringify(headers)}`);
      assert.match(answer.headers['www-authenticate'] ?? '', /Bearer/);
      assert.ok(!answer.text.includes(token));
    }
    assert.ok([401, 403].includes((await upgrade(guarded.port, headers)) as number), JSON.stringify(headers));
  }
  assert.deepEqual(guarded.backend.calls, [['status']], 'only the right token of the test before reached the agent');
  assert.equal((await send(guarded.port, '/healthz')).status, 200);
});

test('the token lets in as bearer, and as a cookie that is not the token itself', async () => {
  const headers = { authorization: `Bearer ${token}` };
  assert.equal((await send(guarded.port, '/api/v1/status', { headers })).status, 200);
  assert.equal(await upgrade(guarded.port, headers), 'open');

  const signIn = await send(guarded.port, `/flame?type=cpu&token=${token}`);
  assert.equal(signIn.status, 303);
  assert.equal(signIn.headers.location, '/flame?type=cpu');
  const [cookie = ''] = signIn.headers['set-cookie'] ?? [];
  assert.match(cookie, /; HttpOnly; SameSite=Strict$/);
  assert.ok(!cookie.includes(token));
  const session = cookie.split(';')[0]!;
  assert.equal((await send(guarded.port, '/flame', { headers: { cookie: session } })).status, 200);
  assert.equal((await send(guarded.port, '/api/v1/status', { headers: { cookie: session } })).status, 200);
  assert.equal(await upgrade(guarded.port, { cookie: session, origin: `http://127.0.0.1:${guarded.port}` }), 'open');
  assert.equal(await upgrade(guarded.port, { cookie: session, origin: 'http://evil.example' }), 403);
  assert.equal((await send(guarded.port, '/?token=wrong')).status, 401);
});

test('a person without a token gets a form, and the form does not name the token', async () => {
  const answer = await send(guarded.port, '/', { headers: { accept: 'text/html,*/*' } });
  assert.equal(answer.status, 401);
  assert.match(answer.text, /<form/);
});

test('no path leads out of the folder of the UI, nor to another site', async () => {
  const paths = [
    '/../secret.txt',
    '/..%2fsecret.txt',
    '/%2e%2e/secret.txt',
    '/assets/../../secret.txt',
    '/assets/..%5c..%5csecret.txt',
    '//secret.txt',
    '/.%00/secret.txt',
    '/secret.txt%00.html',
    '/%',
    '/%c0%ae%c0%ae/secret.txt',
  ];
  for (const path of paths) {
    const answer = await send(open.port, path);
    assert.ok(answer.status === 404 || answer.status === 400, `${path}: ${answer.status}`);
    assert.doesNotMatch(answer.text, /top secret/);
  }
  for (const path of ['/%2Fevil.example/?token=x', '//evil.example/?token=x', '/%5Cevil.example?token=x']) {
    const answer = await send(open.port, path);
    const { location = '/' } = answer.headers;
    assert.ok(answer.status === 400 || /^\/[^/\\]/.test(location), `${path}: ${answer.status} ${location}`);
  }
  const absolute = await sendRaw(open.port, 'GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  assert.match(absolute.answer, /^HTTP\/1\.1 400/);
});

test('large bodies are refused, announced or not', async () => {
  const body = JSON.stringify({ settings: { a: 'x'.repeat(70_000) } });
  const announced = await sendRaw(
    open.port,
    `POST /api/v1/sources/cpu/stop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n`,
  );
  assert.match(announced.answer, /^HTTP\/1\.1 413/);
  const chunk = `${body.length.toString(16)}\r\n${body}\r\n`;
  const chunked = await sendRaw(
    open.port,
    `POST /api/v1/sources/cpu/stop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`,
  );
  assert.match(chunked.answer, /^HTTP\/1\.1 413/);
  assert.ok(!open.backend.calls.some(([name]) => name === 'stopSource'));
});

test('large and ambiguous headers are refused', async () => {
  const large = await sendRaw(open.port, `GET / HTTP/1.1\r\nHost: localhost\r\nX-Large: ${'x'.repeat(20_000)}\r\n\r\n`);
  assert.match(large.answer, /^HTTP\/1\.1 431/);
  const twice = await sendRaw(
    open.port,
    'POST /api/v1/sources/cpu/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  );
  assert.match(twice.answer, /^HTTP\/1\.1 400/);
  const noHost = await sendRaw(open.port, 'GET /api/v1/status HTTP/1.1\r\nConnection: close\r\n\r\n');
  assert.match(noHost.answer, /^HTTP\/1\.1 400/);
  const oldHttp = await sendRaw(open.port, 'GET /api/v1/status HTTP/1.0\r\n\r\n');
  assert.match(oldHttp.answer, /^HTTP\/1\.1 403/);
});

test('slow senders are cut off: headers that never end, and bodies that never end', async () => {
  const server = await startTestServer({ limits: { headersTimeoutMs: 300, requestTimeoutMs: 600 } });
  const headers = await sendRaw(server.port, 'GET / HTTP/1.1\r\nHost: localhost\r\n', 'X-Slow: '.padEnd(400, 'x'));
  const start =
    'POST /api/v1/sources/cpu/stop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n';
  const body = await sendRaw(server.port, start, ' '.repeat(400));
  const health = await send(server.port, '/healthz');
  await server.close();
  assert.match(headers.answer, /^HTTP\/1\.1 408/);
  assert.ok(headers.tookMs < 2000, `headers took ${headers.tookMs} ms`);
  assert.ok(body.tookMs < 3000, `body took ${body.tookMs} ms`);
  assert.ok(!server.backend.calls.some(([name]) => name === 'stopSource'));
  assert.equal(health.status, 200);
});

test('too many connections are dropped and counted; those that are open go on', async () => {
  const server = await startTestServer({ limits: { maxConnections: 4 } });
  const sockets: Socket[] = [];
  for (let i = 0; i < 12; i += 1) {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => {});
    sockets.push(socket);
    await once(socket, 'connect');
  }
  await new Promise(resolve => setTimeout(resolve, 100));
  assert.equal(sockets.filter(socket => socket.closed || socket.readableEnded || socket.destroyed).length, 8);
  const first = sockets[0]!;
  first.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  let text = '';
  for await (const chunk of first) text += chunk;
  assert.match(text, /hotspan_http_connections_dropped_total 8\n/);
  for (const socket of sockets) socket.destroy();
  await server.close();
});

test('too many live clients are refused, and a place that is left is given again', async () => {
  const server = await startTestServer({ limits: { live: { ...defaultLiveOptions, maxClients: 2 } } });
  const url = `ws://127.0.0.1:${server.port}/api/v1/live`;
  const clients = [new WebSocket(url), new WebSocket(url)];
  await Promise.all(clients.map(client => once(client, 'open')));
  assert.equal(await upgrade(server.port, {}), 503);
  clients[0]!.close();
  await once(clients[0]!, 'close');
  await new Promise(resolve => setTimeout(resolve, 50));
  assert.equal(await upgrade(server.port, {}), 'open');
  clients[1]!.terminate();
  await server.close();
});

test('a live client gets a message at once and then regularly; other paths and large messages end the connection', async () => {
  const server = await startTestServer({ limits: { live: { ...defaultLiveOptions, intervalMs: 50 } } });
  const client = new WebSocket(`ws://127.0.0.1:${server.port}/api/v1/live`);
  const messages: LiveMessage[] = [];
  client.on('message', data => messages.push(JSON.parse(String(data)) as LiveMessage));
  await new Promise(resolve => setTimeout(resolve, 400));
  assert.ok(messages.length >= 3, `${messages.length} messages`);
  assert.equal(messages[0]!.storeVersion, 7);
  assert.deepEqual(
    messages[0]!.sources.map(source => source.name),
    ['cpu', 'file'],
  );
  client.send('x'.repeat(2000));
  await once(client, 'close');
  assert.equal(await upgrade(server.port, {}, '/api/v1/other'), 404);
  assert.equal(await upgrade(server.port, {}, '/'), 404);
  await server.close();
});

test('a live client that does not read is passed over and counted, and holds nobody up', async () => {
  const large = 'x'.repeat(1 << 20);
  const server = await startTestServer(
    { limits: { live: { maxClients: 4, intervalMs: 20, maxBufferedBytes: 1 << 20 } } },
    {
      doctor: () => Promise.resolve({ kernel: '', findings: [], sources: [] }),
      status: async () => ({ version: large }) as never,
    },
  );
  const stuck = connect(server.port, '127.0.0.1');
  stuck.on('error', () => {});
  stuck.write(
    'GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
  );
  stuck.pause();
  const reader = new WebSocket(`ws://127.0.0.1:${server.port}/api/v1/live`);
  let received = 0;
  reader.on('message', () => {
    received += 1;
  });
  await new Promise(resolve => setTimeout(resolve, 1500));
  const metrics = await send(server.port, '/metrics');
  assert.ok(received > 5, `${received} messages`);
  assert.match(metrics.text, /hotspan_live_messages_total\{outcome="skipped"\} [1-9]/);
  stuck.destroy();
  reader.terminate();
  await server.close();
});

test('a reset in the middle of a request or an upgrade leaves the server standing', async () => {
  for (const text of [
    'GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'POST /api/v1/sources/cpu/start HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{',
    'GET /api/v1/live HTTP/1.1\r\nHost: evil\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
  ]) {
    const socket = connect(open.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(text);
    await new Promise(resolve => setTimeout(resolve, 20));
    socket.resetAndDestroy();
  }
  await new Promise(resolve => setTimeout(resolve, 50));
  assert.equal((await send(open.port, '/healthz')).status, 200);
});

test('an address beyond loopback is refused without protection, in one sentence with the remedy', async () => {
  for (const host of ['0.0.0.0', '::', '*']) {
    await assert.rejects(
      startTestServer({ listen: { host, port: 0 } }),
      (error: Error) =>
        error instanceof ListenError &&
        /^refusing to listen on .*; set a token .* or listen on 127\.0\.0\.1$/.test(error.message),
    );
  }
  const server = await startTestServer({ listen: { host: '0.0.0.0', port: 0 }, token });
  assert.equal((await send(server.port, '/api/v1/status')).status, 401);
  await server.close();
});

test('a port that is taken and a name that is unknown are told in one sentence', async () => {
  await assert.rejects(
    startTestServer({ listen: { host: '127.0.0.1', port: open.port } }),
    /cannot listen on 127\.0\.0\.1:\d+ \(EADDRINUSE\): the port is taken; stop what uses it or choose another with --listen/,
  );
  await assert.rejects(
    startTestServer({ listen: { host: 'no-such-host.invalid', port: 0 } }),
    /cannot listen on no-such-host\.invalid: the name is unknown/,
  );
  await assert.rejects(startTestServer({ listen: { host: '192.0.2.1', port: 0 }, token }), /no such address/);
});

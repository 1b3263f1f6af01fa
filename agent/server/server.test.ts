/** What the server answers when all is well, and how it says that something is not. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ApiError } from './api.ts';
import { apiPrefix, routes } from './routes.ts';
import { send, startTestServer, type TestServer } from './testing.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.close());

const get = (path: string) => send(server.port, path);
const post = (path: string, body: unknown) =>
  send(server.port, path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
const errorOf = (text: string) => (JSON.parse(text) as ApiError).error;
const lastCall = () => server.backend.calls.at(-1);

test('queries reach the store with checked parameters and defaults', async () => {
  const answer = await get('/api/v1/spans?from=1000&to=2000&filter=service%3Dweb&order=duration&desc=false&limit=5');
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8');
  assert.equal(answer.headers['cache-control'], 'no-store');
  const expected = {
    filter: 'service=web',
    order: 'duration',
    limit: 5,
    cursor: '',
    isDescending: false,
    fromMs: 1000,
    toMs: 2000,
  };
  assert.deepEqual(lastCall(), ['query', 'spans', [expected]]);
  assert.deepEqual(JSON.parse(answer.text), { method: 'spans', args: [expected] });
});

test('the default range is the last 15 minutes', async () => {
  await get('/api/v1/ledger');
  const [, , [range]] = lastCall() as unknown as [string, string, [{ fromMs: number; toMs: number }]];
  assert.equal(range.toMs - range.fromMs, 15 * 60_000);
  assert.ok(Math.abs(range.toMs - Date.now()) < 5000);
});

test('times are read in every documented form', async () => {
  for (const [text, ms] of [
    ['1700000000000', 1_700_000_000_000],
    ['2023-11-14T22:13:20Z', 1_700_000_000_000],
    ['2023-11-14T23:13:20%2B01:00', 1_700_000_000_000],
  ] as const) {
    const answer = await get(`/api/v1/operations?from=${text}&to=now`);
    assert.equal(answer.status, 200, answer.text);
    const [, , [range]] = lastCall() as unknown as [string, string, [{ fromMs: number }]];
    assert.equal(range.fromMs, ms);
  }
});

test('every route answers, and every GET also to HEAD without a body', async () => {
  for (const route of routes) {
    const path = `${apiPrefix}${route.path.replace('{name}', 'cpu').replace('{id}', 'ab'.repeat(16))}`;
    const query = route.path === '/series' ? '?name=cpu' : route.path === '/values' ? '?key=service' : '';
    const answer = route.method === 'GET' ? await get(path + query) : await post(path, {});
    assert.equal(answer.status, 200, `${route.method} ${path}: ${answer.text}`);
    if (route.method !== 'GET') continue;
    const head = await send(server.port, path + query, { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(head.text, '');
  }
});

test('openapi.json describes every route and nothing else', async () => {
  interface Document {
    openapi: string;
    paths: Record<
      string,
      Record<string, { operationId: string; parameters: { name: string; in: string }[]; responses: Record<string, unknown> }>
    >;
    components: { schemas: Record<string, unknown> };
  }
  const text = (await get('/api/v1/openapi.json')).text;
  const document = JSON.parse(text) as Document;
  assert.equal(document.openapi, '3.1.0');
  const described = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map(method => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(described.sort(), routes.map(route => `${route.method} ${apiPrefix}${route.path}`).sort());
  for (const route of routes) {
    const operation = document.paths[`${apiPrefix}${route.path}`]![route.method.toLowerCase()]!;
    const names = operation.parameters.filter(parameter => parameter.in === 'query').map(parameter => parameter.name);
    assert.deepEqual(names, Object.keys(route.parameters));
    assert.deepEqual(
      operation.parameters.filter(parameter => parameter.in === 'path').map(parameter => `{${parameter.name}}`),
      route.path.match(/\{\w+\}/g) ?? [],
    );
  }
  const ids = routes.map(route => document.paths[`${apiPrefix}${route.path}`]![route.method.toLowerCase()]!.operationId);
  assert.equal(new Set(ids).size, ids.length);
  for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) assert.ok(document.components.schemas[name!], name);
});

test('sources are started, stopped and set, with their settings', async () => {
  const settings = { minLatency: 5, targets: ['kernel:vfs_*'], mode: 'x' };
  await post('/api/v1/sources/file/start', { settings });
  assert.deepEqual(lastCall(), ['startSource', 'file', settings]);
  await post('/api/v1/sources/file/settings', { settings: { minLatency: 6 } });
  assert.deepEqual(lastCall(), ['setSettings', 'file', { minLatency: 6 }]);
  await post('/api/v1/sources/cpu/stop', {});
  assert.deepEqual(lastCall(), ['stopSource', 'cpu']);
});

test('mistakes in requests are told with a remedy', async () => {
  const mistakes: readonly [string, number, RegExp, RegExp][] = [
    ['/api/v1/spans?fliter=x', 400, /unknown parameter "fliter"; did you mean "filter"\?/, /known are/],
    ['/api/v1/spans?limit=0', 400, /"limit" is "0"/, /from 1 to 1000/],
    ['/api/v1/spans?limit=1e9', 400, /"limit"/, /from 1 to 1000/],
    ['/api/v1/spans?limit=5&limit=6', 400, /given twice/, /once/],
    ['/api/v1/spans?from=now&to=now-5m', 400, /"from" is not before "to"/, /from=now-15m/],
    ['/api/v1/spans?from=yesterday', 400, /"from" is "yesterday"/, /now-15m/],
    ['/api/v1/spans?from=1700000000000000000', 400, /"from"/, /milliseconds/],
    ['/api/v1/spans?order=name', 400, /"order" is "name"/, /start, duration/],
    ['/api/v1/spans?desc=1', 400, /"desc"/, /true or false/],
    ['/api/v1/profile?minShare=2', 400, /"minShare"/, /from 0 to 1/],
    ['/api/v1/profile?format=xml', 400, /"format"/, /pprof/],
    ['/api/v1/series', 400, /"name" is missing/, /add name=/],
    [`/api/v1/spans?filter=${'x'.repeat(5000)}`, 400, /longer than 4096/, /shorten/],
    ['/api/v1/traces/xyz', 400, /32 hexadecimal/, /span/],
    ['/api/v1/nothing', 404, /no such route/, /openapi/],
    ['/api/v2/spans', 404, /no such route/, /openapi/],
    ['/api/v1/sources/cpu/start', 405, /GET is not for this route/, /POST/],
    ['/api/v1/live', 426, /WebSocket/, /connect/],
  ];
  for (const [path, status, message, remedy] of mistakes) {
    const answer = await get(path);
    assert.equal(answer.status, status, path);
    assert.match(errorOf(answer.text).message, message);
    assert.match(errorOf(answer.text).remedy, remedy);
  }
});

test('mistakes in bodies are told with a remedy, and nothing is started', async () => {
  const before = server.backend.calls.filter(([name]) => name === 'startSource').length;
  const path = '/api/v1/sources/cpu/start';
  const asJson = { 'content-type': 'application/json' };
  const bodies: readonly [string, RegExp][] = [
    ['{', /no JSON/],
    ['[]', /no JSON object/],
    ['null', /no JSON object/],
    ['{"setings":{}}', /unknown field "setings"/],
    ['{"settings":[]}', /"settings" is not an object/],
    ['{"settings":{"a":{}}}', /setting "a" is no number/],
    ['{"settings":{"a":[1]}}', /setting "a" is no number/],
  ];
  for (const [body, message] of bodies) {
    const answer = await send(server.port, path, { method: 'POST', headers: asJson, body });
    assert.equal(answer.status, 400, body);
    assert.match(errorOf(answer.text).message, message);
  }
  const unknown = await post('/api/v1/sources/cpuu/start', {});
  assert.equal(unknown.status, 404);
  assert.match(errorOf(unknown.text).remedy, /cpu, file/);
  assert.equal(server.backend.calls.filter(([name]) => name === 'startSource').length, before);
});

test('profiles come as files with their types and names', async () => {
  for (const [format, type, suffix] of [
    ['pprof', 'application/octet-stream', 'pb.gz'],
    ['folded', 'text/plain; charset=utf-8', 'folded'],
    ['speedscope', 'application/json; charset=utf-8', 'speedscope.json'],
  ] as const) {
    const answer = await get(`/api/v1/profile?from=1&to=2&type=c%22pu%0d%0a&format=${format}`);
    assert.equal(answer.status, 200);
    assert.equal(answer.text, `file ${format}`);
    assert.equal(answer.headers['content-type'], type);
    assert.equal(answer.headers['content-disposition'], `attachment; filename="hotspan-c_pu__-1-2.${suffix}"`);
  }
});

test('failures of the agent get the status that their kind deserves', async () => {
  const named = (name: string, message: string, fields = {}) => Object.assign(new Error(message), { name, ...fields });
  const faults: unknown[] = [];
  const failures: readonly [Error, number, RegExp][] = [
    [new RangeError('setting "hz" is too large'), 400, /too large/],
    [named('BpfError', 'attach exec_enter: EPERM; needs CAP_BPF'), 409, /CAP_BPF/],
    [named('StoreError', 'the disk is full; free some space', { remedy: 'free some space' }), 500, /^the disk is full$/],
  ];
  for (const [error, status, message] of failures) {
    const failing = await startTestServer({ onFault: fault => faults.push(fault) }, { stopSource: () => Promise.reject(error) });
    const answer = await send(failing.port, '/api/v1/sources/cpu/stop', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    });
    await failing.close();
    assert.equal(answer.status, status);
    assert.match(errorOf(answer.text).message, message);
  }
  assert.deepEqual(faults, [failures[2]![0]]);
});

test('an answer that takes too long is given up with 504', async () => {
  const slow = await startTestServer({ limits: { answerTimeoutMs: 50 } }, { status: () => new Promise(() => {}) });
  const answer = await send(slow.port, '/api/v1/status');
  await slow.close();
  assert.equal(answer.status, 504);
  assert.match(errorOf(answer.text).message, /within 0.05 s/);
});

test('a trace that is not there is 404', async () => {
  const empty = await startTestServer({}, { query: { json: () => Promise.resolve(Buffer.from('null')) } });
  const answer = await send(empty.port, `/api/v1/traces/${'0'.repeat(32)}`);
  await empty.close();
  assert.equal(answer.status, 404);
});

test('health, readiness and metrics', async () => {
  assert.equal((await get('/healthz')).text, 'ok\n');
  assert.equal((await get('/readyz')).text, 'ready\n');
  const metrics = await get('/metrics');
  assert.equal(metrics.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  assert.match(metrics.text, /^hotspan_up 1\n/);
  assert.match(metrics.text, /hotspan_http_requests_total\{outcome="ok"\} \d+\n/);
  const broken = await startTestServer({}, { query: { json: () => Promise.reject(new Error('the query worker ended')) } });
  const [ready, health] = [await send(broken.port, '/readyz'), await send(broken.port, '/healthz')];
  await broken.close();
  assert.equal(ready.status, 503);
  assert.match(errorOf(ready.text).message, /not ready: the query worker ended/);
  assert.equal(health.status, 200);
});

test('the UI: its page for its own paths, hashed assets for good, 304 when unchanged', async () => {
  for (const path of ['/', '/flame', '/traces/abc?x=1']) {
    const answer = await get(path);
    assert.match(answer.text, /hotspan page/, path);
    assert.equal(answer.headers['cache-control'], 'no-cache');
  }
  const asset = await get('/assets/main-Ab3_dE9x.js');
  assert.equal(asset.headers['content-type'], 'text/javascript; charset=utf-8');
  assert.match(asset.headers['cache-control'] ?? '', /immutable/);
  const again = await send(server.port, '/', { headers: { 'if-none-match': (await get('/')).headers.etag ?? '' } });
  assert.equal(again.status, 304);
  assert.equal((await get('/assets/gone-00000000.js')).status, 404);
});

test('without a built UI the page says what to do, and the API works', async () => {
  const bare = await startTestServer({ uiFolder: '/nonexistent' });
  const [page, api] = [await send(bare.port, '/'), await send(bare.port, '/api/v1/status')];
  await bare.close();
  assert.equal(page.status, 503);
  assert.match(errorOf(page.text).remedy, /npm run build/);
  assert.equal(api.status, 200);
});

test('every answer carries the headers that keep the browser in line', async () => {
  for (const path of ['/', '/api/v1/status', '/api/v1/nothing', '/metrics']) {
    const { headers } = await get(path);
    assert.match(headers['content-security-policy'] as string, /default-src 'none'.*frame-ancestors 'none'/, path);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['referrer-policy'], 'no-referrer');
    assert.equal(headers['access-control-allow-origin'], undefined);
  }
});

test('stopping ends with answers under way cut after a second at most', async () => {
  const stopping = await startTestServer({}, { status: () => new Promise(() => {}) });
  const hanging = send(stopping.port, '/api/v1/status').catch((error: Error) => error);
  await new Promise(resolve => setTimeout(resolve, 50));
  const startMs = performance.now();
  await stopping.close();
  assert.ok(performance.now() - startMs < 2000);
  assert.ok((await hanging) instanceof Error);
});

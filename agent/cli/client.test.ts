import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { loadConfig } from '../config/index.ts';
import type { SourceState } from '../server/api.ts';
import { ListenError } from '../server/server.ts';
import { startTestServer, type TestServer } from '../server/testing.ts';
import { AgentClient } from './client.ts';
import { CommandError } from './command.ts';

const folder = mkdtempSync(join(tmpdir(), 'hotspan-tls-'));
const at = (name: string) => join(folder, name);

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
}

/** A key and a certificate signed by `issuer`, or by itself. */
function makeCertificate(name: string, issuer: string | undefined): void {
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
  const signer = issuer === undefined ? [] : ['-CA', `${issuer}.pem`, '-CAkey', `${issuer}.key`];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', `${name}.key`];
  openssl('req', '-x509', '-days', '2', ...key, '-out', `${name}.pem`, ...subject, ...signer);
}

let server: TestServer;
before(async () => {
  makeCertificate('server', undefined);
  makeCertificate('authority', undefined);
  makeCertificate('client', 'authority');
  makeCertificate('stranger', undefined);
  // Client certificates alone let it listen anywhere.
  server = await startTestServer({
    listen: { host: '0.0.0.0', port: 0 },
    tls: { cert: at('server.pem'), key: at('server.key'), clientCa: at('authority.pem') },
  });
});
after(() => server.close());

function client(certificate: string | undefined, flags: Record<string, string> = {}): AgentClient {
  const tls = { 'tls.cert': at('server.pem'), 'tls.key': at('server.key') };
  const config = loadConfig({
    flags: { listen: `127.0.0.1:${server.port}`, ...tls, ...flags },
    environment: {},
    file: at('empty.yaml'),
    sources: undefined,
  });
  const own = certificate === undefined ? undefined : at(`${certificate}.pem`);
  return new AgentClient({
    config,
    clientCert: own,
    clientKey: certificate === undefined ? undefined : at(`${certificate}.key`),
  });
}
writeFileSync(at('empty.yaml'), '');

test('a certificate of the right authority lets in, over TLS', async () => {
  assert.match(server.url, /^https:\/\/localhost:/);
  const states = await client('client').getJson<SourceState[]>('/api/v1/sources');
  assert.deepEqual(
    states.map(state => state.name),
    ['cpu', 'file'],
  );
  await client('client').postJson('/api/v1/sources/cpu/stop', {});
  assert.deepEqual(server.backend.calls.at(-1), ['stopSource', 'cpu']);
});

test('no certificate, or one of another authority, gets no answer', async () => {
  const before = server.backend.calls.length;
  for (const name of [undefined, 'stranger']) {
    await assert.rejects(
      client(name).getJson('/api/v1/sources'),
      (error: Error) =>
        error instanceof CommandError &&
        /cannot talk to hotspan at 127\.0\.0\.1:\d+: .*; check --listen, --token and the TLS keys/.test(error.message),
      String(name),
    );
  }
  assert.equal(server.backend.calls.length, before);
});

test('a server that shows another certificate than the configured one is not talked to', async () => {
  await assert.rejects(client('client', { 'tls.cert': at('stranger.pem') }).getJson('/api/v1/sources'), /cannot talk to hotspan/);
});

test('unreadable and unfitting TLS files are told before anything listens', async () => {
  const tls = { cert: at('server.pem'), key: at('server.key'), clientCa: '' };
  const cases = [
    [{ ...tls, cert: at('absent.pem') }, /cannot read the TLS certificate .*absent\.pem \(ENOENT\)/],
    [{ ...tls, key: at('client.key') }, /certificate and key cannot be used: .*; check that they are PEM and belong together/],
    [{ ...tls, cert: at('empty.yaml') }, /certificate and key cannot be used/],
  ] as const;
  for (const [files, expected] of cases) {
    await assert.rejects(
      startTestServer({ tls: files }),
      (error: Error) => error instanceof ListenError && expected.test(error.message),
    );
  }
});

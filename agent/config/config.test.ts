import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Config, ConfigError, type ConfigInput, loadConfig, reloadConfig, type SourceSpec } from './config.ts';
import { diffConfig } from './diff.ts';
import { configMarkdown } from './help.ts';
import { configEntries } from './keys.ts';
import { watchConfigFile } from './watch.ts';

const directory = mkdtempSync(join(tmpdir(), 'hotspan-config-'));
const sources: readonly SourceSpec[] = [
  {
    name: 'cpu',
    isDefault: true,
    settings: [{ key: 'frequencyHz', kind: 'number', unit: 'Hz', help: '', default: 99, min: 1, max: 10_000 }],
  },
  {
    name: 'file',
    isDefault: false,
    settings: [{ key: 'minLatency', kind: 'duration', unit: 'us', help: '', default: 1000, min: 0, max: 60_000_000 }],
  },
];

let files = 0;
function yaml(text: string): string {
  files += 1;
  const path = join(directory, `${files}.yaml`);
  writeFileSync(path, text);
  return path;
}

function load(input: Partial<ConfigInput>): Config {
  return loadConfig({ flags: {}, environment: {}, sources, file: yaml(''), ...input });
}

function problems(input: Partial<ConfigInput>): readonly string[] {
  try {
    load(input);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
  return [];
}

test('defaults hold where nothing else is said', () => {
  const config = load({});
  assert.deepEqual(config.listen, { host: '127.0.0.1', port: 7575 });
  assert.equal(config.retentionBytes, 2 * 2 ** 30);
  assert.equal(config.retentionAgeMs, 7 * 86_400_000);
  assert.equal(config.otlpProtocol, 'http/protobuf');
  assert.deepEqual(config.sources.cpu, { isEnabled: true, settings: { frequencyHz: 99 } });
  assert.equal(config.sources.file?.isEnabled, false);
  assert.deepEqual(config.origins, {});
});

test('flags win over the environment, the environment over the file, HOTSPAN_ over OTEL_', () => {
  const file = yaml('listen: 127.0.0.1:1\nretention:\n  age: 1d\notlp:\n  endpoint: http://file:4318\ndata-dir: /from/file\n');
  const config = load({
    file,
    environment: {
      HOTSPAN_LISTEN: '127.0.0.1:2',
      HOTSPAN_RETENTION_AGE: '2d',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://otel:4318',
      HOTSPAN_OTLP_TIMEOUT: '3s',
      OTEL_EXPORTER_OTLP_TIMEOUT: '2000',
    },
    flags: { listen: '127.0.0.1:3' },
  });
  assert.equal(config.listen.port, 3);
  assert.equal(config.retentionAgeMs, 2 * 86_400_000);
  assert.equal(config.otlpEndpoint, 'http://otel:4318');
  assert.equal(config.otlpTimeoutMs, 3000);
  assert.equal(config.dataDir, '/from/file');
  assert.equal(config.origins['data-dir'], `${file}:6`);
  assert.equal(config.origins.listen, '--listen');
});

test('the standard OpenTelemetry variables are read in their own units and forms', () => {
  const config = load({
    environment: {
      OTEL_EXPORTER_OTLP_TIMEOUT: '2500',
      OTEL_EXPORTER_OTLP_HEADERS: 'api-key=a%20b,other=1',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=prod',
      OTEL_SERVICE_NAME: 'agent',
      OTEL_SDK_DISABLED: 'true',
      OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
    },
  });
  assert.equal(config.otlpTimeoutMs, 2500);
  assert.deepEqual(config.otlpHeaders, { 'api-key': 'a b', other: '1' });
  assert.deepEqual(config.otlpResourceAttributes, { 'deployment.environment.name': 'prod' });
  assert.equal(config.otlpServiceName, 'agent');
  assert.equal(config.otlpDisabled, true);
  assert.equal(config.otlpProtocol, 'grpc');
});

test('a standard variable that cannot be read is ignored with a warning, as the specification asks', () => {
  const config = load({ environment: { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' } });
  assert.equal(config.otlpProtocol, 'http/protobuf');
  assert.match(config.warnings[0] ?? '', /OTEL_EXPORTER_OTLP_PROTOCOL must be one of http\/protobuf, grpc.*ignored/);
});

test('sources are set from every layer, each setting in its own unit', () => {
  const file = yaml('sources:\n  cpu:\n    frequencyHz: 199\n  file:\n    enabled: true\n    minLatency: 2ms\n');
  const config = load({
    file,
    environment: { HOTSPAN_SOURCES_CPU_ENABLED: 'false' },
    flags: { 'sources.file.minLatency': '500us' },
  });
  assert.deepEqual(config.sources.cpu, { isEnabled: false, settings: { frequencyHz: 199 } });
  assert.deepEqual(config.sources.file, { isEnabled: true, settings: { minLatency: 500 } });
  assert.equal(load({ environment: { HOTSPAN_SOURCES_CPU_FREQUENCY_HZ: '49' } }).sources.cpu?.settings.frequencyHz, 49);
});

test('problems of a file name file, line, cause and remedy, all of them at once', () => {
  const file = yaml(
    '# comment\nlisen: 127.0.0.1:7575\nretention:\n  age: 10\n  bytes: 1KiB\nsources:\n  cpu:\n    frequencyHz: 1e9\n  cpuu: {enabled: true}\n',
  );
  assert.deepEqual(problems({ file }), [
    `${file}:2: unknown key "lisen"; did you mean "listen"?`,
    `${file}:4: retention.age has no unit: "10"; write for example 500us, 10s, 15m or 7d`,
    `${file}:5: retention.bytes must be at least 16 MiB, not 1 KiB`,
    `${file}:8: sources.cpu.frequencyHz must be at most 10000 Hz, not 1000000000 Hz`,
    `${file}:9: unknown key "sources.cpuu.enabled"; did you mean "sources.cpu.enabled"?`,
  ]);
});

test('broken YAML, repeated keys and a file that is no configuration are told with their line', () => {
  const broken = yaml('listen: "127.0.0.1\nx: 1\n');
  assert.match(problems({ file: broken })[0] ?? '', new RegExp(`^${broken}:\\d+: .+; correct the YAML there$`));
  const twice = yaml('listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n');
  assert.match(problems({ file: twice })[0] ?? '', new RegExp(`^${twice}:2: `));
  assert.match(problems({ file: yaml('- a\n') })[0] ?? '', /:1: must hold "key: value" lines$/);
  assert.match(
    problems({ file: yaml('retention: 5\n') })[0] ?? '',
    /:1: unknown key "retention"; known there|:1: unknown key "retention"/,
  );
  assert.match(problems({ file: yaml('listen:\n') })[0] ?? '', /:1: listen has no value/);
  assert.match(problems({ file: join(directory, 'absent.yaml') })[0] ?? '', /absent\.yaml: cannot read .*ENOENT.*no such file/);
  assert.match(problems({ file: directory })[0] ?? '', /EISDIR.*directory/);
});

test('absurd values are refused with the bound', () => {
  const refused: readonly [string, string, RegExp][] = [
    ['listen', '127.0.0.1', /--listen must be HOST:PORT/],
    ['listen', '127.0.0.1:99999', /port above 65535/],
    ['listen', ':7575', /must be HOST:PORT/],
    ['retention.age', '99999d', /at most 3650 d/],
    ['retention.bytes', '2', /has no unit/],
    ['buffer-pages', '48', /power of two, not 48; write 32 or 64/],
    ['buffer-pages', '1.5', /whole number/],
    ['buffer-pages', '-1', /at least 0/],
    ['otlp.endpoint', 'localhost:4318', /http:\/\/ or https:\/\//],
    ['otlp.protocol', 'thrift', /one of http\/protobuf, grpc/],
    ['otlp.disabled', 'maybe', /true or false/],
    ['log.level', 'loud', /one of debug/],
  ];
  for (const [name, value, expected] of refused)
    assert.match(problems({ flags: { [name]: value } }).join('\n'), expected, `${name}=${value}`);
});

test('a short token is refused without being repeated', () => {
  const [problem = ''] = problems({ flags: { token: 'hunter2' } });
  assert.match(problem, /^--token is too short: .*openssl rand/);
  assert.doesNotMatch(problem, /hunter2/);
});

test('the token is read from a file, and a missing one is told', () => {
  const path = join(directory, 'token');
  writeFileSync(path, '0123456789abcdef0123\n');
  assert.equal(load({ flags: { 'token-file': path } }).token, '0123456789abcdef0123');
  assert.match(problems({ flags: { 'token-file': `${path}x` } })[0] ?? '', /cannot read the token file .*ENOENT/);
});

test('keys that need each other are checked together', () => {
  assert.match(problems({ flags: { 'tls.cert': '/c.pem' } })[0] ?? '', /--tls-cert: tls.cert is set without tls.key/);
  assert.match(problems({ flags: { 'tls.client-ca': '/ca.pem' } })[0] ?? '', /tls.client-ca needs tls.cert and tls.key/);
});

test('a token without encryption beyond loopback is a warning', () => {
  const token = '0123456789abcdef';
  assert.match(load({ flags: { listen: '0.0.0.0:7575', token } }).warnings[0] ?? '', /token travels unencrypted to 0\.0\.0\.0/);
  assert.deepEqual(load({ flags: { listen: '127.0.0.1:7575', token } }).warnings, []);
  assert.deepEqual(load({ flags: { listen: '0.0.0.0:7575', token, 'tls.cert': '/c', 'tls.key': '/k' } }).warnings, []);
});

test('unknown variables are a warning with a suggestion', () => {
  const config = load({ environment: { HOTSPAN_LISTNE: 'x', HOTSPAN_SERVICE_HOST: '10.0.0.1' } });
  assert.deepEqual(config.warnings, [
    'unknown environment variable HOTSPAN_LISTNE is ignored; did you mean "HOTSPAN_LISTEN"?',
    'unknown environment variable HOTSPAN_SERVICE_HOST is ignored',
  ]);
});

test('the configuration is frozen', () => {
  const config = load({});
  assert.throws(() => Object.assign(config.listen, { port: 1 }), TypeError);
  assert.throws(() => Object.assign(config.sources.cpu!.settings, { frequencyHz: 1 }), TypeError);
});

test('a reload tells what changed and what needs a restart', () => {
  const before = load({});
  const after = load({
    flags: { listen: '127.0.0.1:1', 'retention.age': '1d', 'sources.cpu.frequencyHz': '49', 'sources.file.enabled': 'true' },
  });
  assert.deepEqual(diffConfig(before, after), [
    { name: 'listen', needsRestart: true },
    { name: 'retention.age', needsRestart: false },
    { name: 'sources.cpu.frequencyHz', needsRestart: false },
    { name: 'sources.file.enabled', needsRestart: false },
  ]);
  assert.deepEqual(diffConfig(before, load({})), []);
});

test('a reload reads the file again under the same flags, and a broken file changes nothing', () => {
  const file = yaml('retention: {age: 1d}\nlisten: 127.0.0.1:1\n');
  const before = load({ file, flags: { listen: '127.0.0.1:2' } });
  writeFileSync(file, 'retention: {age: 2d}\nlisten: 127.0.0.1:3\n');
  const { config, changes } = reloadConfig(before);
  assert.deepEqual(changes, [{ name: 'retention.age', needsRestart: false }]);
  assert.equal(config.listen.port, 2);
  writeFileSync(file, 'retention: {age: 2}\n');
  assert.throws(() => reloadConfig(config), ConfigError);
  assert.equal(config.retentionAgeMs, 2 * 86_400_000);
});

test('a change of the file is noticed, also when an editor puts a new file in its place', async () => {
  const folder = mkdtempSync(join(directory, 'watched-'));
  const file = join(folder, 'hotspan.yaml');
  writeFileSync(file, 'retention: {age: 1d}\n');
  let changes = 0;
  const watch = watchConfigFile(load({ file }), () => {
    changes += 1;
  });
  const settled = () => new Promise(resolve => setTimeout(resolve, 400));
  writeFileSync(join(folder, 'unrelated'), '');
  await settled();
  assert.equal(changes, 0);
  writeFileSync(file, 'retention: {age: 2d}\n');
  await settled();
  assert.equal(changes, 1);
  writeFileSync(`${file}.new`, 'retention: {age: 3d}\n');
  renameSync(`${file}.new`, file);
  await settled();
  assert.equal(changes, 2);
  watch.close();
});

test('the Markdown table has a row for every key', () => {
  assert.equal(configMarkdown().split('\n').length, configEntries.length + 2);
});

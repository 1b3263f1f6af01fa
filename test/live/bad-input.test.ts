/** What a host or a person gets wrong before the agent runs: one sentence with cause and remedy, the right exit code, nothing started. */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type SourceState, source, startAgent } from './agent.ts';
import { afterMounts, hotspan, logged, stopClean } from './command.ts';

const folder = mkdtempSync(join(tmpdir(), 'hotspan-bad-input-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A path below the test's folder that nothing was written to yet. */
let nextDir = 1;
function freshDir(): string {
  const path = join(folder, `data-${nextDir}`);
  nextDir += 1;
  return path;
}

const run = (dataDir: string, ...args: string[]) => ['run', '--listen', '127.0.0.1:0', '--data-dir', dataDir, ...args];

test('without root it asks for root and starts nothing', async () => {
  const dataDir = freshDir();
  const wrapper = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];
  const commands = [run(dataDir), ['record', '-o', '-'], ['trace', 'kernel:vfs_read']];
  for (const args of commands) {
    const { code, out, err } = await hotspan(args, { wrapper });
    assert.equal(
      err,
      'hotspan: hotspan needs root: observing a host by eBPF takes CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; run it with sudo\n',
    );
    assert.deepEqual([code, out], [1, '']);
  }
  assert.ok(!existsSync(dataDir), 'no data directory was made');
});

test('root without its capabilities is told which are missing and how a container gets them', async () => {
  const dataDir = freshDir();
  const without = (caps: string) => ['setpriv', `--bounding-set=${caps}`, `--inh-caps=${caps}`];
  const observe = await hotspan(run(dataDir), { wrapper: without('-sys_admin,-bpf,-perfmon') });
  assert.equal(
    observe.err,
    'hotspan: hotspan needs CAP_BPF and CAP_PERFMON, which this root user lacks, as in a container; start the container with --cap-add BPF --cap-add PERFMON, or --privileged\n',
  );
  assert.equal(observe.code, 1);
  const read = await hotspan(run(dataDir), { wrapper: without('-sys_ptrace') });
  assert.match(
    read.err,
    /^hotspan: hotspan needs CAP_SYS_PTRACE, .*; start the container with --cap-add SYS_PTRACE, or --privileged\n$/,
  );
  assert.equal(read.code, 1);
  assert.ok(!existsSync(dataDir), 'no data directory was made');
});

const noBtf =
  /^(source \w+ is off: |hotspan: )load \w+\.bpf\.o: the kernel has no BTF, by which programs find its fields \(.+\); use a kernel built with CONFIG_DEBUG_INFO_BTF\n?$/;

test('without BTF the doctor and every source say so, and the agent stays up', async () => {
  const wrapper = afterMounts('mount -t tmpfs none /sys/kernel/btf');
  const doctor = await hotspan(['doctor', '--data-dir', folder], { wrapper });
  assert.match(
    doctor.out,
    /\nFAIL {2}BTF +the kernel has no BTF, by which programs find its fields: nothing can be watched\n +-> use a kernel built with CONFIG_DEBUG_INFO_BTF/,
  );
  assert.equal(doctor.code, 1);

  const trace = await hotspan(['trace', 'kernel:vfs_read'], { wrapper });
  assert.match(trace.err, noBtf);
  assert.equal(trace.code, 1);

  const agent = await startAgent({ wrapper });
  try {
    for (const name of ['cpu', 'exec', 'file']) {
      assert.match(await logged(agent, new RegExp(`^source ${name} is off`)), noBtf);
      const state = await source(agent, name);
      assert.equal(state.state, 'failed');
      assert.match(state.message, /^load \w+\.bpf\.o: the kernel has no BTF/);
    }
  } finally {
    assert.equal(await stopClean(agent), 0);
  }
});

test('an address that cannot or must not be listened on ends it with the reason', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise(resolve => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      `127.0.0.1:${port}`,
      /^hotspan: cannot listen on 127\.0\.0\.1:\d+ \(EADDRINUSE\): the port is taken; stop what uses it or choose another with --listen\n$/,
    ],
    [
      '0.0.0.0:0',
      /^hotspan: refusing to listen on 0\.0\.0\.0:0, where anybody on the network could look into this host; set a token \(HOTSPAN_TOKEN\) or tls\.client-ca, or listen on 127\.0\.0\.1\n$/,
    ],
    ['192.0.2.1:0', /^hotspan: refusing to listen on 192\.0\.2\.1:0, .*set a token/],
    [
      'no-such-host.invalid:80',
      /^hotspan: cannot listen on no-such-host\.invalid: the name is unknown \(E\w+\); give an address of this host\n$/,
    ],
  ];
  try {
    for (const [listen, expected] of cases) {
      const { code, out, err } = await hotspan(['run', '--data-dir', freshDir(), '--listen', listen]);
      assert.match(err, expected);
      assert.deepEqual([code, out], [1, '']);
    }
  } finally {
    server.close();
  }
});

test('a data directory that cannot be written is named with the reason', async () => {
  const file = join(folder, 'file');
  writeFileSync(file, 'kept');
  const occupied = await hotspan(run(file));
  assert.equal(
    occupied.err,
    `hotspan: cannot use the data directory ${file} (EEXIST): it is a file; choose another with --data-dir\n`,
  );
  assert.equal(occupied.code, 1);

  // Where a file system makes no folders, Node's own recursive mkdir would try for ever.
  const nowhere = await hotspan(run('/proc/hotspan-none'));
  assert.equal(
    nowhere.err,
    'hotspan: cannot use the data directory /proc/hotspan-none (ENOENT): no folder can be made there; choose another with --data-dir\n',
  );
  assert.equal(nowhere.code, 1);

  const readOnly = freshDir();
  mkdirSync(readOnly);
  const wrapper = afterMounts(`mount --bind '${readOnly}' '${readOnly}' && mount -o remount,ro,bind '${readOnly}'`);
  const { code, err } = await hotspan(run(readOnly), { wrapper });
  assert.equal(
    err,
    `hotspan: cannot use the data directory ${readOnly} (EROFS): its file system is read-only; choose another with --data-dir\n`,
  );
  assert.equal(code, 1);
  assert.deepEqual(readdirSync(readOnly), []);
  const doctor = await hotspan(['doctor', '--data-dir', readOnly], { wrapper });
  assert.match(doctor.out, /\nFAIL {2}data directory +.* cannot be written by this user\n/);
});

test('unknown flags and keys and absurd values end it with 2, each with its place and the nearest right word', async () => {
  const dataDir = freshDir();
  const flags: readonly (readonly [string[], RegExp])[] = [
    [['--lsiten', '127.0.0.1:1'], /^hotspan: unknown flag --lsiten; did you mean --listen\?\n$/],
    [['--retention-age', '9999999d'], /^hotspan: --retention-age must be at most \S+ \w+, not .*\n$/],
    [['--buffer-pages', '3'], /^hotspan: --buffer-pages must be a power of two, not 3; write 2 or 4\n$/],
    [['--set', 'sources.cpu.hz=1e9'], /^hotspan: --set sources\.cpu\.hz must be a number, not "1e9"\n$/],
    [['--set', 'sources.net.enabled=true'], /^hotspan: --set sources\.net\.enabled: unknown key "sources\.net\.enabled"/],
  ];
  for (const [args, expected] of flags) {
    const { code, err } = await hotspan(run(dataDir, ...args));
    assert.match(err, expected);
    assert.equal(code, 2);
  }
  const path = join(folder, 'bad.yaml');
  writeFileSync(
    path,
    'listne: 127.0.0.1:7575\nretention:\n  age: 0s\n  bytes: -5\nsources:\n  cpu:\n    hz: -1\n    herz: 99\n  gpu:\n    enabled: true\nbuffer-pages: 1000000000\n',
  );
  const { code, err } = await hotspan(run(dataDir, '--config', path));
  assert.deepEqual(
    err.split('\n').map(line => line.replaceAll(path, 'FILE')),
    [
      'hotspan: FILE:1: unknown key "listne"; did you mean "listen"?',
      'hotspan: FILE:3: retention.age must be at least 10 m, not 0 ns',
      'hotspan: FILE:4: retention.bytes must be a size, not "-5"; write for example 512MiB or 2GiB',
      'hotspan: FILE:7: sources.cpu.hz must be at least 1 Hz, not -1 Hz',
      'hotspan: FILE:8: unknown key "sources.cpu.herz"; did you mean "sources.cpu.hz"?',
      'hotspan: FILE:10: unknown key "sources.gpu.enabled"; did you mean "sources.cpu.enabled"?',
      'hotspan: FILE:11: buffer-pages must be at most 8192 pages per CPU, not 1000000000 pages per CPU',
      '',
    ],
  );
  assert.equal(code, 2);
  assert.ok(!existsSync(dataDir), 'nothing was begun');
});

test('a running agent refuses unknown sources and settings over HTTP and on the command line, and keeps what it had', async () => {
  const agent = await startAgent();
  const post = async (path: string, body: unknown) => {
    const response = await fetch(`${agent.url}/api/v1${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return `${response.status} ${await response.text()}`;
  };
  try {
    const before = await source(agent, 'cpu');
    for (const action of ['start', 'settings']) {
      assert.match(
        await post(`/sources/cpu/${action}`, { settings: { herz: 5 } }),
        /^400 .*unknown setting \\"herz\\"; known are hz/,
      );
      assert.match(
        await post(`/sources/cpu/${action}`, { settings: { hz: 1e9 } }),
        /^400 .*setting \\"hz\\" is 1000000000; it takes 1 to \d+ Hz/,
      );
      assert.match(await post(`/sources/gpu/${action}`, {}), /^404 .*gpu/);
    }
    await agent.post('/api/v1/sources/file/stop');
    assert.match(await post('/sources/file/settings', { settings: { mni: 5 } }), /^400 .*unknown setting/);
    assert.deepEqual(await source(agent, 'cpu').then(({ state, settings, message }) => ({ state, settings, message })), {
      state: 'running',
      settings: before.settings,
      message: '',
    });
    assert.equal((await source(agent, 'file')).state, 'stopped', 'a refused change is no failure of the source');

    const at = ['--listen', agent.url.replace('http://', '')];
    const cases: readonly (readonly [string[], number, RegExp])[] = [
      [['start', 'gpu'], 2, /^hotspan: there is no source gpu; did you mean "cpu"\?; the agent has cpu, /],
      [['start', 'cpu', 'herz=5'], 2, /^hotspan: cpu has no setting herz; did you mean "hz"\?; it has hz\n$/],
      [['start', 'cpu', 'hz=1000000'], 2, /^hotspan: hz must be at most \d+ Hz, not 1000000 Hz\n$/],
      [
        ['start', 'func', 'targets=kernel:no_such_function'],
        1,
        /^hotspan: kernel:no_such_function: this kernel has no function of that name/,
      ],
    ];
    for (const [args, expectedCode, expected] of cases) {
      const { code, err } = await hotspan(['sources', ...args, ...at]);
      assert.match(err, expected);
      assert.equal(code, expectedCode);
    }
    const states = await agent.get<SourceState[]>('/api/v1/sources');
    assert.equal(states.find(state => state.name === 'cpu')?.state, 'running');
  } finally {
    assert.equal(await stopClean(agent), 0);
  }
});

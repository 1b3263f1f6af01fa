/** Programs, files and functions that are not what they seem, or that go away while they are observed. */

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { ProfileResult } from '../../agent/server/api.ts';
import { buildZoo, startAnimal } from '../zoo/zoo.ts';
import { bpfObjects, eventually, source, startAgent } from './agent.ts';
import { hotspan, residentBytes, stopClean } from './command.ts';

const folder = mkdtempSync(join(tmpdir(), 'hotspan-bad-target-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** /bin/ls up to a byte of its middle: its section headers, at the end, are gone. */
function truncatedLs(): string {
  const path = join(folder, 'ls-cut');
  writeFileSync(path, readFileSync('/bin/ls').subarray(0, 20_000));
  return path;
}

/** A program with symbols whose section headers all claim to be as large as can be. Offsets by the gABI's Elf64_Ehdr and Elf64_Shdr. */
async function lyingProgram(): Promise<string> {
  const path = join(folder, 'liar');
  const bytes = readFileSync(await buildZoo('shares'));
  const table = Number(bytes.readBigUInt64LE(0x28));
  const [entryBytes, count] = [bytes.readUInt16LE(0x3a), bytes.readUInt16LE(0x3c)];
  for (let i = 1; i < count; i += 1) {
    const at = table + i * entryBytes;
    bytes.writeBigUInt64LE(0xffff_ffff_ffff_fff0n, at + 0x18);
    bytes.writeBigUInt64LE(0x7fff_ffff_ffff_ffffn, at + 0x20);
    bytes.writeBigUInt64LE(1n, at + 0x38);
  }
  writeFileSync(path, bytes);
  return path;
}

test('targets that are not there, cannot be read or lie about themselves are refused with the reason', async () => {
  const before = new Set(bpfObjects().programs);
  const cut = truncatedLs();
  const liar = await lyingProgram();
  const headerless = join(folder, 'headerless');
  // The table of section headers begins far beyond the file's end.
  const bytes = readFileSync('/bin/ls');
  bytes.writeBigUInt64LE(0xffff_ffff_0000n, 0x28);
  writeFileSync(headerless, bytes);
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  const damaged = 'EBADMSG; its headers tell of more than it holds: it was cut short, or is damaged';
  const cases: readonly (readonly [string, number, string])[] = [
    [
      'kernel:no_such_function',
      1,
      'kernel:no_such_function: this kernel has no function of that name, or the compiler has inlined it everywhere',
    ],
    ['kernel:no_such_*', 1, 'kernel:no_such_*: no kernel function has such a name'],
    ['kernel:vfs_[rw', 2, 'target "kernel:vfs_[rw": a "[" is not closed; write [abc] for any one of these characters'],
    [
      'uprobe:/bin/ls:no_such',
      1,
      'uprobe:/bin/ls:no_such: /bin/ls has no function symbol of that name; it may be inlined, or the file stripped',
    ],
    ['uprobe:/no/such:main', 1, 'uprobe:/no/such:main: find symbols /no/such: ENOENT; check the path of the binary'],
    [`uprobe:${folder}/pipe:main`, 1, `uprobe:${folder}/pipe:main: find symbols ${folder}/pipe: ENOEXEC; it is not an ELF file`],
    ['uprobe:/etc/hostname:*', 1, 'uprobe:/etc/hostname:*: find symbols /etc/hostname: ENOEXEC; it is not an ELF file'],
    [`uprobe:${cut}:*`, 1, `uprobe:${cut}:*: find symbols ${cut}: ${damaged}`],
    [`uprobe:${headerless}:*`, 1, `uprobe:${headerless}:*: find symbols ${headerless}: ${damaged}`],
    [
      `uprobe:${liar}:burn_*`,
      1,
      `uprobe:${liar}:burn_*: ${liar} has no function symbol of that name; it may be inlined, or the file stripped`,
    ],
  ];
  for (const [target, expectedCode, expected] of cases) {
    const { code, out, err } = await hotspan(['trace', target]);
    assert.deepEqual({ code, out, err }, { code: expectedCode, out: '', err: `hotspan: ${expected}\n` });
  }
  await eventually('no program of these attempts is left', 10_000, async () => {
    const left = bpfObjects().programs.filter(entry => / func_/.test(entry) && !before.has(entry));
    return left.length === 0 ? true : undefined;
  });
});

/** Self time by function, of folded stacks. */
function selfOf(folded: string): Map<string, number> {
  const self = new Map<string, number>();
  for (const line of folded.split('\n').filter(text => text !== '')) {
    const space = line.lastIndexOf(' ');
    const frame = line.slice(line.lastIndexOf(';', space) + 1, space);
    self.set(frame, (self.get(frame) ?? 0) + Number(line.slice(space + 1)));
  }
  return self;
}

/** The four functions of program "shares" are there, and have nearly all of its time. */
function assertShares(folded: string): void {
  const self = selfOf(folded);
  const total = [...self.values()].reduce((sum, value) => sum + value, 0);
  const burnt = [...self].filter(([name]) => name.startsWith('burn_')).reduce((sum, [, value]) => sum + value, 0);
  assert.ok((self.get('burn_sixty') ?? 0) > 0, folded);
  assert.ok(burnt / total > 0.9, `only ${burnt} of ${total} ns have their function's name: ${folded}`);
}

const recordPid = (pid: number, duration: string) => [
  'record',
  '--pid',
  String(pid),
  '--duration',
  duration,
  '--hz',
  '499',
  '-o',
  '-',
];

test('a program whose file was deleted, or replaced by another, keeps its names', async () => {
  const path = join(folder, 'running');
  for (const replacement of [undefined, '/bin/ls']) {
    copyFileSync(await buildZoo('shares'), path);
    const animal = await startAnimal(path, ['60']);
    try {
      unlinkSync(path);
      if (replacement !== undefined) copyFileSync(replacement, path);
      const { code, out, err } = await hotspan(recordPid(animal.pid, '2s'));
      assert.equal(code, 0, err);
      assert.match(err, /^\d+ samples, .* of CPU time, 0 lost\nwrote standard output\n$/);
      assertShares(out);
    } finally {
      animal.child.kill();
    }
  }
});

test('a program whose section headers lie is recorded all the same', async () => {
  const path = await lyingProgram();
  execFileSync('chmod', ['755', path]);
  const animal = await startAnimal(path, ['60']);
  try {
    const { code, out, err } = await hotspan(recordPid(animal.pid, '1s'));
    assert.equal(code, 0, err);
    // No name can be had, so the place in the file stands there.
    assert.match(out, /;liar\+0x[0-9a-f]+ \d+\n/);
  } finally {
    animal.child.kill();
  }
});

test('a process that ends in the middle of a recording is in it, named', async () => {
  const animal = await startAnimal(await buildZoo('shares'), ['60']);
  const recording = hotspan(recordPid(animal.pid, '4s'), {
    // It has begun when its programs are there; some hundred samples later the process is gone.
    onStart: () => setTimeout(() => animal.child.kill('SIGKILL'), 2500),
  });
  const { code, out, err } = await recording;
  assert.equal(code, 0, err);
  assertShares(out);
  const gone = await hotspan(recordPid(animal.pid, '1s'));
  assert.equal(gone.err, `hotspan: there is no process ${animal.pid}; find it with ps, or record it by name with --comm\n`);
  assert.deepEqual([gone.code, gone.out], [1, '']);
});

test('200 processes that live for 5 ms during a recording do no harm', async () => {
  const spawner = await buildZoo('spawner');
  let ended: Promise<number | null> = Promise.resolve(null);
  const { code, out, err } = await hotspan(['record', '--duration', '5s', '--hz', '999', '-o', '-'], {
    onStart: () => {
      const child = spawn(spawner, ['200', '5'], { stdio: 'ignore' });
      ended = new Promise(resolve => child.once('exit', resolve));
    },
  });
  assert.equal(await ended, 0);
  assert.equal(code, 0, err);
  assert.match(err, /^\d+ samples, .* of CPU time, 0 lost\n/);
  assert.match(out, /^\S.* \d+\n/);
});

/** What may stand in the place of a perf-map. Each is put there once the process runs, and taken away with it. */
const hostileMaps: Readonly<Record<string, (path: string) => unknown>> = {
  fifo: path => execFileSync('mkfifo', [path]),
  directory: path => mkdirSync(path),
  garbage: path =>
    writeFileSync(
      path,
      Buffer.alloc(
        1 << 20,
        Uint8Array.from({ length: 997 }, (_, i) => (i * 31) & 255),
      ),
    ),
  huge: path => writeHugeMap(path),
};

/** 200 MB of lines as a JIT compiler writes them, every one for another function. */
async function writeHugeMap(path: string): Promise<void> {
  const file = await open(path, 'w');
  for (let written = 0, n = 0; written < 200e6; ) {
    let text = '';
    for (let i = 0; i < 20_000; i += 1, n += 1) {
      text += `${(0x7f0000000000 + n * 64).toString(16)} 40 JS:*function_${n} /srv/app.js:${n}:1\n`;
    }
    written += (await file.write(text)).bytesWritten;
  }
  await file.close();
}

const jitLoop = `
  function spin(end) { let value = 1; while (performance.now() < end) for (let i = 0; i < 1e5; i += 1) value = Math.imul(value, 1664525) + i | 0; return value; }
  console.log('ready');
  spin(performance.now() + 60000);
`;

async function startJit(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['-e', jitLoop], { stdio: ['ignore', 'pipe', 'inherit'], cwd: folder });
  await new Promise(resolve => child.stdout?.once('data', resolve));
  return child;
}

test('hostile perf-maps cost the agent neither its life nor its memory', async context => {
  const agent = await startAgent({ args: ['--set', 'sources.file.enabled=false'] });
  const samplesOf = async (pid: number, fromMs: number) =>
    (
      await agent.get<ProfileResult>(
        `/api/v1/profile?type=cpu&from=${fromMs}&to=${Date.now() + 1000}&filter=${encodeURIComponent(`pid=${pid}`)}`,
      )
    ).samples;
  try {
    for (const [kind, put] of Object.entries(hostileMaps)) {
      const child = await startJit();
      const pid = child.pid as number;
      const path = `/tmp/perf-${pid}.map`;
      const rssBefore = residentBytes(agent.pid);
      try {
        await put(path);
        const fromMs = Date.now();
        await eventually(`samples of a process with a ${kind} for a perf-map`, 20_000, async () =>
          (await samplesOf(pid, fromMs)) >= 20 ? true : undefined,
        );
      } finally {
        child.kill('SIGKILL');
        rmSync(path, { recursive: true, force: true });
      }
      const grown = residentBytes(agent.pid) - rssBefore;
      context.diagnostic(`${kind}: the agent grew by ${grown >> 20} MiB`);
      assert.ok(grown < 80 << 20, `${kind}: the agent has grown by ${grown >> 20} MiB`);
      assert.equal((await source(agent, 'cpu')).state, 'running');
    }
  } finally {
    assert.equal(await stopClean(agent), 0);
  }
});

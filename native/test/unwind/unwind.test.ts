/** Unwind tables against binutils: every row of real files and of programs built in all the ways that call frame information comes. */

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build, buildDir } from '../symbols/programs.ts';

const projectDir = fileURLToPath(new URL('../../../', import.meta.url));
const programDir = join(projectDir, '.build/unwind-test');

before(() => {
  execFileSync('cmake', ['-S', join(projectDir, 'native/test/unwind'), '-B', programDir], { stdio: 'ignore' });
  execFileSync('cmake', ['--build', programDir, '--parallel', '2'], { stdio: ['ignore', 'ignore', 'inherit'] });
});

interface Counts {
  readonly functions: number;
  readonly rows: number;
  readonly unsupported: number;
  readonly source: string;
}

/** Compares the table of `file` with what readelf prints of `dumped`, and asserts that nothing differs. */
async function compare(file: string, dumped = file): Promise<Counts> {
  const readelf = spawn('readelf', ['--debug-dump=frames-interp', dumped], { stdio: ['ignore', 'pipe', 'ignore'] });
  const check = spawn(join(programDir, 'readelf-check'), [file], { stdio: [readelf.stdout, 'pipe', 'pipe'] });
  // The pipe is the child's now; read here as well, it would lose lines.
  readelf.stdout.destroy();
  let out = '';
  let complaints = '';
  check.stdout?.setEncoding('utf8').on('data', text => (out += text));
  check.stderr?.setEncoding('utf8').on('data', text => (complaints += text));
  const [code] = await once(check, 'close');
  assert.equal(code, 0, `${file}: ${out}${complaints}`);
  const value = (name: string) => new RegExp(`\\b${name} (\\S+)`).exec(out)?.[1] ?? '';
  console.log(`${file}: ${out.trim()}`);
  return {
    functions: Number(value('functions')),
    rows: Number(value('rows')),
    unsupported: Number(value('unsupported')),
    source: value('source'),
  };
}

/** A copy of the file that says it has no section headers: e_shoff, e_shnum and e_shstrndx of the ELF header are 0. */
function withoutSections(file: string): string {
  const copy = `${file}.bare`;
  copyFileSync(file, copy);
  const fd = openSync(copy, 'r+');
  writeSync(fd, Buffer.alloc(8), 0, 8, 40);
  writeSync(fd, Buffer.alloc(4), 0, 4, 60);
  return copy;
}

/** Libraries of this process, by the start of their names. */
function loaded(name: string): string {
  const path = readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .map(line => line.slice(line.indexOf('/')))
    .find(path => path.includes(`/${name}`));
  assert.ok(path, `${name} is loaded here`);
  return path;
}

test('tables of real files agree with readelf in every row', { timeout: 300_000 }, async () => {
  const wanted: readonly (readonly [string, number])[] = [
    [loaded('libc.so'), 20_000],
    [loaded('libstdc++.so'), 25_000],
    [loaded('ld-linux'), 1_500],
    [process.execPath, 400_000],
  ];
  for (const [file, minRows] of wanted) {
    const counts = await compare(file);
    assert.ok(counts.rows > minRows, `${file} has ${counts.rows} rows only`);
    assert.ok(counts.unsupported <= 10, `${counts.unsupported} rows of ${file} have no form in the tables`);
    assert.equal(counts.source, 'eh_frame');
  }
});

test('tables of programs built in many ways agree with readelf', { timeout: 120_000 }, async () => {
  const cc = (name: string, ...flags: string[]) => build(name, 'gcc', [...flags, '-o', '{out}', '{src}functions.c', '-ldl']);
  const onlyDebug = ['-g', '-fno-asynchronous-unwind-tables', '-fno-unwind-tables'];
  const programs: readonly (readonly [string, string])[] = [
    [cc('plain', '-O2'), 'eh_frame'],
    [cc('slow', '-O0', '-fno-omit-frame-pointer', '-no-pie'), 'eh_frame'],
    [cc('plt', '-O2', '-fcf-protection=full', '-Wl,-z,lazy'), 'eh_frame'],
    [cc('static', '-O2', '-static'), 'eh_frame'],
    [build('templates', 'g++', ['-O2', '-o', '{out}', '{src}templates.cc']), 'eh_frame'],
    [build('clang', 'clang', ['-O3', '-o', '{out}', '{src}functions.c', '-ldl']), 'eh_frame'],
    [cc('debug', '-O2', '-gz=none', ...onlyDebug), 'eh_frame+debug_frame'],
    [cc('zlib', '-O2', '-gz=zlib', ...onlyDebug), 'eh_frame+debug_frame'],
    [cc('gnu-zlib', '-O2', '-gz=zlib-gnu', ...onlyDebug), 'eh_frame+debug_frame'],
  ];
  for (const [file, source] of programs) assert.equal((await compare(file)).source, source, file);
  const first = programs[0]?.[0] ?? '';
  for (const file of [first, build('templates2', 'g++', ['-O0', '-o', '{out}', '{src}templates.cc'])])
    assert.equal((await compare(withoutSections(file), file)).source, 'eh_frame');
  const libc = join(buildDir, 'libc.so');
  copyFileSync(loaded('libc.so'), libc);
  assert.ok((await compare(withoutSections(libc), libc)).rows > 20_000);
});

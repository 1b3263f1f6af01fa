/**
 * npm run gen: from the event structs in bpf/<source>/<source>.h to types and decoders in agent/events/. The compiler lays the
 * structs out and BTF carries the result here, so a layout is written down once. With --check, or under CI, nothing is written
 * and a committed file that differs is an error.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { bpfFlags, bpfSources, clang, projectDir, sourceHeader } from './lib/bpf.ts';
import { Btf } from './lib/btf.ts';
import { indexCode, type SourceTypes, sharedCode, sourceCode } from './lib/event-code.ts';
import { type EnumLayout, enumLayoutOf, layoutOf } from './lib/event-layout.ts';

const eventsDir = join(projectDir, 'agent', 'events');

/** What a header declares, read from the compiler's own account of it. */
export async function readHeader(source: string, headerPath: string): Promise<{ types: SourceTypes; dropReasons: EnumLayout }> {
  const declared = declarations(readFileSync(headerPath, 'utf8'));
  const btf = await compileTypes(headerPath, [...declared, { keyword: 'enum', name: 'drop_reason' }]);
  const structs = declared.filter(({ keyword }) => keyword === 'struct').map(({ name }) => layoutOf(btf, name));
  const enums = declared.filter(({ keyword }) => keyword === 'enum').map(({ name }) => enumLayoutOf(btf, name));
  const types: SourceTypes = {
    source,
    kinds: enums.find(({ enumName }) => enumName === `${source}_kind`),
    events: structs.filter(({ structName }) => structName.endsWith('_event')),
    values: structs.filter(({ structName }) => !structName.endsWith('_event')),
    enums,
  };
  return { types, dropReasons: enumLayoutOf(btf, 'drop_reason') };
}

interface Declaration {
  readonly keyword: 'struct' | 'enum';
  readonly name: string;
}

/** Named structs and enums that start a line. Only their names are taken from the text. */
function declarations(header: string): Declaration[] {
  return [...header.matchAll(/^(struct|enum)\s+(\w+)\s*\{/gm)].map(match => ({
    keyword: match[1] as Declaration['keyword'],
    name: match[2]!,
  }));
}

/** BTF of the declared types. A pointer to each keeps the compiler from dropping those that no program uses. */
async function compileTypes(headerPath: string, declared: readonly Declaration[]): Promise<Btf> {
  const folder = mkdtempSync(join(tmpdir(), 'hotspan-gen-'));
  try {
    const keepers = declared.map(({ keyword, name }, i) => `${keyword} ${name} *keep_${i};\n`);
    writeFileSync(join(folder, 'types.c'), `#include "${basename(headerPath)}"\n${keepers.join('')}`);
    await clang(
      [...bpfFlags, '-I', dirname(headerPath), '-c', join(folder, 'types.c'), '-o', join(folder, 'types.o')],
      `compile ${basename(headerPath)}`,
    );
    return new Btf(
      execFileSync('bpftool', ['-j', 'btf', 'dump', 'file', join(folder, 'types.o')], { encoding: 'utf8', maxBuffer: 1 << 26 }),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** All generated files by name, formatted. */
async function generate(): Promise<Map<string, string>> {
  const sources = bpfSources();
  const headers = await Promise.all(sources.map(source => readHeader(source, sourceHeader(source))));
  const files = new Map(headers.map(({ types }) => [`${types.source}.ts`, sourceCode(types)]));
  const [first] = headers;
  if (first === undefined) throw new Error('no source under bpf/: nothing to generate');
  files.set('shared.ts', sharedCode(headers.map(({ types }) => types)));
  files.set('index.ts', indexCode(sources, first.dropReasons));
  return files;
}

/** Names of files whose committed content differs, missing and left-over ones included. */
function staleFiles(files: ReadonlyMap<string, string>): string[] {
  const present = readdirSync(eventsDir).filter(name => name.endsWith('.ts'));
  const changed = [...files].filter(
    ([name, code]) => !present.includes(name) || readFileSync(join(eventsDir, name), 'utf8') !== code,
  );
  return [...changed.map(([name]) => name), ...present.filter(name => !files.has(name))];
}

async function main(args: readonly string[]): Promise<number> {
  const isCheck = args.includes('--check') || process.env['CI'] === 'true';
  const files = await generate();
  const stale = staleFiles(files);
  if (isCheck) {
    if (stale.length > 0)
      process.stderr.write(`agent/events/ is stale (${stale.join(', ')}); run "npm run gen" and commit the result\n`);
    return stale.length > 0 ? 1 : 0;
  }
  mkdirSync(eventsDir, { recursive: true });
  for (const name of stale) {
    const path = join(eventsDir, name);
    const code = files.get(name);
    if (code === undefined) rmSync(path);
    else writeFileSync(path, code);
    process.stdout.write(`${code === undefined ? 'removed' : 'wrote'} ${relative(projectDir, path)}\n`);
  }
  return 0;
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`gen: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

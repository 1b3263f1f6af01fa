// Reads the repository and holds it to its own rules: which way imports point, how long files are, what must and must not stand
// in them. Only files that git knows are read. Function lengths of TypeScript are Biome's to judge (biome.json).

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, extname, join, relative } from 'node:path';
import { test } from 'node:test';
import { projectDir } from '../scripts/lib/bpf.ts';

const TOP_FOLDERS = ['agent', 'bpf', 'native', 'scripts', 'test', 'ui'];

/**
 * What each folder of the agent may import besides itself. main, the pipeline and the other files right under agent/ may import all,
 * and the entry of a worker thread may import what its thread consists of.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  bpf: ['lib'],
  events: ['lib'],
  sources: ['lib', 'bpf', 'events', 'store'],
  store: ['lib'],
  export: ['lib', 'store', 'server'],
  server: ['lib', 'store', 'export'],
  config: ['lib', 'sources'],
};

const THREAD_PARTS = ['lib', 'store', 'export', 'server', 'config'];

const MAX_LINES: Readonly<Record<string, number>> = {
  '.ts': 400,
  '.tsx': 400,
  '.mjs': 400,
  '.c': 500,
  '.cc': 500,
  '.h': 500,
  '.sh': 300,
};

/** The longest function in C and C++; TypeScript's limit is the same and stands in biome.json. */
const MAX_FUNCTION_LINES = 60;

const MAX_README_LINES = 15;

const GENERATED = /^agent\/events\//;

const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
  cwd: projectDir,
  encoding: 'utf8',
  maxBuffer: 1 << 26,
})
  .split('\0')
  .filter(path => path !== '' && existsSync(join(projectDir, path)));

const textOf = new Map<string, string>();

function read(path: string): string {
  const text = textOf.get(path) ?? readFileSync(join(projectDir, path), 'utf8');
  textOf.set(path, text);
  return text;
}

/** What people wrote as text: no lock file, no pictures, no samples that tests read. */
const written = files.filter(
  path =>
    /\.(ts|tsx|mjs|js|css|html|c|cc|h|sh|go|md|json|yaml|yml)$/.test(path) &&
    path !== 'package-lock.json' &&
    !path.includes('/samples/'),
);
const code = written.filter(path => /\.(ts|tsx|mjs|c|cc|h|sh|go)$/.test(path));
const typeScript = code.filter(path => /\.tsx?$/.test(path));

function assertNone(complaints: readonly string[]): void {
  assert.equal(complaints.length, 0, `\n${complaints.join('\n')}`);
}

/** Project paths that a TypeScript file imports, whether for types or values. */
function importsOf(path: string): string[] {
  const specifiers = [...read(path).matchAll(/(?:from|import)\s*\(?\s*'(\.{1,2}\/[^']+)'/g)].map(match => match[1] ?? '');
  return specifiers.map(specifier => relative(projectDir, join(projectDir, dirname(path), specifier)));
}

/** "sources" for agent/sources/cpu/cpu.ts, and "" for a file right under agent/. */
function agentFolder(path: string): string {
  const parts = path.split('/');
  return parts.length > 2 ? (parts[1] ?? '') : '';
}

test('the tree has the folders it is meant to have', () => {
  const folders = new Set(
    files.filter(path => path.includes('/') && !path.startsWith('.')).map(path => path.split('/')[0] ?? ''),
  );
  assert.deepEqual([...folders].sort(), TOP_FOLDERS);
});

test('each top folder has a short README', () => {
  const complaints = TOP_FOLDERS.flatMap(folder => {
    const path = `${folder}/README.md`;
    if (!files.includes(path)) return [`${path} is missing`];
    const lineCount = read(path).trimEnd().split('\n').length;
    return lineCount > MAX_README_LINES ? [`${path} has ${lineCount} lines; ${MAX_README_LINES} are enough`] : [];
  });
  assertNone(complaints);
});

test('imports inside the agent point one way', () => {
  const complaints = typeScript
    .filter(path => path.startsWith('agent/') && !path.endsWith('.test.ts'))
    .flatMap(path => {
      const allowed = path.endsWith('-worker.ts') ? THREAD_PARTS : MAY_IMPORT[agentFolder(path)];
      if (!allowed || agentFolder(path) === '') return [];
      return importsOf(path)
        .filter(
          target =>
            !target.startsWith('agent/') || (agentFolder(target) !== agentFolder(path) && !allowed.includes(agentFolder(target))),
        )
        .map(target => `${path} imports ${target}`);
    });
  assertNone(complaints);
});

test('the UI knows the agent by its API only', () => {
  const complaints = typeScript
    .filter(path => path.startsWith('ui/') && !path.endsWith('.test.ts'))
    .flatMap(path => importsOf(path).map(target => ({ path, target })))
    .filter(({ target }) => !target.startsWith('ui/') && target !== 'agent/server/api.ts');
  assertNone(complaints.map(({ path, target }) => `${path} imports ${target}`));
});

test('only agent/bpf loads the addon, and nothing shipped imports tests', () => {
  const shipped = typeScript.filter(path => /^(agent|ui)\//.test(path) && !path.endsWith('.test.ts'));
  const loaders = typeScript.filter(
    path => path.startsWith('agent/') && !path.startsWith('agent/bpf/') && /hotspan\.node/.test(read(path)),
  );
  const importers = shipped.filter(path =>
    importsOf(path).some(target => target.startsWith('test/') || target.endsWith('.test.ts')),
  );
  assertNone([...loaders.map(path => `${path} names the addon's file`), ...importers.map(path => `${path} imports a test`)]);
});

test('files are short', () => {
  const complaints = code
    .filter(path => !GENERATED.test(path))
    .flatMap(path => {
      const limit = MAX_LINES[extname(path)] ?? 400;
      const lineCount = read(path).trimEnd().split('\n').length;
      return lineCount > limit ? [`${path} has ${lineCount} lines; ${limit} are enough`] : [];
    });
  assertNone(complaints);
});

/** In the project's C style a function starts on a line without indentation that ends in "{" and ends with a "}" alone, also without. */
function longFunctions(path: string): string[] {
  const lines = read(path).split('\n');
  const complaints: string[] = [];
  let start = -1;
  lines.forEach((line, index) => {
    if (/^[\w~].*\{$/.test(line) && !/^(namespace|struct|class|enum|union|extern|static const struct)\b/.test(line))
      start = index;
    else if (line === '}' && start >= 0) {
      if (index - start - 1 > MAX_FUNCTION_LINES)
        complaints.push(`${path}:${start + 1} is ${index - start - 1} lines long: ${lines[start]}`);
      start = -1;
    }
  });
  return complaints;
}

test('functions in C and C++ are short', () => {
  assertNone(code.filter(path => /\.(c|cc|h)$/.test(path)).flatMap(longFunctions));
});

test('files are named in kebab-case and open with their purpose', () => {
  const complaints: string[] = [];
  // Outside test/ a test is named after what it stands beside.
  const isTestOfNeighbour = (path: string) => path.endsWith('.test.ts') && !path.startsWith('test/');
  for (const path of code) {
    if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)+$/.test(basename(path))) complaints.push(`${path} is not in kebab-case`);
    const opening = read(path)
      .replace(/^#!.*\n/, '')
      .replace(/^.*SPDX-License-Identifier.*\n/, '');
    if (!isTestOfNeighbour(path) && !/^(\s*)(\/\/|\/\*|#(?!include|define|pragma))/.test(opening))
      complaints.push(`${path} does not open with a comment that says what it is for`);
  }
  assertNone(complaints);
});

test('the kernel side carries its licence', () => {
  const complaints = files.filter(
    path =>
      /^bpf\/.*\.[ch]$/.test(path) && !/SPDX-License-Identifier: GPL-2\.0 OR Apache-2\.0/.test(read(path).split('\n')[0] ?? ''),
  );
  assertNone(complaints.map(path => `${path} does not start with its SPDX line`));
});

/** What is banned, and why. The words are put together here so that this file does not accuse itself. */
const BANNED: readonly (readonly [RegExp, string])[] = [
  [new RegExp(`${'keep'} in sync`, 'i'), 'generate it or test it'],
  [new RegExp(`\\b(${'TO'}DO|${'FIX'}ME|${'XX'}X|${'HA'}CK)\\b`), 'do it, or leave it to an issue'],
  [new RegExp(`(^|[\\s"'\`(=:])/(${'work'}|root|home|Users)/\\w`), 'a path of one machine'],
  [new RegExp(`${'registry'}\\.|artifact-?registry|\\bpkg\\.dev\\b`, 'i'), 'the host of a package registry'],
  [new RegExp(`@ts-${'(ignore'}|nocheck|expect-error)|biome-ignore-${'all'}`), 'make the types right'],
  [/catch\s*(\(\w*\))?\s*\{\s*\}/, 'an error is handled, or passed on'],
];

test('nothing banned stands in the tree', () => {
  const complaints = written.flatMap(path =>
    read(path)
      .split('\n')
      .flatMap((line, index) =>
        BANNED.filter(([pattern]) => pattern.test(line)).map(([, why]) => `${path}:${index + 1}: ${line.trim()} (${why})`),
      ),
  );
  assertNone(complaints);
});

test('tests are neither skipped for good nor alone', () => {
  const complaints = typeScript
    .filter(path => path.endsWith('.test.ts'))
    .flatMap(path =>
      read(path)
        .split('\n')
        .map((line, index) => ({ path, line, number: index + 1 })),
    )
    .filter(({ line }) => /\b(test|it|describe)\.(only|todo|skip)\b|\bonly: true/.test(line));
  assertNone(complaints.map(({ path, line, number }) => `${path}:${number}: ${line.trim()}`));
});

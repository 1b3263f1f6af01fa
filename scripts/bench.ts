/**
 * npm run bench [-- NAME...]: measures what the README claims, prints a table, and writes .build/bench.json. Each file in
 * scripts/bench/ that exports `run` is one part; NAMEs pick parts.
 */

import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { basename, join } from 'node:path';
import type { BenchRow } from './bench/row.ts';
import { projectDir } from './lib/bpf.ts';

interface Part {
  readonly name: string;
  readonly rows: readonly BenchRow[];
}

const folder = join(import.meta.dirname, 'bench');

/** Files that export `run`, by name. */
async function allParts(): Promise<Map<string, () => Promise<readonly BenchRow[]>>> {
  const parts = new Map<string, () => Promise<readonly BenchRow[]>>();
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith('.ts') || file.endsWith('.test.ts')) continue;
    const part = (await import(join(folder, file))) as { run?: () => Promise<readonly BenchRow[]> };
    if (part.run !== undefined) parts.set(basename(file, '.ts'), part.run);
  }
  return parts;
}

async function runParts(wanted: readonly string[]): Promise<Part[]> {
  const all = await allParts();
  const unknown = wanted.filter(name => !all.has(name));
  if (unknown.length > 0) {
    console.error(`bench: no part is called ${unknown.join(' or ')}; the parts are ${[...all.keys()].join(', ')}`);
    process.exit(2);
  }
  const parts: Part[] = [];
  for (const [name, run] of all) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const startMs = performance.now();
    process.stderr.write(`${name} ... `);
    parts.push({ name, rows: await run() });
    process.stderr.write(`${((performance.now() - startMs) / 1000).toFixed(0)} s\n`);
  }
  return parts;
}

function table(parts: readonly Part[]): string {
  const lines = parts.flatMap(part =>
    part.rows.map(row => [part.name, row.name, format(row.value), row.unit, row.target ?? '', verdict(row)]),
  );
  const all = [['part', 'what', 'value', 'unit', 'target', ''], ...lines];
  const widths = [0, 1, 2, 3, 4].map(column => Math.max(...all.map(line => (line[column] ?? '').length)));
  return all
    .map(line =>
      line
        .map((cell, i) => (i === 2 ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function verdict(row: BenchRow): string {
  return row.ok === undefined ? '' : row.ok ? 'met' : 'MISSED';
}

function format(value: number): string {
  if (Number.isInteger(value)) return value.toLocaleString('en-US');
  return value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(2) : value.toPrecision(3);
}

const parts = await runParts(process.argv.slice(2));
const machine = {
  cpu: cpus()[0]?.model ?? '',
  cpus: availableParallelism(),
  kernel: release(),
  node: process.version,
  time: new Date().toISOString(),
};
console.log(table(parts));
mkdirSync(join(projectDir, '.build'), { recursive: true });
const path = join(projectDir, '.build', 'bench.json');
writeFileSync(path, `${JSON.stringify({ machine, parts }, null, 2)}\n`);
console.log(
  `\n${machine.cpu}, ${machine.cpus} CPUs, Linux ${machine.kernel}, Node ${machine.node}; also as JSON in .build/bench.json`,
);

/**
 * npm run dev [-- ARGUMENTS OF hotspan run]: the agent, started again when its code changes, with the UI rebuilt as it is edited. BPF
 * objects and the addon are rebuilt when theirs change.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { watch } from 'node:fs';
import { join } from 'node:path';
import { projectDir } from './lib/bpf.ts';

/** Editors write a file in several steps, and a save of many files comes as many events. */
const QUIET_MS = 200;

/** What is built before the agent starts again, by the folder that changed; the agent's own code needs no build. */
const BUILD_BY_FOLDER: Readonly<Record<string, readonly string[]>> = { agent: [], bpf: ['bpf'], native: ['addon'] };

const agentArguments = process.argv.slice(2);
const bin = join(projectDir, 'node_modules', '.bin');
let agent: ChildProcess | undefined;
let isEnding = false;

function build(parts: readonly string[]): boolean {
  if (parts.length === 0) return true;
  return spawnSync(process.execPath, ['scripts/build.ts', ...parts], { cwd: projectDir, stdio: 'inherit' }).status === 0;
}

function startAgent(): void {
  agent = spawn(join(projectDir, 'scripts', 'hotspan'), ['run', ...agentArguments], {
    cwd: projectDir,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  agent.on('error', error => console.error(`dev: the agent does not start: ${error.message}`));
}

/** SIGTERM, so that it detaches and stores what it holds; the port must be free again before the next one starts. */
function stopAgent(): Promise<void> {
  const old = agent;
  agent = undefined;
  if (!old || old.exitCode !== null || old.signalCode !== null) return Promise.resolve();
  return new Promise(resolve => {
    old.once('exit', () => resolve());
    old.kill('SIGTERM');
  });
}

const changedFolders = new Set<string>();
let timer: NodeJS.Timeout | undefined;
let restarting = Promise.resolve();

async function restart(): Promise<void> {
  const folders = [...changedFolders];
  changedFolders.clear();
  console.log(`dev: ${folders.join(' and ')} changed; starting the agent again`);
  // The old agent keeps running where the new code does not build.
  if (!build(folders.flatMap(folder => BUILD_BY_FOLDER[folder] ?? []))) return;
  await stopAgent();
  if (!isEnding) startAgent();
}

function watchFolder(folder: string): void {
  watch(join(projectDir, folder), { recursive: true }, (_, file) => {
    if (!file || /\.test\.ts$|\.md$|~$|(^|\/)\./.test(file)) return;
    changedFolders.add(folder);
    clearTimeout(timer);
    timer = setTimeout(() => {
      restarting = restarting.then(restart);
    }, QUIET_MS);
  });
}

if (!build(['bpf', 'addon', 'ui'])) process.exit(1);
const vite = spawn(join(bin, 'vite'), ['build', 'ui', '--watch', '--logLevel', 'warn'], {
  cwd: projectDir,
  stdio: ['ignore', 'inherit', 'inherit'],
});
for (const folder of Object.keys(BUILD_BY_FOLDER)) watchFolder(folder);
startAgent();

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, async () => {
    if (isEnding) return;
    isEnding = true;
    vite.kill();
    await restarting;
    await stopAgent();
    process.exit(0);
  });
}

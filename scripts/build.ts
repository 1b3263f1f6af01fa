/**
 * npm run build [bpf|addon|ui...]: builds what has changed, everything when no part is named. The agent itself is not built; Node runs
 * its TypeScript.
 */

import { cpus } from 'node:os';
import { bpfSources, compileBpf } from './lib/bpf.ts';
import { buildOnce, filesUnder, runTool, step } from './lib/steps.ts';

type Progress = (text: string) => void;

const PARTS: Readonly<Record<string, (progress: Progress) => Promise<string>>> = {
  bpf: buildBpf,
  addon: buildAddon,
  ui: buildUi,
};

async function buildBpf(): Promise<string> {
  const compiled = await Promise.all(bpfSources().map(compileBpf));
  const rebuiltCount = compiled.filter(({ isRebuilt }) => isRebuilt).length;
  return rebuiltCount === 0 ? 'up to date' : `built ${rebuiltCount} of ${compiled.length} objects`;
}

function buildAddon(progress: Progress): Promise<string> {
  const inputs = filesUnder('native').filter(path => !/\.(ts|md)$/.test(path));
  return buildOnce('.build/native/hotspan.node', [...inputs, 'package-lock.json'], async () => {
    const jobs = String(cpus().length);
    const args = ['compile', '-d', 'native', '-O', '.build/native-build', '-B', 'RelWithDebInfo', '-p', jobs];
    await runTool('cmake-js', args, text => {
      const percent = /\[ *(\d+)%\]/.exec(text)?.[1];
      if (percent !== undefined) progress(`${percent} %`);
    });
  });
}

function buildUi(): Promise<string> {
  const inputs = filesUnder('ui').filter(path => !/\.(test\.ts|md)$/.test(path));
  return buildOnce('.build/ui/index.html', [...inputs, 'agent/server/api.ts', 'package-lock.json'], async () => {
    await runTool('vite', ['build', 'ui', '--logLevel', 'warn']);
  });
}

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(PARTS);
for (const name of wanted) {
  const part = PARTS[name];
  if (!part) {
    console.error(`build: there is no part "${name}"; the parts are ${Object.keys(PARTS).join(', ')}`);
    process.exitCode = 2;
    break;
  }
  if (!(await step(name, part))) {
    process.exitCode = 1;
    break;
  }
}

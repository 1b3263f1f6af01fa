/** npm run check: everything that can be judged without running hotspan: generated files, types, lint, format, and the rules of the tree. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { projectDir } from './lib/bpf.ts';
import { filesUnder, runTool, step } from './lib/steps.ts';

const CHECKS: Readonly<Record<string, () => Promise<string>>> = {
  'generated code': async () => {
    await runTool('node', ['scripts/gen.ts', '--check']);
    return 'as the headers say';
  },
  types: async () => {
    await runTool('tsc', ['--noEmit']);
    return 'fine';
  },
  'UI types': async () => {
    if (!existsSync(join(projectDir, 'ui', 'tsconfig.json'))) return 'nothing to check';
    await runTool('tsc', ['--noEmit', '-p', 'ui']);
    return 'fine';
  },
  lint: async () => {
    await runTool('biome', ['check', '--diagnostic-level=warn', '--error-on-warnings']);
    return 'fine';
  },
  'C and C++': async () => {
    const files = ['bpf', 'native', 'test'].flatMap(filesUnder).filter(path => /\.(c|cc|h)$/.test(path));
    await runTool('clang-format', ['--dry-run', '-Werror', ...files]);
    return `${files.length} files formatted`;
  },
  'shell scripts': async () => {
    const files = ['scripts', 'test'].flatMap(filesUnder).filter(path => path.endsWith('.sh'));
    for (const file of files) await runTool('sh', ['-n', file]);
    return `${files.length} files parse`;
  },
  'the tree': async () => {
    await runTool('node', ['--test', 'test/repo.test.ts']);
    return 'keeps its rules';
  },
};

const results = await Promise.all(Object.entries(CHECKS).map(([name, check]) => step(name, check)));
if (results.includes(false)) process.exitCode = 1;

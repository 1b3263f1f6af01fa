import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { after, test } from 'node:test';
import { projectDir } from './bpf.ts';
import { buildOnce, filesUnder, runTool } from './steps.ts';

mkdirSync(join(projectDir, '.build'), { recursive: true });
const scratch = mkdtempSync(join(projectDir, '.build', 'steps-test-'));
const folder = relative(projectDir, scratch);
after(() => {
  rmSync(scratch, { recursive: true });
  rmSync(join(projectDir, '.build', 'stamps', `${folder.replaceAll('/', '-')}-output`), { force: true });
});

test('builds once for the same inputs, and again for others', async () => {
  const input = join(folder, 'input');
  const output = join(folder, 'output');
  let builds = 0;
  const build = () =>
    buildOnce(output, [input], async () => {
      builds += 1;
      writeFileSync(join(projectDir, output), readFileSync(join(projectDir, input)));
    });
  writeFileSync(join(projectDir, input), 'one');
  assert.equal(await build(), 'built');
  assert.equal(await build(), 'up to date');
  // Written again with the same text: only contents count.
  writeFileSync(join(projectDir, input), 'one');
  assert.equal(await build(), 'up to date');
  writeFileSync(join(projectDir, input), 'two');
  assert.equal(await build(), 'built');
  rmSync(join(projectDir, output));
  assert.equal(await build(), 'built');
  assert.equal(builds, 3);
});

test('a build that leaves no output has failed, and is tried again', async () => {
  writeFileSync(join(scratch, 'source'), '');
  const build = () => buildOnce(join(folder, 'nothing'), [join(folder, 'source')], async () => {});
  await assert.rejects(build, /left no /);
  await assert.rejects(build, /left no /);
});

test('a failing program is an error with its output; a missing one names the remedy', async () => {
  assert.equal(await runTool('sh', ['-c', 'echo out; echo err >&2']), 'out\nerr\n');
  await assert.rejects(runTool('sh', ['-c', 'echo the reason >&2; exit 3']), /sh ended with 3\nthe reason/);
  await assert.rejects(runTool('no-such-program', []), /cannot start no-such-program: .*run scripts\/setup\.sh/);
});

test('lists files as paths of the project, without what is built or installed', () => {
  mkdirSync(join(scratch, 'node_modules'), { recursive: true });
  mkdirSync(join(scratch, 'inner', '.hidden'), { recursive: true });
  for (const name of ['node_modules/x', 'inner/.hidden/x', 'inner/b', 'inner/a']) writeFileSync(join(scratch, name), '');
  assert.deepEqual(filesUnder(join(folder, 'inner')), [join(folder, 'inner', 'a'), join(folder, 'inner', 'b')]);
  assert.ok(!filesUnder(folder).some(path => path.includes('node_modules')));
  assert.deepEqual(filesUnder('no-such-folder'), []);
});

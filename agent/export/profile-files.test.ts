import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Profile } from 'pprof-format';
import type { ProfileResult } from '../store/rows.ts';
import {
  frameRow,
  noonMs,
  openTestStore,
  processRow,
  randomSource,
  sampleRow,
  type TestStore,
  testFolder,
} from '../store/test-kit.ts';
import { foldedText } from './folded.ts';
import { pprofFile } from './pprof.ts';
import { speedscopeJson } from './speedscope.ts';

const query = { fromMs: noonMs - 60_000, toMs: noonMs + 60_000, type: 'cpu', filter: '', minShare: 0 };

function writeProfile(store: TestStore): void {
  const random = randomSource(2026);
  const below = (end: number) => Math.floor(random() * end);
  const frames = Array.from({ length: 40 }, (_, i) => {
    const lines = Array.from({ length: 1 + below(3) }, () => ({ name: `fn${below(15)}`, file: 'main.c', line: 1 + below(90) }));
    const isKernel = i % 4 === 0;
    const place = isKernel
      ? { module: 'vmlinux', buildId: '', address: 0xffffffff81000000n + BigInt(i) }
      : { address: BigInt(0x400 + i * 8) };
    return store.writer.frame(frameRow('', { kind: isKernel ? 'kernel' : 'native', lines, ...place }));
  });
  const process = store.writer.process(processRow());
  for (let i = 0; i < 2000; i += 1) {
    const stackId = store.writer.stack(Array.from({ length: below(9) }, () => frames[below(frames.length)] as number));
    const tid = 101 + below(4);
    store.writer.sample(
      sampleRow({
        processId: process,
        stackId,
        tid,
        threadName: `worker-${tid}`,
        value: 10_101_010,
        timeMs: noonMs - below(50_000),
      }),
    );
  }
  store.writer.flush();
}

/** Own and total values by function name, a function counted once in a stack. */
function byFunction(paths: Iterable<readonly [readonly string[], number]>): Map<string, { self: number; total: number }> {
  const sums = new Map<string, { self: number; total: number }>();
  for (const [names, value] of paths) {
    for (const name of new Set(names)) {
      const sum = sums.get(name) ?? { self: 0, total: 0 };
      sum.total += value;
      if (name === names.at(-1)) sum.self += value;
      sums.set(name, sum);
    }
  }
  return new Map([...sums].sort((a, b) => (a[0] < b[0] ? -1 : 1)));
}

function* pathsOf(profile: ProfileResult): Generator<[string[], number]> {
  const paths: string[][] = [];
  for (let i = 0; i < profile.parent.length; i += 1) {
    const above = paths[profile.parent[i] as number] ?? [];
    paths[i] = [...above, profile.functions.name[profile.fn[i] as number] as string];
    if (profile.self[i] !== 0) yield [paths[i] as string[], profile.self[i] as number];
  }
}

test('flame graph, folded, speedscope and pprof agree to the last nanosecond', context => {
  const store = openTestStore(context);
  writeProfile(store);
  const full = store.reader.fullProfile(query);
  const tree = store.reader.profile(query);
  const expected = byFunction(pathsOf(tree));
  assert.equal(tree.total, 2000 * 10_101_010);
  assert.ok(expected.size >= 15);

  const folded = foldedText(full)
    .trimEnd()
    .split('\n')
    .map(line => [line.slice(0, line.lastIndexOf(' ')).split(';'), Number(line.slice(line.lastIndexOf(' ') + 1))] as const);
  assert.deepEqual(byFunction(folded), expected);

  const speedscope = JSON.parse(speedscopeJson(full));
  const [sampled] = speedscope.profiles;
  const names = speedscope.shared.frames.map((frame: { name: string }) => frame.name);
  const paths = sampled.samples.map((path: number[], i: number) => [path.map(fn => names[fn]), sampled.weights[i]]);
  assert.deepEqual(byFunction(paths), expected);
  assert.equal(sampled.endValue, tree.total);

  const go = spawnSync('go', ['version']);
  if (go.error !== undefined && process.env.CI === undefined) {
    context.skip('the independent reader of pprof files, `go tool pprof`, is not installed');
    return;
  }
  const top = readTop(join(testFolder(context), 'cpu.pb.gz'), pprofFile(full));
  assert.deepEqual(top, expected);
});

/** What the independent reader, `go tool pprof`, makes of the file. */
function readTop(path: string, content: Buffer): Map<string, { self: number; total: number }> {
  writeFileSync(path, content);
  const args = ['tool', 'pprof', '-top', '-nodecount=1000', '-nodefraction=0', '-unit=ns', path];
  const text = execFileSync('go', args, { encoding: 'utf8', env: { ...process.env, PPROF_TMPDIR: join(path, '..') } });
  assert.match(text, /^Type: cpu$/m);
  const rows = [
    ...text.matchAll(/^ *(\d+)(?:ns)? +[\d.]+% +[\d.]+% +(\d+)(?:ns)? +[\d.]+% +(.+?)(?: \(inline\)| \(partial-inline\))?$/gm),
  ];
  const sums = new Map<string, { self: number; total: number }>();
  for (const [, self, total, name] of rows) sums.set(name as string, { self: Number(self), total: Number(total) });
  return new Map([...sums].sort((a, b) => (a[0] < b[0] ? -1 : 1)));
}

test('pprof keeps addresses, build ids, lines and threads', context => {
  const store = openTestStore(context);
  writeProfile(store);
  const full = store.reader.fullProfile(query);
  const decoded = Profile.decode(gunzipSync(pprofFile(full)));
  const text = (index: number | bigint) => decoded.stringTable.strings[Number(index)];
  assert.deepEqual(decoded.mapping.map(({ filename, buildId }) => [text(filename), text(buildId)]).sort(), [
    ['', ''],
    ['/usr/bin/gateway', 'abcd'],
    ['vmlinux', ''],
  ]);
  assert.ok(decoded.location.some(({ address }) => BigInt(address) === 0xffffffff81000000n));
  assert.equal(Number(decoded.period), 10_101_010);
  assert.equal(
    decoded.sample.reduce((sum, { value }) => sum + Number(value[0]), 0),
    2000,
  );
  const threads = new Set(
    decoded.sample.flatMap(({ label }) => label.filter(({ key }) => text(key) === 'thread').map(({ str }) => text(str))),
  );
  assert.deepEqual([...threads].sort(), ['worker-101', 'worker-102', 'worker-103', 'worker-104']);
});

test('an empty profile makes valid files', context => {
  const store = openTestStore(context);
  const full = store.reader.fullProfile(query);
  assert.equal(foldedText(full), '');
  assert.deepEqual(JSON.parse(speedscopeJson(full)).profiles[0].samples, []);
  assert.equal(Profile.decode(gunzipSync(pprofFile(full))).sample.length, 0);
});

test('names with separators do not break a folded line', context => {
  const store = openTestStore(context);
  const frame = store.writer.frame(frameRow('', { lines: [{ name: 'a;b\nc', file: '', line: 0 }] }));
  store.writer.sample(sampleRow({ processId: store.writer.process(processRow()), stackId: store.writer.stack([frame]) }));
  store.writer.flush();
  assert.equal(foldedText(store.reader.fullProfile(query)), 'a:b c 10000000\n');
});

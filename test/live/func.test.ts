/**
 * Source func tells the truth: each call of a kernel function, of C functions (recursive ones too) and of a Go function whose goroutines
 * move between threads is there, once, with arguments, result, parent and no more time than the program saw; by every way that the
 * kernel has. Calls that are jumped out of, or never left, are counted and confuse nothing.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { funcKit } from '../../agent/sources/func/kit.ts';
import type { SourceKit, Span } from '../../agent/sources/source.ts';
import { buildZoo, startAnimal } from '../zoo/zoo.ts';
import { kernelNames } from './kernel-names.ts';
import { accountedFor, features, isEmulated, runSource, type SourceRun, type Way, waysHere } from './source-run.ts';

const kit = funcKit as unknown as SourceKit;
const calls = 2003;
/** The kernel probes the returns of the outermost 64 calls of a recursion. */
const probedDepth = 64;

interface Call {
  readonly name: string;
  readonly argument: number;
  readonly result: number;
  readonly ns: number;
}

interface Observed {
  readonly source: SourceRun;
  readonly calls: readonly Call[];
  readonly counts: Readonly<Record<string, number>>;
}

interface Options {
  readonly targets: readonly string[];
  readonly without?: readonly Way[];
  readonly bufferPages?: number;
  readonly settings?: Readonly<Record<string, number>>;
}

/** Runs a program under the source, from its signal to its end, and gives what each of them says. */
async function observe(animalName: string, args: readonly (number | string)[], options: Options): Promise<Observed> {
  const binary = await buildZoo(animalName);
  const animal = await startAnimal(binary, args.map(String));
  try {
    const source = await runSource(kit, {
      settings: {
        targets: options.targets.map(target => target.replace('BINARY', binary)),
        pid: animal.pid,
        ...options.settings,
      },
      without: options.without ?? [],
      bufferPages: options.bufferPages ?? 2048,
    });
    try {
      process.kill(animal.pid, 'SIGUSR1');
      const made = (await animal.output).split('\n').map(parseCall);
      await source.flush();
      return { source, calls: made, counts: await source.stop() };
    } finally {
      await source.stop();
    }
  } finally {
    animal.child.kill('SIGKILL');
  }
}

function parseCall(line: string): Call {
  const [name = '', argument, result, ns] = line.split(' ');
  return { name, argument: Number(argument), result: Number(result), ns: Number(ns) };
}

function told(source: SourceRun, name: string): Span[] {
  return source.spans.filter(span => span.name === name).sort((a, b) => a.startNs - b.startNs);
}

function checkLatency(span: Span, call: Call): void {
  const what = `${call.name}(${call.argument})`;
  assert.ok(span.durationNs > 0 && span.durationNs <= call.ns, `${what}: ${span.durationNs} ns told, ${call.ns} ns measured`);
}

for (const { way, without } of waysHere()) {
  test(`${way}: every call of a kernel function`, async () => {
    const {
      source,
      calls: made,
      counts,
    } = await observe('funccalls', [calls, 3], { targets: ['kernel:do_sys_openat2'], without });
    const hook = source.running.hooks.find(({ observes }) => observes === 'kernel:do_sys_openat2');
    assert.equal(hook?.way, way);
    const opened = made.filter(call => call.name === 'open');
    const spans = told(source, 'do_sys_openat2');
    // The program's libraries were loaded before: all opens are its own.
    assert.equal(spans.length, opened.length);
    assert.equal(counts.seen, accountedFor(counts), JSON.stringify(counts));
    const [symbol] = source.running.sums();
    assert.equal(symbol?.calls, opened.length);
    assert.equal(symbol?.errors, opened.filter(call => call.result < 0).length);
    for (const [i, call] of opened.entries()) {
      const span = spans[i]!;
      checkLatency(span, call);
      assert.equal(span.attributes['hotspan.call.result'], call.result);
      assert.equal(span.error, call.result < 0 ? 'ENOENT' : '');
      const dfd = span.attributes['hotspan.argument.dfd'] ?? span.attributes['hotspan.argument.0'];
      assert.equal(dfd, -100, 'AT_FDCWD is the first argument');
      assert.match(
        String(span.attributes['hotspan.argument.filename'] ?? span.attributes['hotspan.argument.1']),
        /^0x[0-9a-f]+$/,
      );
      assert.equal(span.attributes['hotspan.function.address'], expectedAddress, 'the address is that of kallsyms');
    }
    // A trampoline, a program, or the machinery of kprobes is no part of what the program did.
    const [innermost, ...callers] = kernelNames(spans[0]?.stack?.kernel ?? new Uint8Array());
    assert.equal(innermost, 'do_sys_openat2');
    if (way === 'tracepoint') return;
    assert.match(callers[0] ?? '', /^(do_sys_open|__(x64|arm64)_sys_open(at)?)$/);
    assert.match(callers.at(-1) ?? '', /^(entry_SYSCALL_64_after_hwframe|el0t_64_sync)$/);
    assert.ok(callers.length <= 6, callers.join(' '));
  });
}

/** As the symbolizer finds it in kallsyms; asked once, in a source that probes nothing. */
const expectedAddress = await (async () => {
  const source = await runSource(kit, {});
  const [found] = source.symbolizer.findKernelFunctions('do_sys_openat2', 1);
  await source.stop();
  return `0x${found?.address.toString(16)}`;
})();

test('every call of C functions, under its caller, recursion included', async () => {
  const depth = 40;
  const {
    source,
    calls: made,
    counts,
  } = await observe('funccalls', [calls, depth], {
    targets: [
      'uprobe:BINARY:outer',
      'uprobe:BINARY:inner',
      'uprobe:BINARY:recurse',
      'uprobe:BINARY:leap',
      'uprobe:BINARY:vanish',
    ],
  });
  assert.equal(counts.seen, accountedFor(counts), JSON.stringify(counts));
  const outer = made.filter(call => call.name === 'outer');
  const spans = told(source, 'outer');
  const inner = told(source, 'inner');
  assert.equal(spans.length, outer.length);
  assert.equal(inner.length, outer.length);
  for (const [i, call] of outer.entries()) {
    const span = spans[i]!;
    checkLatency(span, call);
    assert.equal(span.attributes['hotspan.argument.0'], call.argument);
    assert.deepEqual(
      [1, 2, 3, 4, 5].map(n => span.attributes[`hotspan.argument.${n}`]),
      [2, 3, 4, 5, 6],
    );
    assert.equal(span.attributes['hotspan.call.result'], call.result);
    assert.equal(span.parentKey, 0n, `outer(${call.argument}) is called by no probed function that is open`);
    assert.equal(span.traceKey, span.spanKey);
    assert.equal(inner[i]?.parentKey, span.spanKey, 'inner is called by outer');
    assert.equal(inner[i]?.traceKey, span.spanKey);
    assert.ok(inner[i]!.durationNs < span.durationNs);
  }
  checkRecursion(told(source, 'recurse'), depth);
  // Ten jumps and five ends of threads inside: the calls are seen, and counted as without a return.
  assert.equal(told(source, 'leap').length + told(source, 'vanish').length, 0);
  assert.equal(counts.no_return, 15);
  assert.equal(counts.emitted, 2 * outer.length + depth + 1);
});

function checkRecursion(spans: readonly Span[], depth: number): void {
  assert.equal(spans.length, depth + 1);
  for (const [i, span] of spans.entries()) {
    assert.equal(span.attributes['hotspan.argument.0'], depth - i);
    assert.equal(span.attributes['hotspan.call.result'], ((depth - i) * (depth - i + 1)) / 2);
    assert.equal(span.parentKey, spans[i - 1]?.spanKey ?? 0n, `call ${i} was made by the one before`);
    assert.equal(span.traceKey, spans[0]?.spanKey);
  }
}

test('a recursion deeper than the kernel probes loses its inner calls, counted, and nothing else', async () => {
  const depth = 500;
  const {
    source,
    calls: made,
    counts,
  } = await observe('funccalls', [50, depth], {
    targets: ['uprobe:BINARY:outer', 'uprobe:BINARY:recurse'],
  });
  const total = made.filter(call => call.name === 'outer').length + depth + 1;
  assert.equal(counts.seen, total, JSON.stringify(counts));
  assert.equal(counts.seen, accountedFor(counts), JSON.stringify(counts));
  assert.equal(told(source, 'outer').length, 51);
  assert.ok((counts.no_return ?? 0) >= depth + 1 - probedDepth);
  const last = told(source, 'outer').at(-1);
  assert.equal(last?.attributes['hotspan.argument.0'], -1);
  assert.equal(last?.parentKey, 0n, 'no call that was lost is taken for a parent');
});

test('every call of a Go function whose goroutines move between threads and whose stacks grow', async () => {
  const goroutines = 32;
  const each = isEmulated ? 10 : 40;
  const {
    source,
    calls: made,
    counts,
  } = await observe('gocalls', [goroutines, each], {
    targets: ['uprobe:BINARY:main.compute', 'uprobe:BINARY:main.step'],
  });
  assert.equal(counts.seen, accountedFor(counts), JSON.stringify(counts));
  const byId = new Map(told(source, 'main.compute').map(span => [span.attributes['hotspan.argument.0'], span]));
  assert.equal(told(source, 'main.compute').length, made.length, JSON.stringify(counts));
  assert.equal(byId.size, made.length);
  const steps = told(source, 'main.step');
  assert.equal(steps.length, 2 * made.length);
  for (const call of made) {
    const span = byId.get(call.argument);
    assert.ok(span !== undefined, `compute(${call.argument})`);
    checkLatency(span, call);
    assert.equal(span.attributes['hotspan.call.result'], call.result);
    assert.equal(span.attributes['hotspan.argument.1'], 3, "the second argument in Go's order");
    assert.equal(span.parentKey, 0n);
  }
  const moved = new Set<Span>();
  for (const step of steps) {
    const parent = byId.get(step.attributes['hotspan.argument.0']);
    assert.equal(step.parentKey, parent?.spanKey, 'a step belongs to the compute of its own goroutine');
    if (parent !== undefined && parent.tid !== step.tid) moved.add(parent);
  }
  assert.ok(moved.size > 0, 'some calls ended on another thread than their steps');
});

test('targets come and go while the others run on', async () => {
  const binary = await buildZoo('funccalls');
  const targets = ['outer', 'inner'].map(name => `uprobe:${binary}:${name}`);
  const source = await runSource(kit, { settings: { targets: targets.slice(0, 1) }, bufferPages: 2048 });
  const total = async () => {
    const animal = await startAnimal(binary, ['100', '1']);
    process.kill(animal.pid, 'SIGUSR1');
    await animal.output;
    await source.flush();
    return { outer: told(source, 'outer').length, inner: told(source, 'inner').length };
  };
  try {
    const [outerProgram] = source.running.programs().filter(({ name }) => name.endsWith(' outer'));
    assert.deepEqual(await total(), { outer: 101, inner: 0 });
    await source.running.update({ targets });
    assert.deepEqual(await total(), { outer: 202, inner: 101 });
    assert.equal(source.running.programs().find(({ name }) => name.endsWith(' outer'))?.id, outerProgram?.id, 'outer stayed');
    await source.running.update({ targets: targets.slice(1) });
    assert.deepEqual(await total(), { outer: 202, inner: 202 });
    await assert.rejects(async () => source.running.update({ targets: ['nonsense'] }), RangeError);
    assert.deepEqual(await total(), { outer: 202, inner: 303 });
    assert.deepEqual(
      source.running.sums().map(({ operation, calls: count }) => [operation, count]),
      [
        ['outer', 202],
        ['inner', 303],
      ],
    );
  } finally {
    await source.stop();
  }
});

test('a target that cannot be probed is told by name, and the others go on', async () => {
  const binary = await buildZoo('funccalls');
  const source = await runSource(kit, {
    settings: {
      targets: [`uprobe:${binary}:outer`, `uprobe:${binary}:nothing`, 'uprobe:/nowhere/x:f', 'kernel:no_such_function'],
    },
  });
  const problems = source.running.problems?.() ?? [];
  await source.stop();
  assert.equal(problems.length, 3, problems.join('\n'));
  assert.match(problems[0] ?? '', /nothing: .*has no function symbol of that name/);
  assert.match(problems[1] ?? '', /nowhere/);
  assert.match(problems[2] ?? '', /no_such_function: this kernel has no function of that name/);
});

test('with buffers of one page, seen = told + lost to the event', async () => {
  const {
    source,
    calls: made,
    counts,
  } = await observe('funccalls', [(isEmulated ? 2 : 10) * calls, 3], {
    targets: ['uprobe:BINARY:outer', 'uprobe:BINARY:inner'],
    bufferPages: 1,
  });
  const outer = made.filter(call => call.name === 'outer').length;
  assert.equal(counts.seen, 2 * outer);
  assert.equal(counts.seen, accountedFor(counts), JSON.stringify(counts));
  assert.ok((counts.buffer_full ?? 0) > 0, 'one page is too little');
  assert.equal(source.spans.length, counts.emitted);
  assert.equal(source.spans.length + (counts.buffer_full ?? 0) + (counts.nested ?? 0), 2 * outer);
});

test('stacks can be left out, and what is faster than the minimum', async () => {
  assert.ok(features.uprobe.isAvailable, features.uprobe.reason);
  const bare = await observe('funccalls', [10, 3], { targets: ['uprobe:BINARY:outer'], settings: { stack: 0 } });
  assert.ok(bare.source.spans.length > 0 && bare.source.spans.every(span => span.stack === undefined));
  const slow = await observe('funccalls', [10, 3], { targets: ['uprobe:BINARY:outer'], settings: { min: 10e6 } });
  assert.equal(slow.source.spans.length, 0);
  assert.equal(slow.counts.below_min, 11);
  assert.equal(slow.source.running.sums()[0]?.calls, 11);
});

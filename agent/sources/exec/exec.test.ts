/** The process table is right whatever came first, the kernel's record or the scan. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ExecExitEvent, ExecImageEvent } from '../../events/index.ts';
import type { ProcessExit, ProcessStart, Sink, Span } from '../source.ts';
import { type BuildIds, ExecSource } from './exec.ts';
import type { ScannedProcess } from './proc-scan.ts';

const ms = 1e6;

interface Seen {
  readonly started: ProcessStart[];
  readonly exited: ProcessExit[];
  readonly spans: Span[];
  readonly drops: Record<string, number>;
  readonly sink: Sink;
}

function collect(): Seen {
  const seen = {
    started: [] as ProcessStart[],
    exited: [] as ProcessExit[],
    spans: [] as Span[],
    drops: {} as Record<string, number>,
  };
  const sink: Sink = {
    sample: () => assert.fail('source exec makes no samples'),
    span: span => seen.spans.push(span),
    processStarted: process => seen.started.push(process),
    processExited: exit => seen.exited.push(exit),
    drop: (reason, count) => {
      seen.drops[reason] = (seen.drops[reason] ?? 0) + count;
    },
  };
  return { ...seen, sink };
}

function image(fields: Partial<ExecImageEvent>): ExecImageEvent {
  const base = {
    kind: 'image',
    timeNs: 1000 * ms,
    cpu: 0,
    sizeBytes: 0,
    pid: 100,
    tid: 100,
    startNs: 1000 * ms,
    inode: 7n,
    cgroupId: 1n,
  } as const;
  const who = { parentPid: 1, uid: 1000, device: 8, cause: 'fork', comm: 'sh', argsSizeBytes: 0 } as const;
  return { ...base, ...who, commandLine: 'sh\0', executable: '/bin/sh', cgroupPath: '/', ...fields };
}

function exit(fields: Partial<ExecExitEvent>): ExecExitEvent {
  return {
    kind: 'exit',
    timeNs: 1005 * ms,
    cpu: 0,
    sizeBytes: 56,
    pid: 100,
    tid: 100,
    startNs: 1000 * ms,
    parentPid: 1,
    exitStatus: 0,
    comm: 'true',
    ...fields,
  };
}

function scanned(fields: Partial<ScannedProcess>): ScannedProcess {
  const base = { pid: 100, parentPid: 1, comm: 'sh', startNs: 990 * ms, seenNs: 2000 * ms, executable: '/bin/sh' };
  return { ...base, commandLine: 'sh -c x', cgroupPath: '/', ...fields };
}

const noBuildId: BuildIds = { ofProcess: () => '', ofImage: () => '' };

test('fork, exec, exit: one identity, the last image, one span', () => {
  const seen = collect();
  const source = new ExecSource({ ...noBuildId, ofImage: ({ pid, device, inode }) => `${pid}@${device}:${inode}` });
  source.assemble(image({}), seen.sink);
  source.assemble(
    image({ cause: 'exec', timeNs: 1001 * ms, comm: 'true', executable: '/bin/true', commandLine: 'true\0--x\0', inode: 9n }),
    seen.sink,
  );
  source.assemble(exit({ exitStatus: 3 << 8 }), seen.sink);
  assert.deepEqual(
    seen.started.map(({ startNs, executable, commandLine, buildId }) => [startNs, executable, commandLine, buildId]),
    [
      [1000 * ms, '/bin/sh', 'sh', '100@8:7'],
      [1000 * ms, '/bin/true', 'true --x', '100@8:9'],
    ],
  );
  assert.deepEqual(seen.exited, [{ pid: 100, timeNs: 1005 * ms, exitStatus: 768 }]);
  const [span] = seen.spans;
  assert.equal(seen.spans.length, 1);
  assert.deepEqual([span?.name, span?.startNs, span?.durationNs, span?.error], ['process', 1000 * ms, 5 * ms, 'exit 3']);
  assert.deepEqual(span?.attributes, {
    'process.executable.name': 'true',
    'process.command_args': 'true --x',
    'process.parent_pid': 1,
    'process.user.id': 1000,
    'process.exit.code': 3,
  });
});

test('a signal is told as one, with no exit code', () => {
  const seen = collect();
  const source = new ExecSource(noBuildId);
  source.assemble(image({}), seen.sink);
  // 0x80: a core was dumped.
  source.assemble(exit({ exitStatus: 0x80 | 11 }), seen.sink);
  assert.equal(seen.spans[0]?.error, 'signal 11');
  assert.equal(seen.spans[0]?.attributes['hotspan.process.exit.signal'], 11);
  assert.ok(!('process.exit.code' in (seen.spans[0]?.attributes ?? {})));
});

test('a process from the scan keeps its identity through exec and exit, and makes no span', () => {
  const seen = collect();
  const source = new ExecSource(noBuildId);
  source.addScanned([scanned({})], seen.sink);
  source.assemble(image({ cause: 'exec', startNs: 995 * ms, comm: 'true', executable: '/bin/true' }), seen.sink);
  source.assemble(exit({ startNs: 995 * ms }), seen.sink);
  assert.deepEqual(
    seen.started.map(({ startNs, executable }) => [startNs, executable]),
    [
      [990 * ms, '/bin/sh'],
      [990 * ms, '/bin/true'],
    ],
  );
  assert.equal(seen.exited.length, 1);
  assert.equal(seen.spans.length, 0);
});

test('a start taken from the time of the fork’s record stays when the exact one comes', () => {
  const seen = collect();
  const source = new ExecSource(noBuildId);
  source.assemble(image({ timeNs: 1100 * ms, startNs: 1100 * ms }), seen.sink);
  source.assemble(image({ cause: 'exec', timeNs: 1200 * ms, startNs: 1000 * ms }), seen.sink);
  source.assemble(exit({ timeNs: 1300 * ms, startNs: 1000 * ms }), seen.sink);
  assert.deepEqual(
    seen.started.map(({ startNs }) => startNs),
    [1100 * ms, 1100 * ms],
  );
  assert.equal(seen.spans[0]?.durationNs, 200 * ms);
});

test('what the kernel told before the scan is not told again', () => {
  const seen = collect();
  const source = new ExecSource(noBuildId);
  source.assemble(image({}), seen.sink);
  source.addScanned([scanned({ startNs: 1000 * ms })], seen.sink);
  assert.equal(seen.started.length, 1);
});

test('a fork record that comes after the scan changes no identity and gives the span', () => {
  const seen = collect();
  const source = new ExecSource(noBuildId);
  source.addScanned([scanned({ startNs: 990 * ms })], seen.sink);
  source.assemble(image({ startNs: 998 * ms }), seen.sink);
  source.assemble(exit({ startNs: 998 * ms }), seen.sink);
  assert.deepEqual(new Set(seen.started.map(({ startNs }) => startNs)), new Set([990 * ms]));
  assert.equal(seen.spans.length, 1);
});

test('an exit before the scan still gives a process, once', () => {
  const seen = collect();
  const source = new ExecSource(noBuildId);
  source.assemble(exit({}), seen.sink);
  source.assemble(exit({ timeNs: 1006 * ms }), seen.sink);
  assert.equal(seen.started.length, 1);
  assert.equal(seen.exited.length, 1);
  assert.deepEqual(seen.drops, { repeated_exit: 1 });
});

test('an exit told before fork and exec gives the same life, whatever their order', () => {
  const fork = image({ timeNs: 1000.1 * ms, startNs: 1000 * ms });
  const exec = image({ cause: 'exec', timeNs: 1001 * ms, comm: 'true', executable: '/bin/true', commandLine: 'true\0' });
  // By the tracepoint way a fork's start is the time of its record.
  const approximate = { ...fork, startNs: fork.timeNs };
  for (const records of [
    [fork, exec],
    [exec, fork],
    [approximate, exec],
    [exec, approximate],
  ]) {
    const seen = collect();
    const source = new ExecSource(noBuildId);
    source.assemble(exit({}), seen.sink);
    for (const record of records) source.assemble(record, seen.sink);
    assert.equal(seen.spans.length, 0, 'more of it may be on its way');
    source.expire(3006 * ms, seen.sink);
    assert.deepEqual(
      seen.spans.map(span => [span.startNs, span.durationNs, span.attributes['process.executable.name']]),
      [[1000 * ms, 5 * ms, 'true']],
    );
    assert.deepEqual(new Set(seen.started.map(({ startNs }) => startNs)), new Set([1000 * ms]), 'one identity');
    assert.equal(seen.started.at(-1)?.executable, '/bin/true');
    assert.deepEqual(seen.exited.at(-1), { pid: 100, timeNs: 1005 * ms, exitStatus: 0 }, 'no row is left alive');
    assert.deepEqual(seen.drops, {});
    // A process that uses the pid again has nothing to do with it.
    source.assemble(image({ timeNs: 9000 * ms, startNs: 9000 * ms }), seen.sink);
    assert.equal(seen.started.at(-1)?.startNs, 9000 * ms);
  }
});

test('an exec told after fork and exit names the process, and leaves it ended', () => {
  const seen = collect();
  const source = new ExecSource(noBuildId);
  source.assemble(image({}), seen.sink);
  source.assemble(exit({}), seen.sink);
  source.assemble(image({ cause: 'exec', timeNs: 1001 * ms, executable: '/bin/true' }), seen.sink);
  assert.equal(seen.started.at(-1)?.executable, '/bin/true');
  assert.equal(seen.exited.length, 2, 'its row is told as ended after each start');
  assert.equal(seen.spans.length, 1);
});

test('a fork told after its exec leaves the exec’s image and gives the span', () => {
  const seen = collect();
  const source = new ExecSource(noBuildId);
  source.assemble(image({ cause: 'exec', timeNs: 1001 * ms, executable: '/bin/true' }), seen.sink);
  source.assemble(image({}), seen.sink);
  source.assemble(exit({}), seen.sink);
  assert.equal(seen.started.at(-1)?.executable, '/bin/true');
  assert.equal(seen.spans.length, 1);
});

test('a process that the scan saw while it was young gets its fork after its exit', () => {
  const seen = collect();
  const source = new ExecSource(noBuildId);
  source.addScanned([scanned({ startNs: 990 * ms, seenNs: 1002 * ms })], seen.sink);
  source.assemble(exit({}), seen.sink);
  source.assemble(image({}), seen.sink);
  source.expire(3006 * ms, seen.sink);
  assert.equal(seen.spans.length, 1);
});

test('a life whose start never comes is counted, once and in time', () => {
  const seen = collect();
  const source = new ExecSource(noBuildId);
  source.assemble(exit({}), seen.sink);
  source.expire(3004 * ms, seen.sink);
  assert.deepEqual(seen.drops, {});
  source.expire(3006 * ms, seen.sink);
  source.expire(9000 * ms, seen.sink);
  assert.deepEqual(seen.drops, { expired: 1 });
});

test('lives that wait are bounded, and those given up are counted', () => {
  const seen = collect();
  const source = new ExecSource(noBuildId);
  for (let pid = 1; pid <= 10_000; pid += 1) source.assemble(exit({ pid, tid: pid }), seen.sink);
  source.expire(3006 * ms, seen.sink);
  assert.deepEqual(seen.drops, { expired: 10_000 });
  assert.equal(seen.exited.length, 10_000);
});

test('a zombie in the scan, whose exit was told, is no process', () => {
  const seen = collect();
  const source = new ExecSource(noBuildId);
  source.assemble(image({}), seen.sink);
  source.assemble(exit({}), seen.sink);
  source.addScanned([scanned({ startNs: 1000 * ms, seenNs: 1010 * ms })], seen.sink);
  assert.equal(seen.started.length, 1);
});

test('a pid used again after a lost exit is a new process', () => {
  const seen = collect();
  const source = new ExecSource(noBuildId);
  source.assemble(image({}), seen.sink);
  source.assemble(image({ startNs: 5000 * ms, comm: 'ls' }), seen.sink);
  source.assemble(exit({ startNs: 5000 * ms, timeNs: 5004 * ms }), seen.sink);
  assert.deepEqual(
    seen.started.map(({ startNs }) => startNs),
    [1000 * ms, 5000 * ms],
  );
  assert.equal(seen.spans[0]?.durationNs, 4 * ms);
});

test('a child whose arguments could not be read has its parent’s', () => {
  const seen = collect();
  const source = new ExecSource(noBuildId);
  source.addScanned([scanned({ pid: 50, commandLine: 'server --port 80' })], seen.sink);
  source.assemble(image({ parentPid: 50, commandLine: '' }), seen.sink);
  assert.equal(seen.started[1]?.commandLine, 'server --port 80');
});

test('the container comes from the control group', () => {
  const seen = collect();
  const source = new ExecSource(noBuildId);
  const id = 'ab'.repeat(32);
  source.assemble(image({ cgroupPath: `/system.slice/docker-${id}.scope` }), seen.sink);
  assert.equal(seen.started[0]?.containerId, id);
});

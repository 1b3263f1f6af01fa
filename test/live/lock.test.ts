/**
 * Source lock against programs whose waits for locks are known by construction: how long, for which lock, where, and who let go of it;
 * the sums also against those of source sched, which sees the same waits from the scheduler's side.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { kits } from '../../agent/sources/index.ts';
import type { Sample } from '../../agent/sources/source.ts';
import { buildZoo } from '../zoo/zoo.ts';
import { isEmulated, runSource, type SourceRun } from './source-run.ts';

const run = promisify(execFile);
const seconds = isEmulated ? 4 : 3;
/** Of times; those of an emulated machine are the host's too, which has other work. */
const tolerance = isEmulated ? 0.1 : 0.03;
const holdTolerance = isEmulated ? 0.3 : 0.1;

interface ThreadReport {
  readonly name: string;
  readonly tid: number;
  /** By the program's own clock: around its calls for the lock, and the part that is spent asleep between its own calls. */
  readonly lockNs: number;
  readonly waits: number;
  readonly heldNs: number;
  readonly holds: number;
}

const open: SourceRun[] = [];
after(async () => {
  for (const source of open) await source.stop();
});

async function observe(program: string, settings: Record<string, number> = {}) {
  const binary = await buildZoo('locks');
  const lock = await runSource(kits.lock, { settings });
  const sched = await runSource(kits.sched);
  open.push(lock, sched);
  const collect = (): void => {
    lock.collect();
    sched.collect();
  };
  const timer = setInterval(collect, 1000);
  const { stdout } = await run(binary, [program, String(seconds)]).finally(() => clearInterval(timer));
  for (const source of [lock, sched]) await source.flush();
  collect();
  collect();
  const counts = await lock.stop();
  await sched.stop();
  assert.equal(counts.inflight_full, 0, 'the maps had room');
  const reports = stdout.trim().split('\n').map(reportOf);
  return { reports, lock: lock.samples, sched: sched.samples, source: lock };
}

function reportOf(line: string): ThreadReport {
  const [name = '', ...numbers] = line.split(' ');
  const [tid = 0, lockNs = 0, waits = 0, heldNs = 0, holds = 0] = numbers.map(Number);
  return { name, tid, lockNs, waits, heldNs, holds };
}

function of(samples: readonly Sample[], profileType: string, tid: number, mark = ''): Sample[] {
  return samples.filter(
    sample => sample.profileType === profileType && sample.tid === tid && (sample.mark?.name ?? '').startsWith(mark),
  );
}

function sum(samples: readonly Sample[]): number {
  return samples.reduce((total, { value }) => total + value, 0);
}

function count(samples: readonly Sample[]): number {
  return samples.reduce((total, { count: times = 1 }) => total + times, 0);
}

for (const program of ['mutex', 'pi']) {
  test(`${program}: waits as sched and the program itself measure them, each with its lock and who let go`, async t => {
    const { reports, lock, sched, source } = await observe(program);
    for (const { name, tid, lockNs, waits, heldNs, holds: times } of reports) {
      const waited = of(lock, 'lock', tid);
      const blocked = sum(of(sched, 'offcpu', tid, 'blocked: lock'));
      // Woken, a thread waits for a CPU; that is part of its wait for the lock, and not of the time that it is blocked.
      const woken = sum(of(sched, 'runq', tid, 'runnable: woken'));
      const holds = of(lock, 'lockhold', tid);
      t.diagnostic(
        `${name}: ${count(waited)} waits of ${waits}, ${(sum(waited) / 1e6).toFixed(1)} ms; the program ${(lockNs / 1e6).toFixed(1)}, sched ${(blocked / 1e6).toFixed(1)} blocked and ${(woken / 1e6).toFixed(1)} woken; held ${(sum(holds) / 1e6).toFixed(1)} of ${(heldNs / 1e6).toFixed(1)} ms`,
      );
      assert.ok(sum(waited) >= (1 - tolerance) * blocked && sum(waited) <= (1 + tolerance) * (blocked + woken), 'as sched says');
      assert.ok(Math.abs(sum(waited) - lockNs) <= tolerance * lockNs, 'as the program says');
      // Those that began with a wait; the others are not seen.
      const mean = sum(holds) / count(holds);
      assert.ok(
        Math.abs(mean - heldNs / times) <= holdTolerance * (heldNs / times),
        `held for ${mean} of ${heldNs / times} ns each, about`,
      );
      // A thread that finds the lock taken again when it comes waits once more, and holds it after the last of its waits.
      assert.ok(count(holds) >= 0.95 * waits, `${count(holds)} holds after ${waits} calls that waited`);
      for (const sample of waited) assert.equal(sample.mark?.name, `lock fought_${program} (locks)`);
      assert.ok(
        waited.every(sample => sample.stack.user.length > 0 || sample.count === 0),
        'each wait has its stack',
      );
      assertWakers(waited, reports.find(other => other.tid !== tid)?.name ?? '');
    }
    assert.equal(source.malformed(), 0);
  });
}

/** At least 99 % of those that ended by being woken. */
function assertWakers(waited: readonly Sample[], other: string): void {
  const ended = waited.filter(sample => (sample.count ?? 0) > 0);
  const right = ended.filter(({ waker }) => waker?.name === other && (waker?.stack.user.length ?? 0) > 0);
  assert.ok(count(right) >= 0.99 * count(ended), `${count(right)} of ${count(ended)} name ${other} and where it let go`);
  const owned = right.filter(({ waker }) => waker?.mark?.name === 'let go by its owner');
  // The lock's word is read before the wait begins, and the lock may change hands in between.
  assert.ok(
    count(owned) >= 0.95 * count(right),
    `${count(owned)} of ${count(right)} were let go by the owner that the lock named`,
  );
}

test('conditions are no locks: left out, unless they are asked for', async () => {
  const without = await observe('condition');
  for (const { tid } of without.reports) assert.equal(count(of(without.lock, 'lock', tid, 'condition')), 0);
  const { reports, lock } = await observe('condition', { conditions: 1 });
  const waiter = reports.find(({ name }) => name === 'waiter');
  const poster = reports.find(({ name }) => name === 'poster');
  assert.ok(waiter !== undefined && poster !== undefined);
  const waited = of(lock, 'lock', waiter.tid, 'condition ');
  assert.ok(Math.abs(sum(waited) - waiter.lockNs) <= tolerance * waiter.lockNs, `${sum(waited)} of ${waiter.lockNs} ns`);
  assert.ok(waited.every(({ mark }) => mark?.kind === 'idle' && /^condition posted(\+0x\w+)? \(locks\)$/.test(mark.name)));
  const locks = sum(of(lock, 'lock', waiter.tid, 'lock ')) + sum(of(lock, 'lock', poster.tid, 'lock '));
  assert.ok(locks < 0.05 * waiter.lockNs, `${locks} ns of waits for the condition stand under its lock`);
});

test('a wait that lasts is told while it lasts, and once', async () => {
  const { reports, lock } = await observe('long');
  const waiter = reports.find(({ name }) => name === 'waiter');
  assert.ok(waiter !== undefined);
  const waited = of(lock, 'lock', waiter.tid);
  assert.ok(waited.filter(sample => sample.count === 0).length >= 1, 'told before its end');
  assert.ok(Math.abs(sum(waited) - waiter.lockNs) <= tolerance * waiter.lockNs, `${sum(waited)} of ${waiter.lockNs} ns`);
  assert.equal(count(waited), 1);
});

/** The whole way of Java's names: samples without them, a JVM that is asked, and the functions in the profile; and nothing of it unless wished. */

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { eventually, startAgent, type TestAgent } from './agent.ts';

const folder = mkdtempSync(join(tmpdir(), 'hotspan-jvm-test-'));
let java: ChildProcess | undefined;
after(() => {
  java?.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

function hasJava(): boolean {
  try {
    execFileSync('java', ['-version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Burns in one function of Java until it is killed; gives its pid. */
function startJava(): number {
  const burn = 'static long burnHere(long n) { long s = n; for (long i = 0; i < 100000; i++) s += s % (i + 7); return s; }';
  const main = 'public static void main(String[] a) { long t = 0; while (true) t += burnHere(t); }';
  writeFileSync(join(folder, 'Burn.java'), `public class Burn { ${burn} ${main} }\n`);
  java = spawn('java', ['-XX:+PreserveFramePointer', 'Burn.java'], { cwd: folder, stdio: 'ignore' });
  return java.pid as number;
}

const folded = (agent: TestAgent, pid: number) =>
  agent.text(`/api/v1/profile?type=cpu&from=now-1m&to=now&filter=pid%3D${pid}&format=folded`);

test('Java functions are named once the JVM was asked, and only if it may be', { timeout: 170_000 }, async t => {
  if (!hasJava()) {
    t.skip('no JVM is installed');
    return;
  }
  const pid = startJava();
  const mapPath = `/tmp/perf-${pid}.map`;
  const silent = await startAgent();
  await eventually('Java code without a name', 60_000, async () => /\[jit\]\+0x/.test(await folded(silent, pid)) || undefined);
  assert.equal(await silent.stop(), 0);
  assert.ok(!existsSync(mapPath), 'nobody asked for a map');

  const agent = await startAgent({ env: { HOTSPAN_JVM_PERF_MAP: 'true' } });
  await eventually(
    'burnHere in the profile',
    60_000,
    async () => (await folded(agent, pid)).includes('long Burn.burnHere(long)') || undefined,
  );
  assert.equal(await agent.stop(), 0);
  rmSync(mapPath);
});

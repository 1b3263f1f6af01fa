/** JVMs that are asked for the names of their code, and processes that must not be: real ones, with the symbolizer's eyes. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { loadAddon } from '../../../agent/bpf/addon.ts';
import type { FrameInfo, NativeSymbolizer } from '../../../agent/bpf/native.ts';
import { askJvm } from '../../../agent/jvm-attach.ts';
import { JvmPerfMaps } from '../../../agent/jvm-perf-maps.ts';
import { buildDir, hasCommand, packed, type RunningProgram, start } from './programs.ts';

let symbolizer: NativeSymbolizer;
before(() => {
  symbolizer = loadAddon().createSymbolizer({ maxBytes: 64 << 20 });
});
after(() => symbolizer.close());

const source = join(buildDir, 'Spin.java');
const body = `static long spinHere(long n) { long s = 0; for (long i = 0; i < n; i++) s += i % 7; return s; }
  static long later(long n) { long s = 1; for (long i = 1; i < n; i++) s ^= i * 31; return s; }
  static long run(boolean isLater) { long t = 0; for (int i = 0; i < 20000; i++) t += isLater ? later(1000) : spinHere(1000); return t; }
  public static void main(String[] a) throws Exception {
    long t = run(false); System.out.println("ready");
    while (System.in.read() >= 0) { t += run(true); System.err.println("later"); }
    System.exit(t != 0 ? 0 : 1); }`;

async function frameAt(pid: number, address: bigint): Promise<FrameInfo> {
  const [frame] = await symbolizer.describe(symbolizer.locate(pid, packed([address]), false));
  assert.ok(frame);
  return frame;
}

/** An address in memory of the process that is code and no file. */
function compiledAddress(pid: number): bigint {
  const line = readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .find(candidate => /^\S+ rwx. \S+ 00:00 0\s*$/.test(candidate));
  assert.ok(line);
  return BigInt(`0x${line.split('-')[0]}`);
}

/** Has a new observer see a sample of the process in code without a name; gives it once the JVM was asked. */
async function observed(pid: number, warnings: string[] = []): Promise<JvmPerfMaps> {
  const frame = await frameAt(pid, compiledAddress(pid));
  assert.equal(frame.kind, 'jvm');
  assert.ok(frame.isGuess);
  const maps = new JvmPerfMaps(message => warnings.push(message));
  maps.frame(frame);
  maps.observe(pid, Uint32Array.of(5000, frame.id));
  await maps.settle();
  return maps;
}

/** The address of a function, once the map has it. */
function addressOf(mapPath: string, name: RegExp): bigint {
  const line = readFileSync(mapPath, 'utf8')
    .split('\n')
    .find(candidate => name.test(candidate));
  assert.ok(line, `${mapPath} has ${name}`);
  return BigInt(`0x${(line.split(' ')[0] ?? '').replace(/^0x/, '')}`);
}

const skip = hasCommand('java') ? false : 'no JVM is installed';

describe('a JVM', { skip }, () => {
  before(() => writeFileSync(source, `public class Spin { ${body} }\n`));

  async function checkNames(program: RunningProgram, pid: number, mapPath: string): Promise<void> {
    const maps = await observed(pid);
    assert.equal(maps.written, 1);
    const address = addressOf(mapPath, /long Spin\.spinHere\(long\)/) + 8n;
    const named = async () => (await frameAt(pid, address)).lines[0]?.name;
    for (let i = 0; i < 100 && (await named()) !== 'long Spin.spinHere(long)'; i += 1) {
      await new Promise(resolve => setTimeout(resolve, 50));
    }
    const frame = await frameAt(pid, address);
    assert.equal(frame.lines[0]?.name, 'long Spin.spinHere(long)');
    assert.equal(frame.kind, 'jvm');
    assert.equal((await frameAt(pid, addressOf(mapPath, /\bInterpreter$/))).lines[0]?.name, 'Interpreter');
    // Once a minute is enough.
    maps.frame(await frameAt(pid, compiledAddress(pid)));
    maps.observe(pid, Uint32Array.of(5000));
    await maps.settle();
    assert.equal(maps.written, 1);
    assert.ok(
      !readdirSync(readlinkSync(`/proc/${pid}/cwd`)).some(name => name.startsWith('.attach_pid')),
      'nothing is left behind',
    );
    await program.stop();
  }

  test('is asked, and its functions have names', { timeout: 60_000 }, async () => {
    const program = await start('java', [source], buildDir);
    const mapPath = `/tmp/perf-${program.pid}.map`;
    assert.ok(!existsSync(mapPath));
    await checkNames(program, program.pid, mapPath);
    rmSync(mapPath, { force: true });
  });

  test('in a container, whose pids and files are its own', { timeout: 60_000 }, async t => {
    const script = `mount -t tmpfs none /tmp && mount -t proc proc /proc && mkdir /tmp/x && cp /mnt${source} /tmp/x/ && cd /tmp/x && exec java Spin.java`;
    try {
      execFileSync('unshare', ['--pid', '--fork', '--mount', 'true'], { stdio: 'ignore' });
    } catch {
      t.skip('unshare is not permitted here');
      return;
    }
    const outer = await start('unshare', [
      '--pid',
      '--fork',
      '--kill-child',
      '--mount',
      'sh',
      '-c',
      `mount --rbind / /mnt && ${script}`,
    ]);
    const inner = Number(readFileSync(`/proc/${outer.pid}/task/${outer.pid}/children`, 'utf8').trim());
    const maps = await observed(inner);
    assert.equal(maps.written, 1);
    const address = addressOf(`/proc/${inner}/root/tmp/perf-1.map`, /long Spin\.spinHere\(long\)/) + 8n;
    for (let i = 0; i < 100 && (await frameAt(inner, address)).isGuess; i += 1)
      await new Promise(resolve => setTimeout(resolve, 50));
    assert.equal((await frameAt(inner, address)).lines[0]?.name, 'long Spin.spinHere(long)');
    await outer.stop();
  });

  test('that takes no signals has its socket open from the start', { timeout: 60_000 }, async () => {
    const program = await start('java', ['-Xrs', source], buildDir);
    assert.equal((await observed(program.pid)).written, 1);
    await program.stop();
    rmSync(`/tmp/perf-${program.pid}.map`, { force: true });
  });

  test('that takes no attaching is asked once, and runs on', { timeout: 60_000 }, async () => {
    const program = await start('java', ['-XX:+DisableAttachMechanism', source], buildDir);
    const warnings: string[] = [];
    assert.equal((await observed(program.pid, warnings)).written, 0);
    assert.match(warnings.join(), /^Java code of process \d+ stays without names: .*does not open its socket/);
    assert.ok(existsSync(`/proc/${program.pid}/exe`), 'it still runs');
    assert.ok(!readdirSync(buildDir).some(name => name.startsWith('.attach_pid')));
    await program.stop();
  });
});

test('what is no JVM is not signalled', async () => {
  const program = await start('sh', ['-c', "trap 'echo signalled' QUIT; echo ready; read line; echo end"], buildDir);
  await assert.rejects(askJvm(program.pid, 'Compiler.perfmap'), /is no HotSpot JVM/);
  assert.ok(existsSync(`/proc/${program.pid}/exe`));
  await program.stop();
  await assert.rejects(askJvm(0x3ffffff, 'Compiler.perfmap'), /ENOENT/);
});

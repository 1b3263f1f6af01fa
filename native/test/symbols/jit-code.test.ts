/** Code made at run time, by Node, Python and the JVM, named from their perf-maps; and perf-maps that change under one's eyes. */

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { loadAddon } from '../../../agent/bpf/addon.ts';
import type { FrameInfo, NativeSymbolizer } from '../../../agent/bpf/native.ts';
import { build, buildDir, findPython, hasCommand, packed, sourceDir, start } from './programs.ts';

let symbolizer: NativeSymbolizer;
before(() => {
  symbolizer = loadAddon().createSymbolizer({ maxBytes: 64 << 20 });
});
after(() => symbolizer.close());

const locate = (pid: number, address: bigint) => symbolizer.locate(pid, packed([address]), false)[0] ?? 0;

async function frameAt(pid: number, address: bigint): Promise<FrameInfo> {
  const [frame] = await symbolizer.describe(Uint32Array.of(locate(pid, address)));
  assert.ok(frame);
  return frame;
}

/** First address of the last line whose name matches. */
function addressIn(perfMap: string, name: RegExp): bigint {
  const line = readFileSync(perfMap, 'utf8')
    .split('\n')
    .findLast(candidate => name.test(candidate));
  assert.ok(line, `${perfMap} has a line that matches ${name}`);
  return BigInt(`0x${(line.split(' ')[0] ?? '').replace(/^0x/, '')}`);
}

describe('Node', () => {
  test('functions of node --perf-basic-prof, also when the process is gone', async () => {
    const program = await start(process.execPath, ['--perf-basic-prof', join(sourceDir, 'hot.js')]);
    const mapPath = `/tmp/perf-${program.pid}.map`;
    const names = ['hotFunction', 'fillUp'];
    const ids = names.map(name => locate(program.pid, addressIn(mapPath, new RegExp(` JS:[*^+]'?${name} `)) + 8n));
    await program.stop();
    // The engine leaves its file behind; the symbolizer needs it no more, for it has it open.
    rmSync(mapPath);
    symbolizer.processExited(program.pid);
    const frames = await symbolizer.describe(Uint32Array.from(ids));
    for (const [i, name] of names.entries()) {
      assert.equal(frames[i]?.lines[0]?.name, name);
      assert.equal(frames[i]?.lines[0]?.file, join(sourceDir, 'hot.js'));
      assert.ok((frames[i]?.lines[0]?.line ?? 0) > 1);
      assert.equal(frames[i]?.kind, 'v8js');
      assert.equal(frames[i]?.module, '[jit]');
      assert.ok(!frames[i]?.isGuess);
    }
  });

  test('one function is one name in every tier that it was compiled in', async () => {
    const program = await start(process.execPath, ['--perf-basic-prof', join(sourceDir, 'hot.js')]);
    const mapPath = `/tmp/perf-${program.pid}.map`;
    const lines = readFileSync(mapPath, 'utf8').split('\n');
    const tiers = new Set<string>();
    for (const wanted of ['hotFunction', 'fillUp', 'countUp']) {
      // Compiled code only: what the interpreter runs lies in memory that is not executable.
      const own = lines.filter(line => line.includes(wanted) && / JS:[*^+]/.test(line));
      assert.ok(own.length > 0, `${wanted} was compiled`);
      for (const line of own) {
        const frame = await frameAt(program.pid, BigInt(`0x${line.split(' ')[0]}`) + 8n);
        // Code of a lower tier may be freed and other code put in its place.
        if (frame.lines[0]?.line === Number(/:(\d+):\d+$/.exec(line)?.[1])) assert.equal(frame.lines[0]?.name, wanted, line);
        tiers.add(/ JS:(\W+)/.exec(line)?.[1] ?? '');
      }
    }
    assert.ok(tiers.size >= 2, `tiers: ${[...tiers]}`);
    await program.stop();
    rmSync(mapPath);
  });

  test('without a perf-map the kind is known, not the name', async () => {
    const program = await start(process.execPath, [join(sourceDir, 'hot.js')]);
    const maps = readFileSync(`/proc/${program.pid}/maps`, 'utf8').split('\n');
    // V8's code range: executable memory without a file.
    const range = maps.find(line => /^\S+ r.x. \S+ 00:00 0\s*$/.test(line));
    assert.ok(range);
    const address = BigInt(`0x${range.split('-')[0]}`);
    const frame = await frameAt(program.pid, address);
    assert.equal(frame.kind, 'v8js');
    assert.equal(frame.lines[0]?.name, `[jit]+0x${address.toString(16)}`);
    assert.ok(frame.isGuess);
    await program.stop();
  });

  test('in a container, whose pids and files are its own', async t => {
    // The tree may lie under /tmp itself, so it is reached by another name.
    const program = `/mnt${process.execPath} --perf-basic-prof /mnt${join(sourceDir, 'hot.js')}`;
    const script = `mount --rbind / /mnt && mount -t tmpfs none /tmp && mount -t proc proc /proc && exec ${program}`;
    try {
      execFileSync('unshare', ['--pid', '--fork', '--mount', 'true'], { stdio: 'ignore' });
    } catch {
      t.skip('unshare is not permitted here');
      return;
    }
    const outer = await start('unshare', ['--pid', '--fork', '--kill-child', '--mount', 'sh', '-c', script]);
    const inner = Number(readFileSync(`/proc/${outer.pid}/task/${outer.pid}/children`, 'utf8').trim());
    const address = addressIn(`/proc/${inner}/root/tmp/perf-1.map`, / JS:[*^+]'?hotFunction /) + 8n;
    assert.ok(!existsSync('/tmp/perf-1.map'));
    const frame = await frameAt(inner, address);
    assert.equal(frame.lines[0]?.name, 'hotFunction');
    await outer.stop();
  });
});

describe('other engines', () => {
  const python = findPython('perf');
  test('Python with its perf trampoline', { skip: python ? false : 'no Python of 3.12 or later is installed' }, async () => {
    const path = join(buildDir, 'spin.py');
    writeFileSync(
      path,
      'import sys\ndef spin_here(n):\n  return sum(range(n))\nspin_here(9)\nprint("ready", flush=True)\nsys.stdin.read()\n',
    );
    const program = await start(python ?? '', ['-X', 'perf', path]);
    const mapPath = `/tmp/perf-${program.pid}.map`;
    const frame = await frameAt(program.pid, addressIn(mapPath, /py::spin_here/) + 1n);
    assert.deepEqual(frame.lines, [{ name: 'spin_here', file: path, line: 0 }]);
    assert.equal(frame.kind, 'cpython');
    await program.stop();
    rmSync(mapPath, { force: true });
  });

  const hasJava = hasCommand('java') && hasCommand('jcmd');
  test('the JVM after Compiler.perfmap', { skip: hasJava ? false : 'no JDK is installed' }, async () => {
    const path = join(buildDir, 'Spin.java');
    const body = `static long spinHere(long n) { long s = 0; for (long i = 0; i < n; i++) s += i % 7; return s; }
      public static void main(String[] a) throws Exception {
        long t = 0; for (int i = 0; i < 20000; i++) t += spinHere(1000);
        System.out.println("ready"); while (System.in.read() >= 0) {} System.exit(t > 0 ? 0 : 1); }`;
    writeFileSync(path, `public class Spin { ${body} }\n`);
    const program = await start('java', ['-XX:+PreserveFramePointer', path]);
    execFileSync('jcmd', [String(program.pid), 'Compiler.perfmap'], { stdio: 'ignore' });
    const mapPath = `/tmp/perf-${program.pid}.map`;
    const frame = await frameAt(program.pid, addressIn(mapPath, /long Spin\.spinHere\(long\)/) + 8n);
    assert.equal(frame.lines[0]?.name, 'long Spin.spinHere(long)');
    assert.equal(frame.kind, 'jvm');
    await program.stop();
    rmSync(mapPath, { force: true });
  });
});

describe('perf-maps that change', () => {
  /** jit-memory maps executable memory without a file, prints its address and waits. */
  async function jitProgram() {
    const path = build('jit-memory', 'gcc', ['-O2', '-o', '{out}', '{src}jit-memory.c']);
    const program = await start(path);
    return { program, base: BigInt(program.lines[0] ?? '0'), mapPath: `/tmp/perf-${program.pid}.map` };
  }

  const hex = (address: bigint) => address.toString(16);

  test('a name that comes late, and code that takes the place of other code, get new locations', async () => {
    const { program, base, mapPath } = await jitProgram();
    const early = await frameAt(program.pid, base);
    assert.equal(early.lines[0]?.name, `[anon]+0x${hex(base)}`);
    assert.equal(early.kind, 'unresolved');
    writeFileSync(mapPath, `${hex(base)} 100 first_code\n`);
    /** As the agent does: each location is described once, when it is new. The symbolizer looks for changes once a second. */
    const nextFrame = async (lastId: number) => {
      for (let i = 0; i < 200; i += 1) {
        if (locate(program.pid, base) !== lastId) return frameAt(program.pid, base);
        await new Promise(resolve => setTimeout(resolve, 50));
      }
      return assert.fail('the location has not changed');
    };
    const first = await nextFrame(early.id);
    assert.equal(first.lines[0]?.name, 'first_code');
    assert.equal(locate(program.pid, base), first.id, 'as long as nothing changes, it is the same location');
    appendFileSync(mapPath, `${hex(base + 0x40n)} 10 elsewhere\n${hex(base)} 80 second_code\n`);
    assert.equal((await nextFrame(first.id)).lines[0]?.name, 'second_code');
    await program.stop();
    rmSync(mapPath);
  });

  test('a file of someone else, or something that is no file, is not believed', async () => {
    const { program, base, mapPath } = await jitProgram();
    execFileSync('mkfifo', [mapPath]);
    assert.equal((await frameAt(program.pid, base)).kind, 'unresolved');
    rmSync(mapPath);
    writeFileSync(mapPath, `${hex(base)} 100 lie\n`);
    execFileSync('chown', ['12345', mapPath]);
    await new Promise(resolve => setTimeout(resolve, 1200));
    assert.equal((await frameAt(program.pid, base + 1n)).lines[0]?.name, `[anon]+0x${hex(base + 1n)}`);
    await program.stop();
    rmSync(mapPath);
  });

  test('a process whose /tmp is a file system that never answers does not stop us', { timeout: 20_000 }, async t => {
    if (!existsSync('/dev/fuse')) {
      t.skip('this kernel has no FUSE');
      return;
    }
    const path = build('jit-memory', 'gcc', ['-O2', '-o', '{out}', '{src}jit-memory.c']);
    const program = await start(path, ['silent']);
    const base = BigInt(program.lines[0] ?? '0');
    assert.equal((await frameAt(program.pid, base)).lines[0]?.name, `[anon]+0x${hex(base)}`);
    await program.stop();
  });

  test('a process that is gone and whose pid another one has', async () => {
    const { program, base, mapPath } = await jitProgram();
    writeFileSync(mapPath, `${hex(base)} 100 of_the_first\n`);
    const frame = await frameAt(program.pid, base);
    assert.equal(frame.lines[0]?.name, 'of_the_first');
    await program.stop();
    rmSync(mapPath);
    // The kernel gives the next process the pid that is asked for here.
    writeFileSync('/proc/sys/kernel/ns_last_pid', String(program.pid - 1));
    const other = spawn(join(buildDir, 'jit-memory'), [], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(other.stdout, 'data');
    if (other.pid === program.pid) {
      symbolizer.processChanged(program.pid);
      const again = await frameAt(program.pid, base);
      assert.notEqual(again.id, frame.id);
      assert.notEqual(again.lines[0]?.name, 'of_the_first');
    }
    other.stdin.end();
    await once(other, 'exit');
  });
});

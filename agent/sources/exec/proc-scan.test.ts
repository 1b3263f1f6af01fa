/** The files of /proc are read as proc(5) describes them, hostile names included. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCgroup, parseCommandLine, parseStat, scanProcesses, suspendedNs } from './proc-scan.ts';

const stat = (comm: string, state = 'S') =>
  `4711 (${comm}) ${state} 12 4711 4711 34816 4711 4194304 100 0 0 0 1 2 3 4 20 0 7 0 123456 1000000 500 18446744073709551615 1 1 0`;

test('stat: names may hold spaces, parentheses and what looks like fields', () => {
  for (const comm of ['sh', 'tmux: server', 'a) R 1 2 (b', '(sd-pam)', '']) {
    assert.deepEqual(parseStat(stat(comm)), { pid: 4711, comm, state: 'S', parentPid: 12, threads: 7, startTicks: 123456 });
  }
});

test('stat: what is not one is refused', () => {
  for (const text of ['', '4711', '4711 (sh', '4711 (sh) S 12', 'x (sh) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1', ')4711('])
    assert.equal(parseStat(text), undefined, text);
});

test('command line: words are joined by spaces, the closing NULs go', () => {
  assert.equal(parseCommandLine('node\0--max-old-space-size=4096\0app.js\0'), 'node --max-old-space-size=4096 app.js');
  assert.equal(parseCommandLine('sh\0-c\0a\nb\0\0'), 'sh -c a b');
  assert.equal(parseCommandLine(''), '');
});

test('cgroup: the unified path, or that of memory where all is in its root', () => {
  assert.equal(parseCgroup('0::/system.slice/ssh.service\n'), '/system.slice/ssh.service');
  assert.equal(parseCgroup('5:devices:/d\n4:memory:/docker/abc\n3:cpu,cpuacct:/c\n0::/\n'), '/docker/abc');
  assert.equal(parseCgroup('4:memory:/docker/abc\n0::/unified\n'), '/unified');
  assert.equal(parseCgroup('4:hugetlb,memory:/with:colon\n'), '/with:colon');
  assert.equal(parseCgroup('0::/\n'), '/');
  assert.equal(parseCgroup(''), '');
});

test('time suspended: hundredths of a second are rounding, more is real', () => {
  assert.equal(suspendedNs('100.01 50.00\n', 100.015e9), 0);
  assert.equal(suspendedNs('3700.00 50.00\n', 100e9), 3600e9);
});

test('a scan finds this process as it is', () => {
  const own = scanProcesses('/proc').find(({ pid }) => pid === process.pid);
  assert.ok(own !== undefined);
  assert.equal(own.executable, process.execPath);
  assert.equal(own.parentPid, process.ppid);
  const nowNs = Number(process.hrtime.bigint());
  const ageNs = nowNs - own.startNs;
  assert.ok(Math.abs(ageNs - process.uptime() * 1e9) < 0.3e9, `age ${ageNs} against uptime ${process.uptime()}`);
  assert.ok(own.seenNs > own.startNs && own.seenNs <= nowNs);
});

test('a scan of kernel threads has no executable and no command line', () => {
  const kthreadd = scanProcesses('/proc').find(({ pid }) => pid === 2);
  if (kthreadd?.comm !== 'kthreadd') return; // In a pid namespace, process 2 is any process.
  assert.equal(kthreadd.executable, '');
  assert.equal(kthreadd.commandLine, '');
});

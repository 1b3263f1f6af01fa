/**
 * Source tcp tells the truth: connections of a program that knows its own, in a network namespace of their own, are there with their
 * bytes, ends and owners; the sums are the kernel's own of /proc/net/snmp, and a connection's figures those of ss.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { kits } from '../../agent/sources/index.ts';
import type { SourceKit, Span } from '../../agent/sources/source.ts';
import { buildZoo } from '../zoo/zoo.ts';
import { accountedFor, isEmulated, runSource, type SourceRun } from './source-run.ts';

const kit = kits.tcp as unknown as SourceKit;
const patience = isEmulated ? 500 : 100;

/** Of /proc/net/snmp, in the order in which test/zoo/tcpcalls.c prints them. */
const counters = ['ActiveOpens', 'PassiveOpens', 'AttemptFails', 'EstabResets', 'RetransSegs'] as const;
type Snmp = Readonly<Record<(typeof counters)[number], number>>;

/** The program, told what to do line by line. */
class Caller {
  readonly pid: number;
  private readonly child: ChildProcess;
  private readonly lines: Interface;

  private constructor(child: ChildProcess, lines: Interface) {
    this.child = child;
    this.lines = lines;
    this.pid = child.pid ?? 0;
  }

  static async start(): Promise<Caller> {
    const child = spawn(await buildZoo('tcpcalls'), { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface({ input: child.stdout! });
    await once(lines, 'line');
    return new Caller(child, lines);
  }

  get netns(): number {
    return statSync(`/proc/${this.pid}/ns/net`).ino;
  }

  async do(command: string): Promise<number[]> {
    const answer = once(this.lines, 'line', { signal: AbortSignal.timeout(120_000) });
    this.child.stdin!.write(`${command}\n`);
    const [word, ...numbers] = String((await answer)[0]).split(' ');
    assert.equal(word, 'ok', command);
    return numbers.map(Number);
  }

  async snmp(): Promise<Snmp> {
    const values = await this.do('snmp');
    return Object.fromEntries(counters.map((name, i) => [name, values[i]])) as Snmp;
  }

  /** A command in its network namespace; '' where it fails. */
  inside(command: string): string {
    try {
      return execFileSync('nsenter', ['-t', String(this.pid), '-n', 'sh', '-c', command], { encoding: 'utf8', stdio: 'pipe' });
    } catch {
      return '';
    }
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.stdin!.end();
    await ended;
  }
}

async function observing<T>(
  settings: Readonly<Record<string, number>>,
  work: (source: SourceRun, caller: Caller) => Promise<T>,
  maxEntries: Readonly<Record<string, number>> = {},
): Promise<T> {
  const caller = await Caller.start();
  try {
    const source = await runSource(kit, { settings: { netns: caller.netns, ...settings }, maxEntries });
    try {
      return await work(source, caller);
    } finally {
      await source.stop();
    }
  } finally {
    await caller.end();
  }
}

function snmpOf(source: SourceRun): Snmp {
  const calls = Object.fromEntries(source.running.sums().map(sums => [sums.operation, sums.calls]));
  const of = (name: string): number => calls[name] ?? 0;
  return {
    ActiveOpens: of('connect'),
    PassiveOpens: of('accept'),
    AttemptFails: of('refused') + of('timed_out') + of('failed'),
    EstabResets: of('reset'),
    RetransSegs: of('retransmit'),
  };
}

function numberOf(span: Span, name: string): number {
  return Number(span.attributes[name]);
}

/** Of the server's and the client's view of one connection, by the client's port. */
function viewsOf(spans: readonly Span[], port: number): { client: Span; server: Span } {
  const own = spans.filter(span => numberOf(span, 'client.port') === port);
  const client = own.find(span => span.name === 'tcp client');
  const server = own.find(span => span.name === 'tcp server');
  assert.ok(client !== undefined && server !== undefined, `both sides of port ${port}: ${own.map(({ name }) => name).join()}`);
  return { client, server };
}

test('every connection and every failure is there, as the program made it and as the kernel counts it', async t => {
  await observing({}, async (source, caller) => {
    const echoes = await caller.do('echo 40');
    await caller.do('refuse 7');
    await caller.do('reset 5');
    await caller.do('abandon 3');
    await caller.do('timeout');
    await sleep(patience);
    const snmp = await caller.snmp();
    t.diagnostic(`hotspan ${JSON.stringify(snmpOf(source))}, snmp ${JSON.stringify(snmp)}`);
    for (const { name, runCount, runTimeNs } of source.running.programs())
      t.diagnostic(`${name}: ${runCount} runs, ${(runTimeNs / Math.max(1, runCount)).toFixed(0)} ns each`);
    assert.deepEqual(snmpOf(source), snmp);
    await source.flush();
    const { spans } = source;
    for (let i = 0; i < echoes.length; i += 3) {
      const [port = 0, sent = 0, received = 0] = echoes.slice(i, i + 3);
      const { client, server } = viewsOf(spans, port);
      for (const [span, out, back] of [
        [client, sent, received],
        [server, received, sent],
      ] as const) {
        assert.equal(numberOf(span, 'hotspan.tcp.bytes_sent'), out, `${span.name} ${port}`);
        assert.equal(numberOf(span, 'hotspan.tcp.bytes_received'), back, `${span.name} ${port}`);
        assert.equal(span.error, '');
        assert.equal(span.pid, caller.pid, `${span.name} belongs to the program`);
        assert.equal(span.attributes['server.address'], '127.0.0.1');
        assert.ok((span.stack?.user.length ?? 0) > 0, `${span.name}: a user stack`);
        assert.ok(span.durationNs > 0 && numberOf(span, 'hotspan.tcp.handshake_ms') >= 0);
      }
    }
    const failures = spans.filter(span => span.name === 'tcp connect').map(span => span.error);
    const count = (error: string): number => failures.filter(name => name === error).length;
    assert.deepEqual([count('ECONNREFUSED'), count('ETIMEDOUT'), count('abandoned')], [7, 1, 3], failures.join(' '));
    assert.equal(spans.filter(span => span.name === 'tcp server' && span.error === 'ECONNRESET').length >= 5, true);
    const counts = await source.stop();
    assert.equal(counts.seen, accountedFor(counts), JSON.stringify(counts));
  });
});

/**
 * One packet in twenty never arrives: by netem where the kernel has it, else by a classic BPF filter on the way in that throws dice
 * (load a random number, compare, TC_ACT_OK or TC_ACT_SHOT). The sender learns of neither.
 */
const losses = {
  netem: 'tc qdisc add dev lo root netem loss 5%',
  filter:
    "tc qdisc add dev lo clsact && tc filter add dev lo ingress bpf da bytecode '4,32 0 0 4294963256,37 0 1 214748364,6 0 0 0,6 0 0 2'",
} as const;

function makeLossy(caller: Caller): keyof typeof losses {
  // Packets as on a wire, up to four at a time.
  caller.inside('ip link set lo mtu 1500 gso_max_segs 4');
  caller.inside(losses.netem);
  if (caller.inside('tc qdisc show dev lo').includes('netem')) return 'netem';
  caller.inside(losses.filter);
  assert.match(caller.inside('tc filter show dev lo ingress'), /bpf/, 'there is no way to lose packets here');
  return 'filter';
}

/** What ss says of the connection whose local port it is. */
function ssOf(
  caller: Caller,
  port: number,
): { sent: number; resent: number; received: number; retransmits: number; rtt: number } {
  const text = caller.inside(`ss -tinH sport = :${port}`);
  const number = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0);
  assert.match(text, /bytes_sent/, text);
  return {
    sent: number(/bytes_sent:(\d+)/),
    resent: number(/bytes_retrans:(\d+)/),
    received: number(/bytes_received:(\d+)/),
    retransmits: number(/retrans:\d+\/(\d+)/),
    rtt: number(/ rtt:([\d.]+)/),
  };
}

test('what is lost and sent again is what ss and snmp say, while open and when closed', async t => {
  const bytes = isEmulated ? 2_000_000 : 6_000_000;
  await observing({}, async (source, caller) => {
    const how = makeLossy(caller);
    const [port = 0] = await caller.do(`bulk ${bytes}`);
    await sleep(patience);
    const ss = ssOf(caller, port);
    const snmp = await caller.snmp();
    const open = Object.fromEntries(source.running.sums().map(sums => [sums.operation, sums]));
    t.diagnostic(`${how}: hotspan ${JSON.stringify(snmpOf(source))}, snmp ${JSON.stringify(snmp)}, ss ${JSON.stringify(ss)}`);
    assert.ok(snmp.RetransSegs > 0, 'packets were lost');
    assert.deepEqual(snmpOf(source), snmp);
    const summed = open.send?.bytes ?? 0;
    assert.ok(summed > 0 && summed <= bytes, `${summed} bytes of an open connection are summed up`);
    caller.inside('tc qdisc del dev lo root; tc qdisc del dev lo clsact');
    await caller.end();
    await sleep(patience);
    await source.flush();
    const { client, server } = viewsOf(source.spans, port);
    t.diagnostic(JSON.stringify(client.attributes));
    assert.equal(numberOf(client, 'hotspan.tcp.bytes_sent'), bytes);
    assert.equal(numberOf(client, 'hotspan.tcp.bytes_sent'), ss.sent - ss.resent);
    assert.equal(numberOf(client, 'hotspan.tcp.bytes_retransmitted'), ss.resent);
    assert.equal(numberOf(client, 'hotspan.tcp.retransmits'), ss.retransmits);
    // A SYN's answer that is sent again is of no connection yet.
    const unbound = snmp.RetransSegs - numberOf(client, 'hotspan.tcp.retransmits');
    assert.ok(unbound >= 0 && unbound <= 8, `${unbound} segments were sent again outside of the connection`);
    assert.equal(numberOf(server, 'hotspan.tcp.bytes_received'), bytes);
    const rtt = numberOf(client, 'hotspan.tcp.rtt_ms');
    // The last packets of the connection, after ss looked, weigh an eighth each.
    if (!isEmulated) assert.ok(rtt >= 0.5 * ss.rtt && rtt <= 1.5 * ss.rtt, `a round trip of ${rtt} ms, ${ss.rtt} by ss`);
    assert.equal(source.running.sums().find(sums => sums.operation === 'send')?.bytes, bytes);
  });
});

test('connections that were open before are those of who has them open, and their bytes count from the start on', async () => {
  const caller = await Caller.start();
  try {
    const [port = 0] = await caller.do('bulk 300000');
    const source = await runSource(kit, { settings: { netns: caller.netns } });
    try {
      await caller.end();
      await sleep(patience);
      await source.flush();
      const { client, server } = viewsOf(source.spans, port);
      for (const span of [client, server]) {
        assert.deepEqual(
          [span.pid, span.comm, span.attributes['hotspan.tcp.is_older']],
          [caller.pid, 'tcpcalls', true],
          span.name,
        );
        assert.ok(span.startNs > 0 && span.durationNs < 60e9, 'its span begins with the source');
      }
      assert.equal(numberOf(client, 'hotspan.tcp.bytes_sent'), 300_000);
      assert.equal(numberOf(server, 'hotspan.tcp.bytes_received'), 300_000);
      assert.equal(source.running.sums().find(sums => sums.operation === 'send')?.bytes, 0);
      const counts = await source.stop();
      assert.equal(counts.no_entry ?? 0, 0);
      assert.equal(counts.seen, accountedFor(counts), JSON.stringify(counts));
    } finally {
      await source.stop();
    }
  } finally {
    await caller.end();
  }
});

test('connections beyond those that there is room for are counted, and the sums miss none', async () => {
  await observing(
    {},
    async (source, caller) => {
      await caller.do('echo 10');
      await sleep(patience);
      assert.deepEqual(snmpOf(source), await caller.snmp());
      await source.flush();
      const counts = await source.stop();
      assert.ok((counts.no_entry ?? 0) > 0, JSON.stringify(counts));
      assert.equal(counts.seen, accountedFor(counts), JSON.stringify(counts));
    },
    { tcp_connections: 1 },
  );
});

test('only one process, only connections that lived long', async () => {
  await observing({ pid: 1 }, async (source, caller) => {
    await caller.do('echo 5');
    await source.flush();
    assert.equal(source.spans.length, 0);
    assert.equal((await source.stop()).filtered, 10);
  });
  await observing({ min: 3600e3 }, async (source, caller) => {
    await caller.do('echo 5');
    await source.flush();
    assert.equal(source.spans.length, 0);
    assert.equal((await source.stop()).below_min, 10);
  });
});

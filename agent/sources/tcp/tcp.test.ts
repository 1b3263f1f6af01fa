import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TcpConnectionEvent } from '../../events/index.ts';
import type { Span } from '../source.ts';
import { ipv4Text, ipv6Text, mappedIpv4 } from './ip-address.ts';
import { TcpSource, tcpFlags } from './tcp.ts';

const header = readFileSync(join(import.meta.dirname, '../../../bpf/tcp/tcp.h'), 'utf8');

/** The bytes of an address in memory as numbers, as the kernel's program reads them. */
function words(bytes: readonly number[]): [high: bigint, low: bigint] {
  const buffer = Buffer.from(bytes);
  return [buffer.readBigUInt64LE(0), buffer.readBigUInt64LE(8)];
}

const connection: TcpConnectionEvent = {
  kind: 'connection',
  timeNs: 9_000_000,
  cpu: 0,
  sizeBytes: 0,
  pid: 7,
  tid: 8,
  ageNs: 5_000_000,
  handshakeNs: 1_500_000,
  sent: 100,
  received: 200,
  resent: 0,
  stack: 0n,
  cgroupId: 1n,
  localHigh: 0n,
  localLow: 0x0100000an,
  peerHigh: 0n,
  peerLow: 0x0200000an,
  retransmits: 0,
  rttUs: 1500,
  rttMinUs: 900,
  netns: 42,
  error: 0,
  flags: tcpFlags.client | tcpFlags.owned,
  localPort: 40000,
  peerPort: 80,
  lastState: 4,
  comm: 'curl',
};

function spanOf(fields: Partial<TcpConnectionEvent>): Span {
  const spans: Span[] = [];
  const unused = (): never => assert.fail('source tcp makes spans only');
  new TcpSource({ want: () => new Uint32Array(0), wantUser: () => new Uint32Array(0), of: () => [] }).assemble(
    { ...connection, ...fields },
    { span: span => void spans.push(span), sample: unused, processStarted: unused, processExited: unused, drop: unused },
  );
  assert.equal(spans.length, 1);
  return spans[0]!;
}

test('knows the bits of the header', () => {
  const bit = (name: string): number => Number(new RegExp(`#define TCP_FLAG_${name} (\\d+)`).exec(header)?.[1]);
  const { client, ipv6, noStack, owned, older } = tcpFlags;
  assert.deepEqual([client, ipv6, noStack, owned, older], ['CLIENT', 'IPV6', 'NO_STACK', 'OWNED', 'OLDER'].map(bit));
});

test('a connection is a span of its owner, named by its side', () => {
  const span = spanOf({});
  assert.deepEqual([span.name, span.startNs, span.durationNs, span.pid, span.error], ['tcp client', 4_000_000, 5_000_000, 7, '']);
  assert.deepEqual(span.attributes, {
    'network.transport': 'tcp',
    'network.type': 'ipv4',
    'network.local.address': '10.0.0.1',
    'network.local.port': 40000,
    'network.peer.address': '10.0.0.2',
    'network.peer.port': 80,
    'client.address': '10.0.0.1',
    'client.port': 40000,
    'server.address': '10.0.0.2',
    'server.port': 80,
    'hotspan.tcp.bytes_sent': 100,
    'hotspan.tcp.bytes_received': 200,
    'hotspan.tcp.retransmits': 0,
    'hotspan.network.namespace': 42,
    'hotspan.tcp.handshake_ms': 1.5,
    'hotspan.tcp.rtt_ms': 1.5,
    'hotspan.tcp.rtt_min_ms': 0.9,
  });
  const server = spanOf({ flags: tcpFlags.owned });
  assert.equal(server.name, 'tcp server');
  assert.equal(server.attributes['client.address'], '10.0.0.2');
  assert.equal(server.attributes['server.port'], 40000);
});

test('one that was open before is no try to connect, and says that it is older', () => {
  const older = spanOf({ flags: tcpFlags.client | tcpFlags.owned | tcpFlags.older, handshakeNs: 0 });
  assert.deepEqual([older.name, older.attributes['hotspan.tcp.is_older']], ['tcp client', true]);
  assert.equal(spanOf({ handshakeNs: 0 }).name, 'tcp connect');
});

test('says how it ended', () => {
  assert.equal(spanOf({ error: 104, lastState: 1 }).error, 'ECONNRESET');
  assert.equal(spanOf({ lastState: 1 }).error, 'reset');
  assert.equal(spanOf({ lastState: 8 }).error, 'reset');
  const refused = spanOf({ error: 111, lastState: 2, handshakeNs: 0 });
  assert.deepEqual([refused.name, refused.error], ['tcp connect', 'ECONNREFUSED']);
  assert.equal(spanOf({ lastState: 2, handshakeNs: 0 }).error, 'abandoned');
});

test('addresses as people write them', () => {
  assert.equal(ipv4Text(0x0100007fn), '127.0.0.1');
  const loopback = words([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  assert.equal(ipv6Text(...loopback), '::1');
  assert.equal(mappedIpv4(...loopback), undefined);
  const long = words([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
  assert.equal(ipv6Text(...long), '2001:db8::1:0:0:1');
  const single = words([0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
  assert.equal(ipv6Text(...single), '2001:db8:0:1:1:1:1:1');
  assert.equal(mappedIpv4(...words([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 0, 9])), '192.168.0.9');
  assert.equal(
    spanOf({ flags: tcpFlags.client | tcpFlags.ipv6, peerLow: 0x0100007fffff0000n }).attributes['network.type'],
    'ipv4',
  );
});

/** Source tcp: connections as spans, from the first packet to the end. */

import type { TcpConnectionEvent, TcpEvent } from '../../events/index.ts';
import { errnoName } from '../../lib/errno-name.ts';
import { attributes } from '../attributes.ts';
import type { FunctionNames } from '../function-names.ts';
import { KnownStacks } from '../known-stacks.ts';
import type { AttributeValue, Hook, HookWay, Sink, Source } from '../source.ts';
import { ipv4Text, ipv6Text, mappedIpv4 } from './ip-address.ts';

/** TCP_FLAG_* of bpf/tcp/tcp.h; tcp.test.ts reads them from there. */
export const tcpFlags = { client: 1, ipv6: 2, noStack: 4, owned: 8, older: 16 } as const;

/** The kernel's tcp_states.h. */
const state = { established: 1, synSent: 2, synRecv: 3, closeWait: 8 } as const;

const tracepoints = (...programs: string[]): HookWay => ({
  name: 'btf_tracepoint',
  programs: programs.map(program => ({ program, attach: { type: 'auto' } })),
});

export const tcpHooks: readonly Hook[] = [
  {
    observes: 'who accepts connections (accept, accept4)',
    ways: [
      {
        name: 'tracepoint',
        programs: ['sys_exit_accept', 'sys_exit_accept4'].map(name => ({
          program: 'accept_exit',
          attach: { type: 'tracepoint', category: 'syscalls', name },
        })),
      },
    ],
  },
  {
    observes: 'connections (inet_sock_set_state, tcp_destroy_sock)',
    ways: [tracepoints('tcp_destroy', 'tcp_state')],
  },
  { observes: 'bytes of open connections (tcp_probe)', ways: [tracepoints('tcp_flow')] },
  {
    observes: 'what is sent again (tcp_retransmit_skb, tcp_retransmit_synack)',
    ways: [tracepoints('tcp_resend', 'tcp_resend_ack')],
  },
];

export class TcpSource implements Source<'tcp'> {
  readonly name = 'tcp';
  readonly needs = tcpHooks;
  readonly stacks: KnownStacks;

  constructor(names: Pick<FunctionNames, 'want' | 'wantUser' | 'of'>) {
    this.stacks = new KnownStacks(names);
  }

  assemble(event: TcpEvent, sink: Sink): void {
    if (event.kind === 'stack') {
      this.stacks.tell(event);
      return;
    }
    const { timeNs, ageNs, pid, tid, comm } = event;
    sink.span({
      name: nameOf(event),
      startNs: timeNs - ageNs,
      durationNs: ageNs,
      pid,
      tid,
      comm,
      spanKey: 0n,
      parentKey: 0n,
      traceKey: 0n,
      error: errorOf(event),
      attributes: attributesOf(event),
      stack: this.stacks.shown(this.stacks.get(event.stack, timeNs)),
    });
  }
}

function isClient({ flags }: TcpConnectionEvent): boolean {
  return (flags & tcpFlags.client) !== 0;
}

/** It was open before the source was started: its span begins then, and its bytes are of its whole life. */
function isOlder({ flags }: TcpConnectionEvent): boolean {
  return (flags & tcpFlags.older) !== 0;
}

function nameOf(event: TcpConnectionEvent): string {
  if (!isClient(event)) return 'tcp server';
  return event.handshakeNs === 0 && !isOlder(event) ? 'tcp connect' : 'tcp client';
}

/** What the program was told, or would have been; "reset" where this side broke the connection off without an error of its own. */
function errorOf({ error, lastState }: TcpConnectionEvent): string {
  if (error !== 0) return errnoName(error);
  if (lastState === state.established || lastState === state.closeWait) return 'reset';
  return lastState === state.synSent || lastState === state.synRecv ? 'abandoned' : '';
}

function attributesOf(event: TcpConnectionEvent): Record<string, AttributeValue> {
  const local = { address: addressOf(event, event.localHigh, event.localLow), port: event.localPort };
  const peer = { address: addressOf(event, event.peerHigh, event.peerLow), port: event.peerPort };
  const [client, server] = isClient(event) ? [local, peer] : [peer, local];
  // What tells connections apart comes first: a list shows no more than that.
  const values: Record<string, AttributeValue> = {
    [attributes.serverAddress]: server.address,
    [attributes.serverPort]: server.port,
    [attributes.clientAddress]: client.address,
    [attributes.clientPort]: client.port,
    [attributes.tcpBytesSent]: event.sent,
    [attributes.tcpBytesReceived]: event.received,
    [attributes.tcpRetransmits]: event.retransmits,
    [attributes.networkTransport]: 'tcp',
    [attributes.networkType]: peer.address.includes(':') ? 'ipv6' : 'ipv4',
    [attributes.networkLocalAddress]: local.address,
    [attributes.networkLocalPort]: local.port,
    [attributes.networkPeerAddress]: peer.address,
    [attributes.networkPeerPort]: peer.port,
    [attributes.networkNamespace]: event.netns,
  };
  if (isOlder(event)) values[attributes.tcpIsOlder] = true;
  if (event.resent > 0) values[attributes.tcpBytesResent] = event.resent;
  if (event.handshakeNs > 0) values[attributes.tcpHandshake] = event.handshakeNs / 1e6;
  if (event.rttUs > 0) {
    values[attributes.tcpRtt] = event.rttUs / 1e3;
    values[attributes.tcpRttMin] = event.rttMinUs / 1e3;
  }
  return values;
}

function addressOf({ flags }: TcpConnectionEvent, high: bigint, low: bigint): string {
  return (flags & tcpFlags.ipv6) === 0 ? ipv4Text(low) : (mappedIpv4(high, low) ?? ipv6Text(high, low));
}

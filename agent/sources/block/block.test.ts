import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BlockRequestEvent, BlockStackEvent } from '../../events/index.ts';
import type { Span } from '../source.ts';
import { BlockSource, blockFlags } from './block.ts';
import { blockMark } from './block-collector.ts';
import { blockError, deviceNumber } from './block-device.ts';

const header = readFileSync(join(import.meta.dirname, '../../../bpf/block/block.h'), 'utf8');

const request: BlockRequestEvent = {
  kind: 'request',
  timeNs: 5_000_000,
  cpu: 0,
  sizeBytes: 0,
  pid: 7,
  tid: 8,
  latencyNs: 3_000_000,
  deviceNs: 2_000_000,
  size: 4096,
  sector: 80n,
  stack: 9n,
  cgroupId: 1n,
  operation: 'write',
  error: 0,
  device: (254 << 20) | 1,
  flags: 0,
  comm: 'dd',
  deviceName: 'vdb',
  work: '',
};

const told: BlockStackEvent = {
  kind: 'stack',
  timeNs: 1,
  cpu: 0,
  sizeBytes: 0,
  pid: 7,
  tid: 8,
  stack: 9n,
  userEnd: 'root',
  kernelStack: new Uint8Array(16).fill(1),
  userStack: new Uint8Array(8).fill(2),
  userRaw: new Uint8Array(),
};

function spanOf(fields: Partial<BlockRequestEvent>): Span {
  const spans: Span[] = [];
  const unused = (): never => assert.fail('records make spans only');
  const sink = {
    span: (span: Span) => void spans.push(span),
    sample: unused,
    processStarted: unused,
    processExited: unused,
    drop: unused,
  };
  const source = new BlockSource({ want: () => new Uint32Array(0), wantUser: () => new Uint32Array(0), of: () => [] });
  source.assemble(told, sink);
  source.assemble({ ...request, ...fields }, sink);
  assert.equal(spans.length, 1);
  return spans[0]!;
}

test('knows the bits of the header', () => {
  const bit = (name: string): number => Number(new RegExp(`#define BLOCK_FLAG_${name} (\\d+)`).exec(header)?.[1]);
  assert.deepEqual(blockFlags, {
    kernel: bit('KERNEL'),
    writeback: bit('WRITEBACK'),
    notSent: bit('NOT_SENT'),
    noStack: bit('NO_STACK'),
    flushes: bit('FLUSHES'),
  });
});

test('a request is a span of its asker, from its making to its answer', () => {
  const span = spanOf({});
  assert.equal(span.name, 'disk write');
  assert.deepEqual([span.startNs, span.durationNs, span.pid, span.tid, span.comm], [2_000_000, 3_000_000, 7, 8, 'dd']);
  assert.deepEqual(span.attributes, {
    'system.device': 'vdb',
    'hotspan.block.device': '254:1',
    'hotspan.block.bytes': 4096,
    'hotspan.block.queue_ms': 1,
    'hotspan.block.device_ms': 2,
    'hotspan.block.asked_by': 'process',
    'hotspan.block.sector': 80n,
  });
  assert.deepEqual([span.stack?.kernel.length, span.stack?.user.length], [16, 8]);
});

test('a stack that was not told is an empty one', () => {
  assert.equal(spanOf({ stack: 10n }).stack?.kernel.length, 0);
});

test('says what a thread of the kernel was at', () => {
  const { attributes } = spanOf({ flags: blockFlags.kernel | blockFlags.writeback, work: 'flush-254:0' });
  assert.equal(attributes['hotspan.block.asked_by'], 'writeback');
  assert.equal(attributes['hotspan.thread.work'], 'flush-254:0');
  assert.equal(spanOf({ flags: blockFlags.kernel }).attributes['hotspan.block.asked_by'], 'kernel');
});

test('what the device was not given has no place on it', () => {
  assert.equal(spanOf({ flags: blockFlags.notSent, size: 0 }).attributes['hotspan.block.sector'], undefined);
});

test('errors of all kernels have the names that programs get', () => {
  assert.equal(blockError(0), '');
  assert.equal(blockError(-5), 'EIO');
  assert.equal(blockError(10), 'EIO');
  assert.equal(blockError(3), 'ENOSPC');
  assert.equal(blockError(200), 'EIO');
  assert.equal(deviceNumber((8 << 20) | 16), '8:16');
});

test('marks tell queue from device and from a flush, and what was written back', () => {
  assert.deepEqual(blockMark('read', 0, 'queue'), { name: 'disk read: queue', kind: 'disk' });
  assert.deepEqual(blockMark('write', blockFlags.writeback, 'device'), { name: 'disk write (writeback): device', kind: 'disk' });
  assert.equal(blockMark('write', blockFlags.flushes, 'queue').name, 'disk write: flush');
  assert.equal(blockMark('write', blockFlags.flushes, 'device').name, 'disk write: device');
});

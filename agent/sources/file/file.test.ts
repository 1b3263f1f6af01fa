import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FileEvent } from '../../events/index.ts';
import type { Span } from '../source.ts';
import { FileSource, known } from './file.ts';

const header = readFileSync(join(import.meta.dirname, '../../../bpf/file/file.h'), 'utf8');

const none = new Uint8Array();

function event(fields: Partial<FileEvent>): FileEvent {
  return {
    kind: 'file',
    timeNs: 1_000_500,
    cpu: 0,
    sizeBytes: 0,
    pid: 7,
    tid: 8,
    latencyNs: 500,
    result: 3,
    requestedBytes: 0,
    fileBytes: 0,
    inode: 0n,
    cgroupId: 1n,
    operation: 'open',
    device: 0,
    openFlags: 0,
    openMode: 0,
    comm: 'cat',
    known: 0,
    path: '/etc/passwd',
    kernelStack: none,
    userStack: none,
    userRaw: none,
    userEnd: 'none',
    ...fields,
  };
}

function spanOf(fields: Partial<FileEvent>): Span {
  const spans: Span[] = [];
  const unused = (): never => assert.fail('source file makes spans only');
  new FileSource([]).assemble(event(fields), {
    span: span => void spans.push(span),
    sample: unused,
    processStarted: unused,
    processExited: unused,
    drop: unused,
  });
  assert.equal(spans.length, 1);
  return spans[0]!;
}

test('knows the bits of the header', () => {
  const bit = (name: string): number => Number(new RegExp(`#define ${name} (\\d+)`).exec(header)?.[1]);
  assert.deepEqual(known, {
    pathIsCut: bit('FILE_PATH_IS_CUT'),
    hasFlags: bit('FILE_HAS_FLAGS'),
    hasInode: bit('FILE_HAS_INODE'),
  });
});

test('an open begins its latency before the moment of the record', () => {
  const span = spanOf({
    known: known.hasFlags | known.hasInode,
    openFlags: 0o100 | 1,
    openMode: 0o644,
    device: (8 << 20) | 1,
    inode: 5n,
  });
  assert.equal(span.name, 'open');
  assert.equal(span.startNs, 1_000_000);
  assert.equal(span.durationNs, 500);
  assert.equal(span.error, '');
  assert.deepEqual(span.attributes, {
    'hotspan.call.result': 3,
    'file.path': '/etc/passwd',
    'file.size': 0,
    'hotspan.file.inode': 5n,
    'hotspan.file.device': '8:1',
    'hotspan.file.open_flags': 'O_WRONLY|O_CREAT',
    'hotspan.file.open_mode': '0644',
  });
});

test('an open that failed is an error and has no inode', () => {
  const span = spanOf({ result: -2, known: known.hasFlags });
  assert.equal(span.error, 'ENOENT');
  assert.equal(span.attributes['hotspan.call.result'], -2);
  assert.ok(!('file.size' in span.attributes));
});

test('a read tells what was asked for', () => {
  const span = spanOf({ operation: 'read', requestedBytes: 4096, result: 100, known: known.hasInode, fileBytes: 100 });
  assert.equal(span.attributes['hotspan.io.requested_bytes'], 4096);
  assert.equal(span.attributes['file.size'], 100);
  assert.ok(!('hotspan.file.open_flags' in span.attributes));
});

test('a name that was cut says so; a path whose front is missing says so by itself', () => {
  assert.equal(spanOf({ known: known.pathIsCut, path: '/a/b' }).attributes['file.path'], '/a/b...');
  assert.equal(spanOf({ operation: 'read', known: known.pathIsCut, path: '.../b' }).attributes['file.path'], '.../b');
  assert.ok(!('file.path' in spanOf({ path: '' }).attributes));
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FuncEvent } from '../../events/index.ts';
import type { Sink, Span } from '../source.ts';
import { FuncSource, type TracedFunction } from './func.ts';
import { maxFunctions } from './functions.ts';

const open: TracedFunction = {
  name: 'do_sys_openat2',
  module: '',
  argumentWords: [
    { name: 'dfd', type: { bytes: 4, isSigned: true } },
    { name: 'filename', type: { bytes: 8, isSigned: false } },
    { name: 'how', type: { bytes: 8, isSigned: false } },
  ],
  syscallArgumentWords: ['0', '1', '2', '3'].map(name => ({ name, type: undefined })),
  returnsValue: true,
  resultType: { bytes: 4, isSigned: true },
};

const hash: TracedFunction = {
  name: 'hash',
  module: '/usr/bin/x',
  argumentWords: undefined,
  syscallArgumentWords: undefined,
  returnsValue: true,
  resultType: undefined,
};

const none = new Uint8Array();

function event(fields: Partial<FuncEvent>): FuncEvent {
  return {
    kind: 'func',
    timeNs: 2_000,
    cpu: 0,
    sizeBytes: 0,
    pid: 7,
    tid: 8,
    latencyNs: 500,
    spanKey: 11n,
    parentKey: 10n,
    traceKey: 9n,
    address: 0xffffffff81000010n,
    result: 3n,
    args: [0xffffff9cn, 0x7fff12345678n, 3n, 4n, 5n, 6n],
    cgroupId: 1n,
    target: 1,
    syscall: 0,
    comm: 'cat',
    kernelStack: none,
    userStack: none,
    userRaw: none,
    userEnd: 'none',
    ...fields,
  };
}

function assembled(source: FuncSource, fields: Partial<FuncEvent>): { spans: Span[]; drops: string[] } {
  const spans: Span[] = [];
  const drops: string[] = [];
  const unused = (): never => assert.fail('source func makes spans only');
  const sink: Sink = {
    span: span => void spans.push(span),
    drop: (reason, count) => void drops.push(`${reason} ${count}`),
    sample: unused,
    processStarted: unused,
    processExited: unused,
  };
  source.assemble(event(fields), sink);
  return { spans, drops };
}

function spanOf(traced: TracedFunction, fields: Partial<FuncEvent>): Span {
  const source = new FuncSource([]);
  source.know(1, traced);
  const [span] = assembled(source, fields).spans;
  return span!;
}

test('knows how many functions the kernel side has room for', () => {
  const header = readFileSync(join(import.meta.dirname, '../../../bpf/func/func.h'), 'utf8');
  assert.equal(maxFunctions, Number(/#define FUNC_TARGETS_MAX (\d+)/.exec(header)?.[1]));
});

test('a call is a span of the function, with the keys of the kernel', () => {
  const span = spanOf(open, {});
  assert.equal(span.name, 'do_sys_openat2');
  assert.equal(span.startNs, 1_500);
  assert.deepEqual([span.spanKey, span.parentKey, span.traceKey], [11n, 10n, 9n]);
  assert.equal(span.stack, undefined);
  assert.deepEqual(span.attributes, {
    'code.function.name': 'do_sys_openat2',
    'hotspan.function.address': '0xffffffff81000010',
    'hotspan.call.result': 3,
    'hotspan.argument.dfd': -100,
    'hotspan.argument.filename': '0x7fff12345678',
    'hotspan.argument.how': 3,
  });
});

test('the arguments of a system call are told as such', () => {
  const { attributes } = spanOf(open, { syscall: 258 });
  assert.equal(attributes['hotspan.function.syscall'], 257);
  assert.equal(attributes['hotspan.argument.3'], 4);
  assert.ok(!('hotspan.argument.dfd' in attributes) && !('hotspan.argument.4' in attributes));
});

for (const result of [0xfffffffen, 0xfffffffffffffffen]) {
  test(`a kernel function that returns 0x${result.toString(16)} has failed`, () => {
    const span = spanOf(open, { result });
    assert.equal(span.error, 'ENOENT');
    assert.equal(span.attributes['hotspan.call.result'], -2);
  });
}

test('a result of a program, or of a function that has none, is no error', () => {
  assert.equal(spanOf(hash, { result: 0xfffffffen }).error, '');
  assert.equal(spanOf({ ...open, returnsValue: false }, { result: 0xfffffffen }).error, '');
  assert.ok(!('hotspan.call.result' in spanOf({ ...open, returnsValue: false }, {}).attributes));
});

test("a program's function tells its binary and six arguments by number", () => {
  const { attributes } = spanOf(hash, {});
  assert.equal(attributes['hotspan.function.module'], '/usr/bin/x');
  assert.equal(attributes['hotspan.argument.5'], 6);
});

test('last records of a function that is no longer probed still have its name', () => {
  const source = new FuncSource([]);
  source.know(1, open);
  source.retire(1);
  assert.equal(assembled(source, {}).spans[0]?.name, 'do_sys_openat2');
});

test('a record of nobody is dropped and counted', () => {
  assert.deepEqual(assembled(new FuncSource([]), {}), { spans: [], drops: ['unknown-target 1'] });
});

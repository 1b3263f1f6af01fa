/** For the store's tests: databases in temporary folders, rows with sensible defaults, and a random source with a fixed seed. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { openStoreReader, type SqliteStoreReader } from './reader.ts';
import type { FrameRow, OperationRow, ProcessRow, SampleRow, SpanRow, StoreWriter } from './rows.ts';
import { openStoreWriter, type StoreWriterOptions } from './writer.ts';

/** A Monday, 12:00:00 UTC: at a full minute. */
export const noonMs = Date.UTC(2026, 5, 1, 12);

/** A store whose clock stands where `nowMs` says. */
export interface TestStore {
  readonly path: string;
  nowMs: number;
  writer: StoreWriter;
  /** Opened at the first use. */
  readonly reader: SqliteStoreReader;
  /** Closes the writer and opens another. */
  reopen(): void;
}

export function testFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'hotspan-store-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function openTestStore(context: TestContext, options: Partial<StoreWriterOptions> = {}): TestStore {
  const path = join(testFolder(context), 'hotspan.db');
  let reader: SqliteStoreReader | undefined;
  const open = () => openStoreWriter({ path, now: () => store.nowMs, warn: message => context.diagnostic(message), ...options });
  const store: TestStore = {
    path,
    nowMs: noonMs,
    writer: undefined as never,
    get reader() {
      reader ??= openStoreReader(path);
      return reader;
    },
    reopen() {
      store.writer.close();
      store.writer = open();
    },
  };
  store.writer = open();
  context.after(() => {
    reader?.close();
    store.writer.close();
  });
  return store;
}

export function processRow(row: Partial<ProcessRow> = {}): ProcessRow {
  return {
    pid: 100,
    startNs: BigInt(noonMs - 3_600_000) * 1_000_000n,
    parentPid: 1,
    comm: 'gateway',
    executable: '/usr/bin/gateway',
    commandLine: 'gateway --port 80',
    buildId: 'abcd',
    cgroupPath: '/system.slice/gateway.service',
    containerId: '',
    service: 'gateway',
    exitNs: 0n,
    exitStatus: -1,
    ...row,
  };
}

export function frameRow(name: string, row: Partial<FrameRow> = {}): FrameRow {
  return {
    kind: 'native',
    module: '/usr/bin/gateway',
    buildId: 'abcd',
    address: 0x1000n,
    lines: [{ name, file: 'main.c', line: 7 }],
    isGuess: false,
    ...row,
  };
}

export function sampleRow(row: Partial<SampleRow> & Pick<SampleRow, 'processId' | 'stackId'>): SampleRow {
  return { profileType: 'cpu', timeMs: noonMs, tid: 101, threadName: 'worker', count: 1, value: 10_000_000, ...row };
}

let spanKey = 0n;

export function spanRow(row: Partial<SpanRow> & Pick<SpanRow, 'processId'>): SpanRow {
  spanKey += 1n;
  const spanId = Buffer.alloc(8);
  spanId.writeBigUInt64BE(spanKey);
  return {
    traceId: Buffer.concat([Buffer.from('feedfacecafebeef', 'hex'), spanId]),
    spanId,
    parentSpanId: undefined,
    source: 'file',
    name: 'read',
    startNs: BigInt(noonMs) * 1_000_000n,
    durationNs: 1000,
    kind: 1,
    error: '',
    tid: 101,
    threadName: 'worker',
    stackId: 0,
    attributes: {},
    ...row,
  };
}

export function operationRow(row: Partial<OperationRow> = {}): OperationRow {
  const buckets = new Array<number>(40).fill(0);
  buckets[12] = 3;
  return { source: 'file', operation: 'read', timeMs: noonMs, calls: 3, errors: 1, bytes: 512, totalNs: 15_000, buckets, ...row };
}

/** Numbers in [0, 1): xorshift32, the same in every run. */
export function randomSource(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 4_294_967_296;
  };
}

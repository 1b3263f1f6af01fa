/** The generator: what it makes of a header decodes what C lays out, and what it cannot map it refuses by name. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { readHeader } from './gen.ts';
import { bpfFlags, projectDir } from './lib/bpf.ts';
import { sourceCode } from './lib/event-code.ts';

const folder = mkdtempSync(join(tmpdir(), 'hotspan-gen-test-'));
after(() => rmSync(folder, { recursive: true }));

type Module = Record<string, (...args: unknown[]) => unknown>;

/** Text of the generated module for a header named `zoo`. */
async function generated(header: string): Promise<string> {
  const path = join(folder, 'zoo.h');
  writeFileSync(path, `#include "event.h"\n#include "unwind-table.h"\n${header}`);
  const { types } = await readHeader('zoo', path);
  return sourceCode(types);
}

async function load(header: string, name: string): Promise<Module> {
  const code = (await generated(header))
    .replace("'../lib/event-bytes.ts'", JSON.stringify(join(projectDir, 'agent/lib/event-bytes.ts')))
    .replace("'./shared.ts'", JSON.stringify(join(projectDir, 'agent/events/shared.ts')));
  const path = join(folder, `${name}.ts`);
  writeFileSync(path, code);
  return (await import(pathToFileURL(path).href)) as Module;
}

/** Bytes of a struct as the host's C compiler lays it out and fills it: the judge is not the generator's own arithmetic. */
function bytesFromC(name: string, initialiser: string): Buffer {
  const source = join(folder, `${name}.c`);
  const flags = bpfFlags.filter(flag => flag === '-I' || flag.endsWith('bpf/lib'));
  writeFileSync(source, `#include "zoo.h"\n#include <unistd.h>\nint main(void) { ${initialiser} }\n`);
  execFileSync('gcc', [...flags, '-I', folder, '-o', join(folder, name), source]);
  return execFileSync(join(folder, name));
}

/** Copies: a view may stand at any alignment. */
function addresses(stack: Uint8Array): BigUint64Array {
  return new BigUint64Array(stack.slice().buffer);
}

const zooHeader = `
enum zoo_kind { ZOO_CALL = 3, ZOO_STACK = 5, ZOO_MIX, ZOO_RAW };
enum zoo_side { ZOO_SIDE_LEFT = 1, ZOO_SIDE_RIGHT = 4, ZOO_SIDE_MAX };
struct zoo_point { __s32 x; __s16 y; __u16 z; };
struct zoo_call_event {
    struct event_header header;
    duration_ns latency_ns;
    kernel_result result;
    exact_u64 inode;
    struct zoo_point point;
    enum zoo_side side;
    __u8 flags;
    _Bool is_done;
    __s8 level;
    __u8 reserved;
    char name[8];
    comm_text comm;
    exact_u64 args[3];
    __u16 shorts[12];
};
struct zoo_stack_event {
    struct event_header header;
    __u16 kernel_depth;
    __u16 user_depth;
    __u32 weight;
    code_addr addresses[];
};
struct zoo_mix_event {
    struct event_header header;
    __u16 path_length;
    __u16 kernel_depth;
    __u16 note_length;
    __u16 reserved;
    __u8 tail[];
};
struct zoo_raw_event {
    struct event_header header;
    byte_count asked_bytes;
    __u16 user_depth;
    __u16 raw_bytes;
    enum unwind_end user_end;
    __u8 tail[];
};
struct zoo_settings { duration_ns min_ns; __u32 limit; enum zoo_side side; };
struct zoo_sums_key { __u32 pid; __u32 operation; };
struct zoo_sums { event_count calls; event_count buckets[10]; };
`;

test('a struct of every kind of field is decoded as C filled it', async () => {
  const zoo = await load(zooHeader, 'fields');
  const data = bytesFromC(
    'fields',
    `struct zoo_call_event e = { .header = { 1234567890123, ZOO_CALL, 7, sizeof(e), 42, 43 }, .latency_ns = 5000000000, .result = -2,
      .inode = 0xfedcba9876543210, .point = { -5, -6, 7 }, .side = ZOO_SIDE_RIGHT, .flags = 0x81, .is_done = 1, .level = -3,
      .name = "abcdefgh", .comm = "worker", .args = { 1, ~0ull, 1ull << 63 }, .shorts = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 65535 } };
     write(1, &e, sizeof(e));`,
  );
  assert.deepEqual(zoo.decodeZoo?.(data, 0, data.length), {
    kind: 'call',
    timeNs: 1234567890123,
    cpu: 7,
    sizeBytes: data.length,
    pid: 42,
    tid: 43,
    latencyNs: 5e9,
    result: -2,
    inode: 0xfedcba9876543210n,
    point: { x: -5, y: -6, z: 7 },
    side: 'right',
    flags: 0x81,
    isDone: true,
    level: -3,
    name: 'abcdefgh',
    comm: 'worker',
    args: [1n, 2n ** 64n - 1n, 2n ** 63n],
    shorts: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 65535],
  });
  for (let length = 0; length < data.length; length += 1)
    assert.equal(zoo.decodeZoo?.(data, 0, length), undefined, `${length} bytes`);
  const unknownSide = Buffer.from(data);
  unknownSide.writeUInt32LE(2, unknownSide.indexOf(Buffer.from([4, 0, 0, 0]), 40));
  assert.equal(zoo.decodeZoo?.(unknownSide, 0, data.length), undefined, 'an enum value that the header has not');
});

test('stacks and texts at the end are cut by their counts, and counts that lie are malformed', async () => {
  const zoo = await load(zooHeader, 'tails');
  const stack = bytesFromC(
    'stack',
    `static char room[200]; struct zoo_stack_event *e = (void *)room; e->header.kind = ZOO_STACK; e->kernel_depth = 2; e->user_depth = 1;
     e->header.size_bytes = sizeof(*e) + 24; e->addresses[0] = 0xffffffff81000000; e->addresses[1] = 0xffffffff81000001; e->addresses[2] = 0x401000;
     write(1, room, sizeof(*e) + 24);`,
  );
  const event = zoo.decodeZoo?.(Buffer.concat([Buffer.alloc(3), stack]), 3, stack.length) as {
    kernelStack: Uint8Array;
    userStack: Uint8Array;
    weight: number;
  };
  assert.equal(event.weight, 0);
  assert.deepEqual([addresses(event.kernelStack)[1], addresses(event.userStack)[0]], [0xffffffff81000001n, 0x401000n]);
  assert.deepEqual([event.kernelStack.length, event.userStack.length], [16, 8]);
  for (const [at, value] of [
    [24, 3],
    [24, 1],
    [26, 0],
    [26, 65535],
  ] as const) {
    const lying = Buffer.from(stack);
    lying.writeUInt16LE(value, at);
    assert.equal(zoo.decodeZoo?.(lying, 0, lying.length), undefined);
  }
  const mix = bytesFromC(
    'mix',
    `static char room[200]; struct zoo_mix_event *e = (void *)room; e->header.kind = ZOO_MIX; e->path_length = 5; e->kernel_depth = 1; e->note_length = 2;
     e->header.size_bytes = sizeof(*e) + 15; __builtin_memcpy(e->tail, "/etc/\\1\\2\\3\\4\\5\\6\\7\\10ok", 15); write(1, room, sizeof(*e) + 15 + 5);`,
  );
  const mixed = zoo.decodeZoo?.(mix, 0, mix.length) as { path: string; kernelStack: Uint8Array; note: string };
  assert.deepEqual([mixed.path, [...mixed.kernelStack], mixed.note], ['/etc/', [1, 2, 3, 4, 5, 6, 7, 8], 'ok']);
  assert.equal(
    zoo.decodeZoo?.(Buffer.concat([mix, Buffer.alloc(8)]), 0, mix.length + 8),
    undefined,
    'more padding than a perf buffer adds',
  );
});

test('bytes of any form are a view, beside a byte count that is a number, and an enum of bpf/lib is known', async () => {
  const zoo = await load(zooHeader, 'raws');
  const raw = bytesFromC(
    'raw',
    `static char room[200]; struct zoo_raw_event *e = (void *)room; e->header.kind = ZOO_RAW; e->asked_bytes = 7; e->user_depth = 1; e->raw_bytes = 3;
     e->user_end = UNWIND_END_NO_TABLE; e->header.size_bytes = sizeof(*e) + 11; __builtin_memcpy(e->tail, "\\1\\2\\3\\4\\5\\6\\7\\10raw", 11);
     write(1, room, sizeof(*e) + 11 + 1);`,
  );
  const event = zoo.decodeZoo?.(raw, 0, raw.length) as Record<string, unknown>;
  assert.deepEqual(
    [event['askedBytes'], event['userStack'], event['raw'], event['userEnd']],
    [7, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), new Uint8Array(Buffer.from('raw')), 'no_table'],
  );
  const unknownEnd = Buffer.from(raw);
  unknownEnd.writeUInt32LE(99, 36);
  assert.equal(zoo.decodeZoo?.(unknownEnd, 0, raw.length), undefined);
});

test('settings and keys are written, sums and keys are read, as C lays them out', async () => {
  const zoo = await load(zooHeader, 'values');
  const settings = bytesFromC('settings', 'struct zoo_settings s = { 1500000, 77, ZOO_SIDE_LEFT }; write(1, &s, sizeof(s));');
  assert.deepEqual(zoo.writeZooSettings?.({ minNs: 1_500_000, limit: 77, side: 'left' }), settings);
  const key = bytesFromC('key', 'struct zoo_sums_key k = { 12, 3 }; write(1, &k, sizeof(k));');
  assert.deepEqual(zoo.writeZooSumsKey?.({ pid: 12, operation: 3 }), key);
  assert.deepEqual(zoo.readZooSumsKey?.(key, 0), { pid: 12, operation: 3 });
  const sums = bytesFromC('sums', 'struct zoo_sums s = { 9, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 } }; write(1, &s, sizeof(s));');
  assert.deepEqual(zoo.readZooSums?.(sums, 0), { calls: 9, buckets: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] });
  assert.throws(() => zoo.readZooSums?.(sums, 8), RangeError);
});

test('the output is the same each time', async () => {
  assert.equal(await generated(zooHeader), await generated(zooHeader));
});

const refusals: readonly [what: string, fields: string, words: RegExp][] = [
  ['a pointer', 'void *next;', /^struct zoo_event, field next: a pointer/],
  ['a bitfield', '__u32 a : 3; __u32 b : 29; __u32 c;', /^struct zoo_event, field a: a bitfield/],
  ['long', 'long size;', /^struct zoo_event, field size: long differs between machines/],
  ['unsigned long', 'unsigned long size;', /^struct zoo_event, field size: unsigned long differs/],
  ['a bare 64-bit integer', '__u64 size;', /^struct zoo_event, field size: __u64 does not say what it is/],
  ['a union', 'union { __u32 a; __u32 b; } u; __u32 c;', /^struct zoo_event, field u: union has no TypeScript form/],
  ['a float', 'float share; __u32 c;', /^struct zoo_event, field share: float has no/],
  ['an anonymous struct', 'struct { __u32 a; __u32 b; } inner;', /^struct zoo_event, field inner: give the nested struct a name/],
  [
    'a flexible array without counts',
    'exact_u64 a; char text[];',
    /^struct zoo_event, field text: a flexible array needs counts/,
  ],
  [
    'bytes in a text',
    '__u16 raw_bytes; __u16 a; __u32 b; char text[];',
    /^struct zoo_event, field text: its counts say that it is __u8/,
  ],
  [
    'a stack in a text',
    '__u32 user_depth; __u32 a; char text[];',
    /^struct zoo_event, field text: its counts say that it is code_addr/,
  ],
];

for (const [what, fields, words] of refusals) {
  test(`refuses ${what}, by name`, async () => {
    await assert.rejects(
      generated(`struct zoo_event { struct event_header header; ${fields} };`),
      (error: Error) => words.test(error.message) || assert.fail(error.message),
    );
  });
}

test('refuses kinds without a struct and structs without a kind', async () => {
  await assert.rejects(
    generated('enum zoo_kind { ZOO_A, ZOO_B };\nstruct zoo_a_event { struct event_header header; };'),
    /no struct zoo_b_event/,
  );
  await assert.rejects(
    generated(
      'enum zoo_kind { ZOO_A = 1 };\nstruct zoo_a_event { struct event_header header; };\nstruct zoo_c_event { struct event_header header; };',
    ),
    /struct zoo_c_event: enum zoo_kind has no value/,
  );
  await assert.rejects(generated('struct zoo_other_event { struct event_header header; };'), /needs one struct zoo_event/);
});

test('what is committed is what the headers give', () => {
  execFileSync(process.execPath, [join(projectDir, 'scripts/gen.ts'), '--check'], { stdio: 'pipe' });
});

/** Cores are read as they are, and what cannot be one is refused with a sentence, however it lies. */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { MEMBERS } from '../zoo/members.ts';
import { stopAtRandom } from './gdb.ts';
import { startMember } from './truth.ts';
import { buildWalker, Walker } from './walker.ts';

const folder = mkdtempSync(join(tmpdir(), 'hotspan-cores-'));
const changedPath = join(folder, 'changed');
let walker: Walker;
let core: Buffer;
let tid = 0;
let stack: readonly bigint[] = [];

before(async () => {
  walker = new Walker(await buildWalker());
  const member = MEMBERS.find(({ name }) => name === 'signals-alternate');
  assert.ok(member);
  const { pid, symbolFile, stop: end } = await startMember(member);
  try {
    await stopAtRandom({ pid, symbolFile, stops: 1, seed: 3, threads: 1 }, async stop => {
      const path = join(folder, 'core');
      await stop.writeCore(path);
      core = readFileSync(path);
      const thread = stop.threads[0];
      tid = thread?.tid ?? 0;
      stack = thread?.frames.map(({ pc }) => pc) ?? [];
    });
  } finally {
    end();
  }
});

after(() => {
  walker.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Where a program header begins: of the first of that type, or of the first after `from`. */
function header(bytes: Buffer, type: 'load' | 'note', from = 0): number {
  const first = Number(bytes.readBigUInt64LE(32));
  for (let at = Math.max(first, from); ; at += 56) if (bytes.readUInt32LE(at) === (type === 'load' ? 1 : 4)) return at;
}

/** Where the note of that type begins. */
function note(bytes: Buffer, type: number): number {
  let at = Number(bytes.readBigUInt64LE(header(bytes, 'note') + 8));
  const padded = (size: number) => (size + 3) & ~3;
  while (bytes.readUInt32LE(at + 8) !== type) at += 12 + padded(bytes.readUInt32LE(at)) + padded(bytes.readUInt32LE(at + 4));
  return at;
}

const threadNote = 1;
const filesNote = 0x46494c45;
/** Behind the head of a note and its name, "CORE" and a zero, padded. */
const description = 12 + 8;

/** Opens a copy of the core that `change` has changed, or cut. */
async function open(change: (bytes: Buffer) => Buffer | undefined): Promise<void> {
  const copy = Buffer.from(core);
  writeFileSync(changedPath, change(copy) ?? copy);
  await walker.refresh(changedPath);
}

test('the stack in a core is the one that gdb saw in the process', async () => {
  await open(() => {});
  const { ip, registers } = await walker.registers(changedPath, tid);
  assert.equal(ip, stack[0]);
  const walk = await walker.walk(changedPath, ip, registers);
  assert.deepEqual([walk.end, walk.addresses], ['ROOT', stack]);
});

const lies: readonly (readonly [string, RegExp, (bytes: Buffer) => Buffer | undefined])[] = [
  ['nothing', /no ELF file/, () => Buffer.alloc(0)],
  ['a header that is cut', /no ELF file/, bytes => bytes.subarray(0, 40)],
  ['another machine', /not of an x86-64 process/, bytes => void bytes.writeUInt16LE(183, 18)],
  ['a program', /no core/, bytes => void bytes.writeUInt16LE(2, 16)],
  ['no program headers', /no program headers/, bytes => void bytes.writeUInt16LE(0, 56)],
  ['headers of another size', /unknown size/, bytes => void bytes.writeUInt16LE(8, 54)],
  ['headers elsewhere', /outside of it/, bytes => void bytes.writeBigUInt64LE(1n << 60n, 32)],
  [
    'a segment beyond its end',
    /cut short: a segment/,
    bytes => void bytes.writeBigUInt64LE(1n << 62n, header(bytes, 'load') + 8),
  ],
  [
    'a segment that wraps',
    /impossible size/,
    bytes => void bytes.writeBigUInt64LE(~0n & ((1n << 64n) - 1n), header(bytes, 'load') + 40),
  ],
  ['half a segment', /cut short/, bytes => bytes.subarray(0, Number(bytes.readBigUInt64LE(header(bytes, 'load') + 8)) + 100)],
  ['gigabytes of notes', /too large/, bytes => void bytes.writeBigUInt64LE(1n << 40n, header(bytes, 'note') + 32)],
  [
    'a note that is longer than all',
    /longer than all/,
    bytes => void bytes.writeUInt32LE(0xfffffff0, note(bytes, threadNote) + 4),
  ],
  ['registers of another size', /unknown size/, bytes => void bytes.writeUInt32LE(300, note(bytes, threadNote) + 4)],
  ['no thread', /no thread/, bytes => void bytes.writeUInt32LE(99, note(bytes, threadNote) + 8)],
  [
    'more files than there is room',
    /longer than its note/,
    bytes => void bytes.writeBigUInt64LE(1n << 50n, note(bytes, filesNote) + description),
  ],
  [
    'pages without bytes',
    /longer than its note/,
    bytes => void bytes.writeBigUInt64LE(0n, note(bytes, filesNote) + description + 8),
  ],
  [
    'a file that ends before it begins',
    /lies nowhere/,
    bytes => void bytes.writeBigUInt64LE(1n, note(bytes, filesNote) + description + 24),
  ],
  [
    'a path without an end',
    /has no end/,
    bytes => {
      const at = note(bytes, filesNote);
      bytes.fill('x', at + description + bytes.readUInt32LE(at + 4) - 1, at + description + bytes.readUInt32LE(at + 4));
    },
  ],
  [
    'two segments at one place',
    /overlap/,
    bytes => {
      const first = header(bytes, 'load');
      bytes.copy(bytes, header(bytes, 'load', first + 56), first, first + 56);
    },
  ],
];

for (const [name, complaint, change] of lies) {
  test(`refused: ${name}`, async () => assert.rejects(open(change), complaint));
}

test('whatever byte is changed, it is read or refused, and what is read can be walked', async () => {
  const notes = header(core, 'note');
  const start = Number(core.readBigUInt64LE(notes + 8));
  const ranges = [
    [0, 64 + 56 * core.readUInt16LE(56)] as const,
    [start, start + Number(core.readBigUInt64LE(notes + 32))] as const,
  ];
  let state = 12345;
  const random = (limit: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % limit;
  };
  let refused = 0;
  for (let turn = 0; turn < 150; turn += 1) {
    const [from, to] = ranges[turn % 2] ?? [0, 1];
    try {
      await open(bytes => {
        for (let change = random(3); change >= 0; change -= 1) bytes[from + random(to - from)] = random(256);
      });
      const { ip, registers } = await walker.registers(changedPath, tid);
      await walker.walk(changedPath, ip, registers);
    } catch (error) {
      assert.match((error as Error).message, /the walker was asked .* and says: /);
      refused += 1;
    }
  }
  console.log(`${refused} of 150 were refused`);
  assert.ok(refused > 10 && refused < 140, `${refused} were refused`);
  await open(() => {});
});

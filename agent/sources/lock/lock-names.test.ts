/** Names of locks by where they lie: in this process's own memory and files, and in a program compiled for it. */

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readDataSymbols } from './data-symbols.ts';
import { LockNames } from './lock-names.ts';

const folder = mkdtempSync(join(tmpdir(), 'hotspan-lock-names-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Prints where its variables lie, and waits for its end of input. */
const source = `
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
int zeroed[64];
int filled[64] = {1};
static int hidden;
int main(void) {
    int local = 0;
    void *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    printf("%p %p %p %p %p %p\\n", (void *)&zeroed[3], (void *)filled, (void *)&hidden, malloc(8), (void *)&local, shared);
    fflush(stdout);
    return getchar() + hidden;
}
`;

function build(name: string, flags: readonly string[]): string {
  const path = join(folder, name);
  writeFileSync(`${path}.c`, source);
  execFileSync('gcc', ['-O0', ...flags, '-o', path, `${path}.c`]);
  return path;
}

async function named(path: string): Promise<string[]> {
  const child = spawn(path, { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const line = await new Promise<string>(resolve => child.stdout.once('data', (data: Buffer) => resolve(data.toString())));
    const names = new LockNames();
    return line
      .trim()
      .split(' ')
      .map(address => names.of(child.pid ?? 0, BigInt(address)));
  } finally {
    child.kill();
  }
}

for (const [name, flags] of [
  ['pie', ['-pie', '-fPIE']],
  ['fixed', ['-no-pie']],
] as const) {
  test(`${name}: static data is named by its variable, other memory by what it is`, async () => {
    const [zeroed, filled, hidden, allocated, local, shared] = await named(build(name, flags));
    assert.deepEqual([zeroed, filled, hidden], [`zeroed+0xc (${name})`, `filled (${name})`, `hidden (${name})`]);
    assert.match(allocated ?? '', /^0x[0-9a-f]+ \(heap\)$/);
    assert.match(local ?? '', /^0x[0-9a-f]+ \(stack\)$/);
    assert.match(shared ?? '', /\(shared\)$/);
  });
}

test('without symbols it is the module and the place in it', async () => {
  const [zeroed, filled] = await named(build('stripped', ['-s']));
  assert.match(zeroed ?? '', /^stripped\+0x[0-9a-f]+$/);
  assert.match(filled ?? '', /^stripped\+0x[0-9a-f]+$/);
});

test('of a process that is gone the address is all there is', () => {
  assert.equal(new LockNames().of(2 ** 22 - 1, 0x1234n), '0x1234');
});

test('what is no ELF file, or a broken one, is refused', () => {
  const path = join(folder, 'broken');
  writeFileSync(path, 'x'.repeat(100));
  assert.throws(() => readDataSymbols(path), RangeError);
  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
  header.writeBigUInt64LE(1n << 40n, 40);
  header.writeUInt16LE(64, 58);
  header.writeUInt16LE(3, 60);
  writeFileSync(path, header);
  assert.throws(() => readDataSymbols(path), RangeError);
});

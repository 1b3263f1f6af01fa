/** Code of processes that are gone before anyone asks for its name is named by what they had mapped while they lived. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadAddon } from '../../../agent/bpf/addon.ts';
import { buildZoo, startAnimal } from '../../../test/zoo/zoo.ts';

function addressOf(name: string, pid: number, binary: string): bigint {
  const symbol = execFileSync('nm', [binary], { encoding: 'utf8' })
    .split('\n')
    .find(line => line.endsWith(` ${name}`));
  const first = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')[0] ?? '';
  return BigInt(`0x${symbol?.split(' ')[0]}`) + BigInt(`0x${first.split('-')[0]}`);
}

async function nameOf(pid: number, address: bigint): Promise<string> {
  const symbolizer = loadAddon().createSymbolizer({ maxBytes: 16 << 20 });
  try {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(address);
    const [frame] = await symbolizer.describe(symbolizer.locate(pid, bytes, false));
    return frame?.lines[0]?.name ?? '';
  } finally {
    symbolizer.close();
  }
}

/** The name, after its end, of a function of a program that nothing but the unwinder saw while it ran. */
async function nameAfterwards(): Promise<string> {
  const binary = await buildZoo('deep', { flags: ['-fomit-frame-pointer'] });
  const { child, pid } = await startAnimal(binary, ['5']);
  const address = addressOf('main', pid, binary);
  // Events are read some milliseconds after they come.
  await sleep(300);
  child.kill('SIGKILL');
  await once(child, 'exit');
  return nameOf(pid, address);
}

test('a process that has ended is named by what the unwinder knew of it', async () => {
  const unwinder = loadAddon().createUnwinder({ maxBytes: 8 << 20, cacheDir: '' });
  try {
    assert.equal(await nameAfterwards(), 'main');
  } finally {
    unwinder.close();
  }
});

test('without it nothing is made up', async () => {
  assert.match(await nameAfterwards(), /^\[unknown\]/);
});

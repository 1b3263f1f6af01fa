/** The ladder takes the first way that works, keeps why better ones were refused, and leaves nothing loaded where none works. */

import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadAddon } from '../../agent/bpf/addon.ts';
import { BpfError } from '../../agent/bpf/errors.ts';
import { climb } from '../../agent/sources/ladder.ts';
import type { Hook, HookWay } from '../../agent/sources/source.ts';
import { features, projectDir } from './source-run.ts';

const native = loadAddon();
const objectPath = join(projectDir, '.build/bpf/exec.bpf.o');

const missing: HookWay = {
  name: 'tracepoint',
  programs: [{ program: 'exec_exit_tp', attach: { type: 'tracepoint', category: 'sched', name: 'no_such_event' } }],
};
const raw: HookWay = { name: 'raw_tracepoint', programs: [{ program: 'exec_exit_raw', attach: { type: 'auto' } }] };
const btf: HookWay = { name: 'btf_tracepoint', programs: [{ program: 'exec_exit_btf', attach: { type: 'auto' } }] };
const forkHook: Hook = {
  observes: 'fork',
  ways: [{ name: 'raw_tracepoint', programs: [{ program: 'exec_fork_raw', attach: { type: 'auto' } }] }],
};

/** BPF objects that this process holds: programs, maps and links have a descriptor each as long as they are ours. */
function heldObjects(): string[] {
  return readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return /bpf[-_](prog|map|link)/.test(target) ? [target] : [];
    } catch {
      // ENOENT: the descriptor of the listing itself.
      return [];
    }
  });
}

test('a way that cannot attach gives room to the next, with its reason, and only what is used is loaded', async () => {
  const ladder = await climb(native, features, {
    objectPath,
    hooks: [forkHook, { observes: 'exit', ways: [missing, raw, btf] }],
  });
  try {
    assert.deepEqual(
      ladder.hooks.map(({ way }) => way),
      ['raw_tracepoint', 'raw_tracepoint'],
    );
    const [refusal, ...more] = ladder.hooks[1]?.refused ?? [];
    assert.equal(more.length, 0);
    assert.equal(refusal?.way, 'tracepoint');
    assert.match(refusal?.reason ?? '', /ENOENT/);
    const loaded = ladder.object.stats().map(({ name }) => name);
    assert.deepEqual(
      loaded.filter(name => name.startsWith('exec_exit')),
      ['exec_exit_raw'],
    );
    assert.ok(heldObjects().length > 0);
  } finally {
    ladder.object.close();
  }
});

test('what the features rule out is not tried', async () => {
  const without = { ...features, rawTracepoint: { isAvailable: false, reason: 'the test says so' } };
  const ladder = await climb(native, without, { objectPath, hooks: [{ observes: 'exit', ways: [raw, btf] }] });
  try {
    assert.deepEqual(ladder.hooks, [
      {
        observes: 'exit',
        way: 'btf_tracepoint',
        refused: [{ way: 'raw_tracepoint', reason: 'the test says so' }],
        slowsCalls: false,
      },
    ]);
  } finally {
    ladder.object.close();
  }
});

test('preparations are undone before the next way, and made again for it', async () => {
  const calls: string[] = [];
  const ladder = await climb(native, features, {
    objectPath,
    hooks: [{ observes: 'exit', ways: [missing, raw] }],
    configure: (_, ways) => void calls.push(`configure ${ways[0]?.name}`),
    prepare: () => void calls.push('prepare'),
    abandon: async () => void calls.push('abandon'),
  });
  ladder.object.close();
  assert.deepEqual(calls, ['configure tracepoint', 'prepare', 'abandon', 'configure raw_tracepoint', 'prepare']);
});

test('where no way works, the error tells every reason and nothing stays loaded', async () => {
  const without = { ...features, btfTracepoint: { isAvailable: false, reason: 'no BTF tracepoints' } };
  await assert.rejects(
    climb(native, without, { objectPath, hooks: [forkHook, { observes: 'exit', ways: [btf, missing] }] }),
    (error: unknown) => {
      assert.ok(error instanceof BpfError);
      assert.match(
        error.message,
        /attach exit: no way works on this kernel \(btf_tracepoint: no BTF tracepoints; tracepoint: .*ENOENT/,
      );
      return true;
    },
  );
  assert.deepEqual(heldObjects(), []);
});

/** Whole stacks, those that say why they are not, and those that begin with no root are told apart. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FullProfile } from '../../agent/store/full-profile.ts';
import { tallyProfile } from './live-tally.ts';

test('samples are counted by what their stacks begin with', () => {
  const frame = (name: string, kind: 'native' | 'kernel' | 'unresolved' = 'native') => ({
    kind,
    module: '/bin/x',
    buildId: '',
    address: 0n,
    lines: [{ name, file: '', line: 0 }],
    isGuess: false,
  });
  const thread = { processId: 1, service: '', process: '', tid: 7, thread: '', container: '', executable: '' };
  const profile: FullProfile = {
    fromMs: 0,
    toMs: 1,
    type: 'cpu',
    unit: 'nanoseconds',
    total: 0,
    samples: 0,
    lost: 0,
    period: 1,
    frames: [frame('leaf'), frame('_start'), frame('incomplete: no table', 'unresolved'), frame('schedule', 'kernel')],
    threads: [
      { ...thread, pid: 7 },
      { ...thread, pid: 8 },
    ],
    stacks: [[0, 1], [0, 2], [0], [3]],
    entries: [
      { thread: 0, stack: 0, count: 5, value: 5 },
      { thread: 0, stack: 1, count: 3, value: 3 },
      { thread: 0, stack: 2, count: 2, value: 2 },
      { thread: 0, stack: 3, count: 9, value: 9 },
      { thread: 1, stack: 0, count: 4, value: 4 },
    ],
  };
  assert.deepEqual(
    [...tallyProfile(profile, new Set([7]))],
    [
      [
        7,
        {
          samples: 10,
          complete: 5,
          reasons: { 'no table': 3 },
          falseRoots: { leaf: 2 },
          places: { 'incomplete: no table: leaf [x+0]': 3, 'false root: leaf [x+0]': 2 },
        },
      ],
    ],
  );
});

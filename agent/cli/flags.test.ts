import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from './command.ts';
import { type FlagSpecs, parseCommandLine } from './flags.ts';

const specs = {
  listen: { kind: 'text', help: '' },
  json: { kind: 'switch', help: '' },
  out: { kind: 'texts', short: 'o', help: '', placeholder: 'FILE' },
  hz: { kind: 'number', min: 1, max: 100, default: 9, help: '' },
  min: { kind: 'duration', min: 0, max: 10e9, help: '' },
  event: { kind: 'choice', choices: ['cpu', 'offcpu'], default: 'cpu', help: '' },
} as const satisfies FlagSpecs;

test('flags and words are told apart, in any order and form', () => {
  const line = parseCommandLine(specs, [
    'start',
    '--hz',
    '50',
    '-o',
    'a',
    '--out=b',
    '-o-',
    'cpu',
    '--json',
    '--min=1.5ms',
    '--',
    '--hz',
  ]);
  assert.deepEqual(line.words, ['start', 'cpu', '--hz']);
  assert.deepEqual(line.flags, { listen: undefined, json: true, out: ['a', 'b', '-'], hz: 50, min: 1.5e6, event: 'cpu' });
  assert.deepEqual(parseCommandLine(specs, ['-o', '-']).flags.out, ['-']);
});

test('every mistake is told with what would be right', () => {
  const mistakes: readonly [readonly string[], RegExp][] = [
    [['--lisen', 'x'], /^unknown flag --lisen; did you mean --listen\?$/],
    [['--frobnicate'], /^unknown flag --frobnicate$/],
    [['-x'], /^unknown flag -x$/],
    [['--constructor'], /^unknown flag --constructor$/],
    [['--listen'], /^--listen needs a value: --listen VALUE$/],
    [['--listen', '--json'], /^--listen needs a value/],
    [['-o'], /^-o needs a value: -o FILE$/],
    [['--json=yes'], /^--json takes no value/],
    [['--hz', '1', '--hz', '2'], /^--hz is given 2 times; give it once$/],
    [['--hz', '0'], /^--hz is a whole number from 1 to 100, not "0"$/],
    [['--hz', '-5'], /not "-5"$/],
    [['--hz', '1e1'], /not "1e1"$/],
    [['--min', '5'], /^--min is a duration such as 500us, 1ms or 10s, not "5"$/],
    [['--min', '1h'], /^--min is from 0 ns to 10 s, not 1 h$/],
    [['--event', 'heap'], /^--event is one of cpu, offcpu, not "heap"$/],
  ];
  for (const [args, expected] of mistakes) {
    assert.throws(
      () => parseCommandLine(specs, args),
      (error: Error) => error instanceof UsageError && expected.test(error.message),
      args.join(' '),
    );
  }
});

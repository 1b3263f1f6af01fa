import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compilerPiece, isGlob, parseTarget } from './target.ts';

test('takes kernel functions by name and glob', () => {
  assert.deepEqual(parseTarget('kernel:do_sys_openat2'), {
    kind: 'kernel',
    text: 'kernel:do_sys_openat2',
    pattern: 'do_sys_openat2',
  });
  assert.equal(parseTarget('kernel:vfs_*').pattern, 'vfs_*');
  assert.equal(parseTarget('kernel:tcp_v[46]_rcv').pattern, 'tcp_v[46]_rcv');
  assert.equal(parseTarget('kernel:foo.isra.0').pattern, 'foo.isra.0');
});

test('takes symbols of binaries, with colons in the symbol', () => {
  assert.deepEqual(parseTarget('uprobe:/usr/bin/x:std::vector<int>::push_back*'), {
    kind: 'user',
    text: 'uprobe:/usr/bin/x:std::vector<int>::push_back*',
    path: '/usr/bin/x',
    pattern: 'std::vector<int>::push_back*',
  });
  assert.deepEqual(parseTarget('uprobe:/app/server:main.(*Server).handle'), {
    kind: 'user',
    text: 'uprobe:/app/server:main.(*Server).handle',
    path: '/app/server',
    pattern: 'main.(*Server).handle',
  });
});

const refused: readonly (readonly [target: string, why: RegExp])[] = [
  ['vfs_read', /^target "vfs_read": say what it is of, such as kernel:vfs_read$/],
  ['', /write kernel:FUNCTION or uprobe/],
  ['what is this', /write kernel:FUNCTION or uprobe/],
  ['kernel:', /the name of the kernel function is missing/],
  ['kernel:vfs read', /letters, digits/],
  ['kernel:../../etc', /letters, digits/],
  ['kernel:vfs_[rw', /a "\[" is not closed; write \[abc\]/],
  [`kernel:${'a'.repeat(2000)}`, /longer than 1024/],
  ['kprobe:vfs_read', /"kprobe" is no kind of target; write kernel:FUNCTION/],
  ['uprobe:bin/x:main', /must begin with "\/"/],
  ['uprobe:/bin/x', /the symbol is missing/],
  ['uprobe:/bin/x:', /the symbol is missing/],
  [':x', /"" is no kind of target/],
];

for (const [target, why] of refused) {
  test(`refuses "${target.slice(0, 30)}" in one sentence`, () => {
    assert.throws(
      () => parseTarget(target),
      (error: unknown) => {
        assert.ok(error instanceof RangeError);
        assert.match(error.message, why);
        assert.ok(error.message.length < 250, 'a long target is not repeated in full');
        assert.ok(!error.message.includes('\n'));
        return true;
      },
    );
  });
}

test('knows a glob', () => {
  assert.ok(isGlob('vfs_*') && isGlob('vfs_rea?') && isGlob('tcp_v[46]'));
  assert.ok(!isGlob('do_sys_openat2'));
});

test('knows what is only a piece of a function', () => {
  assert.equal(compilerPiece('vfs_read'), undefined);
  assert.equal(compilerPiece('main.(*T).coldStart'), undefined);
  assert.match(compilerPiece('foo.isra.0') ?? '', /other arguments/);
  assert.match(compilerPiece('foo.constprop.2') ?? '', /other arguments/);
  assert.match(compilerPiece('foo.part.0') ?? '', /part/);
  assert.match(compilerPiece('foo.cold') ?? '', /rarely/);
  assert.match(compilerPiece('foo.isra.0.cold') ?? '', /./);
});

/** Names of many languages: where the function's own name begins, and how a name is shortened. */

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { cutMiddle, fitName, scopeLength } from './frame-name.ts';

const width = (text: string) => text.length;
const split = (name: string) => [name.slice(0, scopeLength(name)), name.slice(scopeLength(name))];

test('the scope ends where the function begins', () => {
  const cases: [string, string, string][] = [
    ['vfs_read', '', 'vfs_read'],
    ['net/http.(*conn).serve', 'net/http.(*conn).', 'serve'],
    ['github.com/gin-gonic/gin.(*Engine).ServeHTTP', 'github.com/gin-gonic/gin.(*Engine).', 'ServeHTTP'],
    ['main.main.func1', 'main.main.', 'func1'],
    ['node::Start(int, char**)', 'node::', 'Start(int, char**)'],
    ['std::vector<a::b, c::d>::push_back(a::b const&)', 'std::vector<a::b, c::d>::', 'push_back(a::b const&)'],
    ['<indexer::pipe::Stage as core::future::Future>::poll', '<indexer::pipe::Stage as core::future::Future>::', 'poll'],
    ['tokio::runtime::worker::run', 'tokio::runtime::worker::', 'run'],
    ['java.util.HashMap.get', 'java.util.HashMap.', 'get'],
    ['tcp_sendmsg.constprop.0', '', 'tcp_sendmsg.constprop.0'],
    ['ns::work.cold', 'ns::', 'work.cold'],
    ['libc.so.6+0x1f20', '', 'libc.so.6+0x1f20'],
    ['incomplete: no frame pointer', '', 'incomplete: no frame pointer'],
    ['(small)', '', '(small)'],
    ['', '', ''],
    ['.', '', '.'],
    ['a/', '', 'a/'],
  ];
  for (const [name, scope, base] of cases) deepEqual(split(name), [scope, base], name);
});

test('the scope goes first, the function is cut last', () => {
  const name = 'net/http.(*conn).serve';
  deepEqual(fitName(name, 30, width), { scope: 'net/http.(*conn).', base: 'serve' });
  deepEqual(fitName(name, 14, width), { scope: '…conn).', base: 'serve' });
  deepEqual(fitName(name, 6, width), { scope: '…', base: 'serve' });
  equal(fitName(name, 5, width).base, 'serve');
  equal(fitName('handleOrderRequest', 16, width).base, 'handleOr…Request');
  equal(fitName('handleOrderRequest', 12, width).base, 'handleOrder…');
});

test('a cut text always fits, keeps its ends, and ends with a whole word', () => {
  const text = 'dispatch_command_with_many_words';
  for (let room = 0; room < text.length; room += 1) {
    const cut = cutMiddle(text, room, width);
    ok(width(cut) <= room, `${room}: ${cut}`);
    if (cut === '') continue;
    const [head = '', tail = ''] = cut.split('…');
    ok(text.startsWith(head) && text.endsWith(tail), cut);
    if (tail !== '') ok(text.endsWith(`_${tail}`), cut);
  }
});

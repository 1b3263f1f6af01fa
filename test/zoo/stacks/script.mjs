// What JavaScript programs are made of: recursion, sorting with a closure, regular expressions, JSON, compression on the thread pool,
// timers. Run it in a temporary folder.

import { gzip } from 'node:zlib';

function recurse(depth, work) {
  return depth === 0 ? work() : recurse(depth - 1, work) + 1;
}

function sortRecords() {
  const records = Array.from({ length: 200 }, (_, number) => ({ key: (number * 7919) % 101, text: 'x'.repeat(number % 13) }));
  return records.sort((left, right) => left.key - right.key || left.text.localeCompare(right.text)).length;
}

function parseText() {
  const text = JSON.stringify(Array.from({ length: 100 }, (_, number) => ({ number, text: `text ${number}` })));
  return [...text.matchAll(/"number":(\d+)/g)].length + JSON.parse(text).length;
}

function live(turn) {
  for (let round = 0; round < 200; round++) recurse(round % 30, round % 2 ? sortRecords : parseText);
  if (turn % 10 === 0) gzip(Buffer.alloc(1 << 20, 'some text '), () => setImmediate(live, turn + 1));
  else setImmediate(live, turn + 1);
}

process.stdout.write('ready\n');
live(0);

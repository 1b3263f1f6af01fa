/** The books balance at every moment, over restarts of a source too. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SourceBooks } from './capture-books.ts';

/** seen - stored - lost - in flight; anything but 0 is a defect. */
function unexplained(books: SourceBooks): number {
  const lost = [...books.lost().values()].reduce((sum, count) => sum + count, 0);
  return books.seen() - books.stored - lost - books.inFlight();
}

test('what was seen is stored, lost by reason, or in flight', () => {
  const books = new SourceBooks();
  books.received = 60;
  books.stored = 50;
  books.pending = 7;
  books.drop('malformed', 3);
  books.read({ seen: 100, emitted: 70, below_min: 20, buffer_full: 5 });
  // 5 calls are open, 10 records are in the buffer, 7 wait for names.
  assert.equal(books.inFlight(), 22);
  assert.equal(unexplained(books), 0);
});

test('calls open at a stop are told as lost, and a restart counts on', () => {
  const books = new SourceBooks();
  books.received = 8;
  books.stored = 8;
  books.close({ seen: 10, emitted: 8 });
  assert.equal(books.lost().get('open_at_stop'), 2);
  assert.equal(books.inFlight(), 0);
  assert.equal(unexplained(books), 0);
  books.received = 13;
  books.stored = 13;
  books.read({ seen: 6, emitted: 5, filtered: 1 });
  assert.equal(books.seen(), 16);
  assert.equal(books.inFlight(), 0);
  assert.equal(unexplained(books), 0);
});

test('what waited for its other half, and was given up, is lost and no longer stored', () => {
  const books = new SourceBooks();
  books.received = 10;
  books.stored = 10;
  books.read({ seen: 10, emitted: 10 });
  books.giveUp('expired', 2);
  assert.equal(books.stored, 8);
  assert.equal(unexplained(books), 0);
});

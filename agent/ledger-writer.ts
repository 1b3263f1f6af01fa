/** Writes the books of the sources into the ledger of the store: at each flush what has changed since the last. */

import type { SourceBooks } from './capture-books.ts';
import type { StoreWriter } from './store/rows.ts';

export class LedgerWriter {
  private readonly store: StoreWriter;
  private readonly written = new Map<string, number>();

  constructor(store: StoreWriter) {
    this.store = store;
  }

  write(books: ReadonlyMap<string, SourceBooks>, nowMs: number): void {
    for (const [name, book] of books) {
      this.entry(name, 'seen', book.seen(), nowMs);
      this.entry(name, 'stored', book.stored, nowMs);
      this.entry(name, 'in_flight', book.inFlight(), nowMs);
      for (const [reason, count] of book.lost()) this.entry(name, `lost:${reason}`, count, nowMs);
      for (const [end, count] of book.incomplete) this.entry(name, `incomplete:${end}`, count, nowMs);
    }
    for (const [table, count] of Object.entries(this.store.dropped())) this.entry('store', `dropped:${table}`, count, nowMs);
  }

  private entry(source: string, stage: string, total: number, timeMs: number): void {
    const key = `${source} ${stage}`;
    const change = total - (this.written.get(key) ?? 0);
    if (change === 0) return;
    this.store.ledger(source, stage, change, timeMs);
    this.written.set(key, total);
  }
}

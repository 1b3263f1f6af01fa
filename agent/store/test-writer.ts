/**
 * Run by writer.test.ts as a process of its own: writes spans, samples and ledger entries as fast as it can, commits, and says on
 * standard output how many each commit holds, until it is killed.
 */

import { frameRow, processRow, sampleRow, spanRow } from './test-kit.ts';
import { openStoreWriter } from './writer.ts';

const writer = openStoreWriter({ path: process.argv[2] as string });
const processId = writer.process(processRow());
const stackId = writer.stack([writer.frame(frameRow('main')), writer.frame(frameRow('work', { address: 2n }))]);
let count = 0;
for (;;) {
  const nowMs = Date.now();
  for (let i = 0; i < 500; i += 1) {
    writer.span(spanRow({ processId, startNs: BigInt(nowMs) * 1_000_000n }));
    writer.sample(sampleRow({ processId, stackId, timeMs: nowMs }));
  }
  count += 500;
  writer.ledger('file', 'seen', 501, nowMs);
  writer.ledger('file', 'stored', 500, nowMs);
  writer.ledger('file', 'in_flight', 1, nowMs);
  writer.flush();
  process.stdout.write(`${count}\n`);
}

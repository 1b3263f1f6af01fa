/** Records per second that the generated decoders turn into typed events on one core: an exit event, 56 bytes and 64 with its record's frame. */

import { decodeExec } from '../../agent/events/index.ts';
import { type BenchRow, median, rowWithTarget } from './row.ts';

const records = 16_384;
const recordBytes = 56;
const rounds = 9;
const passesPerRound = 60;

export async function run(): Promise<BenchRow[]> {
  const data = makeRecords();
  const rates: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const startMs = performance.now();
    let checksum = 0;
    for (let pass = 0; pass < passesPerRound; pass += 1) checksum += decodeAll(data);
    const seconds = (performance.now() - startMs) / 1000;
    if (checksum !== passesPerRound * expectedChecksum()) throw new Error('the decoder gave other values than were written');
    rates.push((passesPerRound * records) / seconds);
  }
  // The first round warms the compiler up.
  return [
    rowWithTarget('records decoded per second, one core', median(rates.slice(1)), '/s', { isAtLeast: true, bound: 3_000_000 }),
  ];
}

/** Sums a field of each event, so that no part of the work can be left out by the compiler. */
function decodeAll(data: Buffer): number {
  let checksum = 0;
  for (let i = 0; i < records; i += 1) {
    const event = decodeExec(data, i * recordBytes, recordBytes);
    if (event !== undefined && event.kind === 'exit' && event.comm !== '') checksum += event.exitStatus;
  }
  return checksum;
}

function expectedChecksum(): number {
  let sum = 0;
  for (let i = 0; i < records; i += 1) sum += i % 256;
  return sum;
}

/** Exit events of 200 programs: the number of distinct names decides how often the names' cache hits. */
function makeRecords(): Buffer {
  const data = Buffer.alloc(records * recordBytes);
  for (let i = 0; i < records; i += 1) {
    const at = i * recordBytes;
    data.writeBigUInt64LE(BigInt(1e15 + i * 1000), at);
    data.writeUInt16LE(2, at + 8);
    data.writeUInt32LE(recordBytes, at + 12);
    data.writeUInt32LE(1000 + (i % 5000), at + 16);
    data.writeUInt32LE(1000 + (i % 5000), at + 20);
    data.writeBigUInt64LE(BigInt(1e14 + i), at + 24);
    data.writeUInt32LE(1, at + 32);
    data.writeUInt32LE(i % 256, at + 36);
    data.write(`program-${i % 200}`, at + 40, 'latin1');
  }
  return data;
}

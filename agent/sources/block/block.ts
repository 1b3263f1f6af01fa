/** Source block: requests to block devices as spans, and the stacks that they and the kernel's sums refer to. */

import type { BlockEvent, BlockRequestEvent } from '../../events/index.ts';
import { attributes } from '../attributes.ts';
import type { FunctionNames } from '../function-names.ts';
import { KnownStacks } from '../known-stacks.ts';
import type { AttributeValue, Hook, HookWay, Sink, Source } from '../source.ts';
import { blockError, deviceNumber } from './block-device.ts';

/** BLOCK_FLAG_* of bpf/block/block.h; block.test.ts reads them from there. */
export const blockFlags = { kernel: 1, writeback: 2, notSent: 4, noStack: 8, flushes: 16 } as const;

const tracepoints = (...programs: string[]): HookWay => ({
  name: 'btf_tracepoint',
  programs: programs.map(program => ({ program, attach: { type: 'auto' } })),
});

export const blockHooks: readonly Hook[] = [
  { observes: 'who asks for flushes (block_bio_queue)', ways: [tracepoints('block_bio')] },
  {
    observes: 'requests to block devices (block_rq_insert, block_rq_issue, block_rq_complete)',
    ways: [tracepoints('block_complete', 'block_issue', 'block_insert')],
  },
];

export class BlockSource implements Source<'block'> {
  readonly name = 'block';
  readonly needs = blockHooks;
  readonly stacks: KnownStacks;

  constructor(names: Pick<FunctionNames, 'want' | 'wantUser' | 'of'>) {
    this.stacks = new KnownStacks(names);
  }

  assemble(event: BlockEvent, sink: Sink): void {
    if (event.kind === 'stack') {
      this.stacks.tell(event);
      return;
    }
    const { timeNs, latencyNs, pid, tid, comm } = event;
    sink.span({
      name: `disk ${event.operation}`,
      startNs: timeNs - latencyNs,
      durationNs: latencyNs,
      pid,
      tid,
      comm,
      spanKey: 0n,
      parentKey: 0n,
      traceKey: 0n,
      error: blockError(event.error),
      attributes: attributesOf(event),
      stack: this.stacks.shown(this.stacks.get(event.stack, timeNs)),
    });
  }
}

function attributesOf(event: BlockRequestEvent): Record<string, AttributeValue> {
  const { flags, latencyNs, deviceNs, work } = event;
  const isSent = (flags & blockFlags.notSent) === 0;
  const values: Record<string, AttributeValue> = {
    [attributes.systemDevice]: event.deviceName,
    [attributes.blockDevice]: deviceNumber(event.device),
    [attributes.blockBytes]: event.size,
    [(flags & blockFlags.flushes) === 0 ? attributes.blockQueueTime : attributes.blockFlushTime]: (latencyNs - deviceNs) / 1e6,
    [attributes.blockDeviceTime]: deviceNs / 1e6,
    [attributes.blockAskedBy]: askedBy(flags),
  };
  if (isSent && event.size > 0) values[attributes.blockSector] = event.sector;
  if (work !== '') values[attributes.threadWork] = work;
  return values;
}

function askedBy(flags: number): string {
  if ((flags & blockFlags.writeback) !== 0) return 'writeback';
  return (flags & blockFlags.kernel) !== 0 ? 'kernel' : 'process';
}

/** Source file: from events of open, read, write and fsync to spans. */

import type { FileEvent } from '../../events/index.ts';
import { errnoName } from '../../lib/errno-name.ts';
import { attributes } from '../attributes.ts';
import type { AttributeValue, Hook, Sink, Source } from '../source.ts';
import { openFlagsText } from './open-flags.ts';

/** Bits of file_event.known, bpf/file/file.h; file.test.ts reads them from there. */
export const known = { pathIsCut: 1, hasFlags: 2, hasInode: 4 } as const;

/** One event is one whole call, so nothing is kept between events. */
export class FileSource implements Source<'file'> {
  readonly name = 'file';
  readonly needs: readonly Hook[];

  constructor(needs: readonly Hook[]) {
    this.needs = needs;
  }

  assemble(event: FileEvent, sink: Sink): void {
    sink.span({
      name: event.operation,
      startNs: event.timeNs - event.latencyNs,
      durationNs: event.latencyNs,
      pid: event.pid,
      tid: event.tid,
      comm: event.comm,
      spanKey: 0n,
      parentKey: 0n,
      traceKey: 0n,
      error: event.result < 0 ? errnoName(-event.result) : '',
      attributes: attributesOf(event),
      stack: { kernel: event.kernelStack, user: event.userStack, end: event.userEnd, raw: event.userRaw },
    });
  }
}

function attributesOf(event: FileEvent): Record<string, AttributeValue> {
  const { operation } = event;
  const values: Record<string, AttributeValue> = { [attributes.result]: event.result };
  if (event.path !== '') values[attributes.filePath] = pathText(event);
  if ((event.known & known.hasInode) !== 0) {
    values[attributes.fileSize] = event.fileBytes;
    values[attributes.fileInode] = event.inode;
    values[attributes.fileDevice] = `${event.device >>> 20}:${event.device & 0xfffff}`;
  }
  if ((operation === 'read' || operation === 'write') && event.requestedBytes > 0) {
    values[attributes.requestedBytes] = event.requestedBytes;
  }
  if (operation === 'open' && (event.known & known.hasFlags) !== 0) {
    values[attributes.openFlags] = openFlagsText(event.openFlags);
    if (event.openMode !== 0) values[attributes.openMode] = event.openMode.toString(8).padStart(4, '0');
  }
  return values;
}

/** A name as passed lost its end; a path from the kernel lost its front, and says so by its own dots. */
function pathText(event: FileEvent): string {
  return event.operation === 'open' && (event.known & known.pathIsCut) !== 0 ? `${event.path}...` : event.path;
}

/** Source func: from calls of probed functions to spans. Pairing and nesting are done in the kernel. */

import type { ValueType } from '../../bpf/native.ts';
import type { FuncEvent } from '../../events/index.ts';
import { errnoName } from '../../lib/errno-name.ts';
import { GenerationMap } from '../../lib/generation-map.ts';
import { attributes } from '../attributes.ts';
import type { AttributeValue, Hook, Sink, Source } from '../source.ts';
import type { ProbedFunction } from './functions.ts';
import { errnoOf, hex, longResult, readable } from './value.ts';

/** What a span needs to know of its function. */
export type TracedFunction = Pick<
  ProbedFunction,
  'name' | 'module' | 'argumentWords' | 'syscallArgumentWords' | 'returnsValue' | 'resultType'
>;

/** Functions that are no longer probed and whose last records may still come. */
const maxRetired = 4096;

export class FuncSource implements Source<'func'> {
  readonly name = 'func';
  readonly needs: readonly Hook[];
  private readonly probed = new Map<number, TracedFunction>();
  private readonly retired = new GenerationMap<number, TracedFunction>(maxRetired);

  constructor(needs: readonly Hook[]) {
    this.needs = needs;
  }

  /** Tells what the id in events stands for. An id is never used again. */
  know(id: number, traced: TracedFunction): void {
    this.probed.set(id, traced);
  }

  /** The function is no longer probed; its last records may still come. */
  retire(id: number): void {
    const traced = this.probed.get(id);
    if (traced !== undefined) this.retired.set(id, traced);
    this.probed.delete(id);
  }

  assemble(event: FuncEvent, sink: Sink): void {
    const traced = this.probed.get(event.target) ?? this.retired.get(event.target);
    if (traced === undefined) {
      sink.drop('unknown-target', 1);
      return;
    }
    sink.span({
      name: traced.name,
      startNs: event.timeNs - event.latencyNs,
      durationNs: event.latencyNs,
      pid: event.pid,
      tid: event.tid,
      comm: event.comm,
      spanKey: event.spanKey,
      parentKey: event.parentKey,
      traceKey: event.traceKey,
      error: traced.returnsValue ? errorOf(event.result, resultTypeOf(event, traced)) : '',
      attributes: attributesOf(event, traced),
      stack:
        event.kernelStack.length + event.userStack.length === 0
          ? undefined
          : { kernel: event.kernelStack, user: event.userStack, end: event.userEnd, raw: event.userRaw },
    });
  }
}

/** Kernel functions return -errno; functions of programs have no such convention. */
function errorOf(result: bigint, type: ValueType | undefined): string {
  const errno = type === undefined ? 0 : errnoOf(result, type);
  return errno === 0 ? '' : errnoName(errno);
}

/** Through a system call the result is the call's, a long. */
function resultTypeOf(event: FuncEvent, traced: TracedFunction): ValueType | undefined {
  return event.syscall === 0 ? traced.resultType : longResult;
}

function attributesOf(event: FuncEvent, traced: TracedFunction): Record<string, AttributeValue> {
  const values: Record<string, AttributeValue> = {
    [attributes.codeFunctionName]: traced.name,
    [attributes.functionAddress]: hex(event.address),
  };
  const type = resultTypeOf(event, traced);
  if (traced.module !== '') values[attributes.functionModule] = traced.module;
  if (traced.returnsValue) {
    const errno = type === undefined ? 0 : errnoOf(event.result, type);
    values[attributes.result] = errno === 0 ? readable(event.result, type) : -errno;
  }
  if (event.syscall !== 0) values[attributes.functionSyscall] = event.syscall - 1;
  const known = event.syscall === 0 ? traced.argumentWords : traced.syscallArgumentWords;
  const words = known ?? event.args.map((_, i) => ({ name: String(i), type: undefined }));
  for (const [i, { name, type: argumentType }] of words.entries()) {
    const argument = event.args[i];
    if (argument !== undefined) values[`${attributes.argumentPrefix}${name}`] = readable(argument, argumentType);
  }
  return values;
}

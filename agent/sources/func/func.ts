/** Source func: from calls of probed functions to spans. Pairing and nesting are done in the kernel. */

import type { FuncEvent } from '../../events/index.ts';
import { errnoName } from '../../lib/errno-name.ts';
import { GenerationMap } from '../../lib/generation-map.ts';
import { attributes } from '../attributes.ts';
import type { AttributeValue, Hook, Sink, Source } from '../source.ts';

/** What a span needs to know of its function. */
export interface TracedFunction {
  readonly name: string;
  /** Path of the binary; '' for the kernel. */
  readonly module: string;
  readonly argumentNames: readonly string[] | undefined;
  /** Of the system calls by which the function is seen: their arguments are not those of the function. */
  readonly syscallArgumentNames: readonly string[] | undefined;
  readonly returnsValue: boolean;
}

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
      error: errorOf(event.result, traced),
      attributes: attributesOf(event, traced),
      stack:
        event.kernelStack.length + event.userStack.length === 0
          ? undefined
          : { kernel: event.kernelStack, user: event.userStack },
    });
  }
}

/** Kernel functions return -errno as int, as long or as pointer; functions of programs have no such convention. */
function errorOf(result: bigint, traced: TracedFunction): string {
  if (traced.module !== '' || !traced.returnsValue) return '';
  const value = signed(result);
  return value < 0n && value >= -4095n ? errnoName(Number(-value)) : '';
}

function attributesOf(event: FuncEvent, traced: TracedFunction): Record<string, AttributeValue> {
  const values: Record<string, AttributeValue> = {
    [attributes.codeFunctionName]: traced.name,
    [attributes.functionAddress]: hex(event.address),
  };
  if (traced.module !== '') values[attributes.functionModule] = traced.module;
  if (traced.returnsValue) values[attributes.result] = readable(event.result);
  if (event.syscall !== 0) values[attributes.functionSyscall] = event.syscall - 1;
  const known = event.syscall === 0 ? traced.argumentNames : traced.syscallArgumentNames;
  const names = known ?? event.args.map((_, i) => String(i));
  for (const [i, name] of names.entries()) {
    const argument = event.args[i];
    if (argument !== undefined) values[`${attributes.argumentPrefix}${name || i}`] = readable(argument);
  }
  return values;
}

/** A register holds no type: small values are numbers of either sign, also where only its lower half was set; others addresses. */
export function readable(value: bigint): AttributeValue {
  const number = signed(value);
  return number >= -0x80000000n && number <= 0xffffffffn ? Number(number) : hex(value);
}

/** As 64 bits with a sign, or as 32 where that makes it a small negative number such as -errno or AT_FDCWD. */
function signed(value: bigint): bigint {
  const narrow = BigInt.asIntN(32, value);
  if (value <= 0xffffffffn && narrow < 0n && narrow >= -4095n) return narrow;
  return BigInt.asIntN(64, value);
}

function hex(value: bigint): string {
  return `0x${BigInt.asUintN(64, value).toString(16)}`;
}

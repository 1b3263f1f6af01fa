/**
 * How long waits lasted, by kind: histograms that the programs keep of every wait. They have no stack to tell a cause by, so they go
 * by the system call, from the table in wait-cause.ts, by what a futex call expects, and by the kernel's mark of block I/O.
 */

import type { NativeObject } from '../../bpf/native.ts';
import { readSchedLatencies, type SchedWait, schedLatenciesBytes, schedWait } from '../../events/index.ts';
import { addUp } from '../latency-sums.ts';
import type { OperationSums } from '../source.ts';
import { causeOfSyscall, type WaitCause } from './wait-cause.ts';

/** What each kind is called: as the marks on the stacks are, where they mean the same. */
const operations: Readonly<Record<SchedWait, string>> = {
  woken: 'run queue: woken',
  preempted: 'run queue: preempted',
  disk: 'blocked: disk',
  lock: 'blocked: lock',
  condition: 'blocked: condition',
  file_system: 'blocked: file system',
  network_receive: 'blocked: network receive',
  network_send: 'blocked: network send',
  idle: 'blocked: idle',
  sleep: 'blocked: sleep',
  child: 'blocked: child',
  read_write: 'blocked: read or write',
  no_syscall: 'blocked: outside system calls',
  other: 'blocked: other',
};

const waitOfCause: Readonly<Partial<Record<WaitCause, SchedWait>>> = {
  lock: 'lock',
  condition: 'condition',
  disk: 'disk',
  'file system': 'file_system',
  'network receive': 'network_receive',
  'network send': 'network_send',
  idle: 'idle',
  sleep: 'sleep',
  child: 'child',
};

/** x86-64: read, write, pread64, pwrite64, readv, writev, preadv, pwritev, preadv2, pwritev2. */
const readsAndWrites = [0, 1, 17, 18, 19, 20, 295, 296, 327, 328];

/** What the programs count a blocked thread under, by the number of its system call; calls that are not in it are "other". */
export function waitsBySyscall(): Map<number, SchedWait> {
  const waits = new Map<number, SchedWait>(readsAndWrites.map(call => [call, 'read_write']));
  for (const [call, cause] of causeOfSyscall) {
    const wait = waitOfCause[cause];
    if (wait !== undefined) waits.set(call, wait);
  }
  return waits;
}

/** Writes sched_causes. */
export function fillCauses(object: NativeObject): void {
  const key = Buffer.alloc(4);
  for (const [call, wait] of waitsBySyscall()) {
    key.writeUInt32LE(call, 0);
    object.mapUpdate('sched_causes', key, Buffer.of(schedWait[wait]));
  }
}

/** Totals since the start of the source; kinds of which there was none are left out. */
export function latencySums(object: NativeObject): OperationSums[] {
  const key = Buffer.alloc(4);
  return (Object.keys(operations) as SchedWait[])
    .map(wait => {
      key.writeUInt32LE(schedWait[wait], 0);
      const perCpu = object.mapLookup('sched_latencies', key) ?? Buffer.alloc(0);
      return addUp(operations[wait], perCpu, schedLatenciesBytes, readSchedLatencies);
    })
    .filter(({ calls }) => calls > 0);
}

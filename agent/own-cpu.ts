/**
 * The CPU time of the agent's own threads, without that of the thread that answers queries: what people look at costs what it costs,
 * and holding back the sources would not make it less.
 */

import { readdirSync, readFileSync } from 'node:fs';

/** Name of the thread of store/query-client.ts; the system keeps 15 characters. */
const queryThread = 'hotspan-query';
/** Threads are looked for this often; the query thread is made anew where it died. */
const searchEvery = 10;

export class OwnCpu {
  private calls = 0;
  private queryTids: readonly string[] = [];

  /** Microseconds since the start of the process. Threads that end take theirs along, so that it may be a bit less than before. */
  readMicros(): number {
    if (this.calls % searchEvery === 0) this.queryTids = threadsCalled(queryThread);
    this.calls += 1;
    const own = process.cpuUsage();
    return own.user + own.system - this.queryTids.reduce((total, tid) => total + threadMicros(tid), 0);
  }
}

function threadsCalled(name: string): string[] {
  return readdirSync('/proc/self/task').filter(tid => readText(`/proc/self/task/${tid}/comm`).trim() === name);
}

/** First word of schedstat: nanoseconds on a CPU. */
function threadMicros(tid: string): number {
  return Number(readText(`/proc/self/task/${tid}/schedstat`).split(' ')[0] ?? 0) / 1000;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    // The thread has ended, or the kernel keeps no such figures: its time then counts with the rest.
    return '';
  }
}

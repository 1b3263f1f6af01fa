/**
 * Source exec: the process table. A process starts with its fork, or with the scan of /proc that fills in what was there before;
 * an exec gives it a new image; its exit ends it and, where its start was seen, makes a span of its life. Records come in the order
 * of their times as a rule; where a busy CPU's come late, each still finds its process, and a life waits a while for its start.
 */

import type { ExecEvent, ExecExitEvent, ExecImageEvent } from '../../events/index.ts';
import { GenerationMap } from '../../lib/generation-map.ts';
import { attributes } from '../attributes.ts';
import type { AttributeValue, Hook, HookWay, ProcessStart, Sink, Source } from '../source.ts';
import { containerIdOf } from './container-id.ts';
import { parseCommandLine, type ScannedProcess } from './proc-scan.ts';

/** Reads build ids of executables: hex, '' where there is none or it cannot be had. */
export interface BuildIds {
  /** Of what a process runs now. */
  ofProcess(pid: number): string;
  /** Of what a process ran when it was told of; it may have ended since. */
  ofImage(image: Pick<ExecImageEvent, 'pid' | 'parentPid' | 'executable' | 'device' | 'inode'>): string;
}

/** A process that lives. */
interface Known {
  /** As told first: with pid the identity, so it stays when a more exact one comes. */
  readonly start: ProcessStart;
  readonly uid: number | undefined;
  /** Its fork was seen, so that its whole life can become a span. */
  readonly isStartSeen: boolean;
  /** ktime at which it was seen first, by a record or in /proc. */
  readonly seenNs: number;
  /** ktime of the record that told its image; 0 for /proc, whose image any record replaces. */
  readonly imageNs: number;
}

/** A process that ended, for records of it that are still to come. */
interface Ended {
  readonly exit: ExecExitEvent;
  process: Known;
}

/**
 * The kernel's pid_max goes to 4 M; more than this alive at once means that exits were lost, and the oldest go. Should one live
 * after all, its exit is still told, only without the span of its life.
 */
const maxKnown = 1 << 16;

/** Processes that ended lately, to know the records that come after their exit. */
const maxEnded = 4096;

/** Lives that wait for their start at once; more than that, and all that wait are given up. */
const maxWaiting = 4096;

/**
 * How long a life waits for the record of its start. Records are late by milliseconds; on a host that gives a CPU no time, by some
 * hundred.
 */
const waitNs = 2e9;

/** Between a process's appearance in /proc and the record of its fork, from which the tracepoint way takes its start. */
const startToleranceNs = 2e7;

export class ExecSource implements Source<'exec'> {
  readonly name = 'exec';
  readonly needs: readonly Hook[] = execHooks;
  private readonly buildIds: BuildIds;
  private readonly known = new Map<number, Known>();
  private readonly ended = new GenerationMap<number, Ended>(maxEnded);
  /** Lives whose start has not come, by pid, oldest first. */
  private readonly waiting = new Map<number, Ended>();
  /** Lives without a start since the last expire, which counts them: between two records there is no record to count as dropped. */
  private givenUp = 0;

  constructor(buildIds: BuildIds) {
    this.buildIds = buildIds;
  }

  assemble(event: ExecEvent, sink: Sink): void {
    if (event.kind === 'image') this.image(event, sink);
    else this.exit(event, sink);
  }

  /** Tells the lives whose start came after their end, and gives up on those whose start did not come in time. */
  expire(nowNs: number, sink: Sink): void {
    for (const life of this.waiting.values()) {
      if (life.exit.timeNs > nowNs - waitNs) break;
      this.settle(life, sink);
    }
    if (this.givenUp > 0) sink.drop('expired', this.givenUp);
    this.givenUp = 0;
  }

  /** Adds what /proc shows. Processes that the kernel told of already keep what it said. */
  addScanned(processes: readonly ScannedProcess[], sink: Sink): void {
    for (const scanned of processes) {
      const known = this.known.get(scanned.pid);
      const ended = this.ended.get(scanned.pid);
      // It was read from /proc, or lay there as a zombie, before its exit was told; an entry for it would never go.
      if (ended !== undefined && scanned.startNs < ended.exit.timeNs) continue;
      if (known !== undefined && (known.start.executable !== '' || scanned.executable === '')) continue;
      const { pid, parentPid, comm, executable, commandLine, cgroupPath, seenNs } = scanned;
      const startNs = known?.start.startNs ?? scanned.startNs;
      const buildId = executable === '' ? '' : this.buildIds.ofProcess(pid);
      const start = {
        pid,
        parentPid,
        startNs,
        comm,
        executable,
        commandLine,
        buildId,
        cgroupPath,
        containerId: containerIdOf(cgroupPath),
      };
      this.remember({ start, uid: undefined, isStartSeen: known?.isStartSeen ?? false, seenNs, imageNs: 0 }, sink);
    }
  }

  private image(event: ExecImageEvent, sink: Sink): void {
    const ended = this.ended.get(event.pid);
    if (ended !== undefined && event.timeNs <= ended.exit.timeNs && event.timeNs >= ended.exit.startNs) {
      ended.process = this.withImage(event, ended.process);
      sink.processStarted(ended.process.start);
      tellExit(ended.exit, sink);
      return;
    }
    const waiting = this.waiting.get(event.pid);
    // The pid is in use again.
    if (waiting !== undefined) this.settle(waiting, sink);
    const known = this.known.get(event.pid);
    const before = known !== undefined && isSameProcess(known, event.startNs) ? known : undefined;
    this.remember(this.withImage(event, before), sink);
  }

  /** What is known of a process after `event`. */
  private withImage(event: ExecImageEvent, before: Known | undefined): Known {
    const isFork = event.cause === 'fork';
    const isStartSeen = isFork || (before?.isStartSeen ?? false);
    // It has taken another image since.
    if (before !== undefined && event.timeNs < before.imageNs) return { ...before, isStartSeen };
    const parent = isFork ? this.known.get(event.parentPid)?.start : undefined;
    const start: ProcessStart = {
      pid: event.pid,
      parentPid: event.parentPid,
      startNs: before?.start.startNs ?? event.startNs,
      comm: event.comm,
      executable: event.executable,
      // The parent's arguments may have been paged out when its fork was told; the child's are the same.
      commandLine: parseCommandLine(event.commandLine) || (parent?.commandLine ?? ''),
      buildId: event.inode === 0n ? '' : this.buildIds.ofImage(event),
      cgroupPath: event.cgroupPath,
      containerId: containerIdOf(event.cgroupPath),
    };
    return { start, uid: event.uid, isStartSeen, seenNs: before?.seenNs ?? event.timeNs, imageNs: event.timeNs };
  }

  private remember(process: Known, sink: Sink): void {
    const { pid } = process.start;
    if (this.known.size >= maxKnown && !this.known.has(pid)) this.forgetOldest();
    this.known.set(pid, process);
    sink.processStarted(process.start);
  }

  /** Many at once: finding the first entry of a map costs as much as there are deleted ones before it. */
  private forgetOldest(): void {
    let left = maxKnown / 16;
    for (const pid of this.known.keys()) {
      if (left === 0) return;
      this.known.delete(pid);
      left -= 1;
    }
  }

  private exit(event: ExecExitEvent, sink: Sink): void {
    const { pid, startNs } = event;
    if (this.ended.get(pid)?.exit.startNs === startNs) {
      // Two last threads of a process that exited together each saw that no thread was left.
      sink.drop('repeated_exit', 1);
      return;
    }
    const waiting = this.waiting.get(pid);
    if (waiting !== undefined) this.settle(waiting, sink);
    const known = this.known.get(pid);
    const isKnown = known !== undefined && isSameProcess(known, startNs);
    const ended: Ended = { exit: event, process: isKnown ? known : bareProcess(event) };
    this.ended.set(pid, ended);
    this.known.delete(pid);
    if (!isKnown) sink.processStarted(ended.process.start);
    tellExit(event, sink);
    if (ended.process.isStartSeen) this.tellLife(ended.process, event, sink);
    // What was older when it was seen first began before there was a hook to see it.
    else if (ended.process.seenNs - startNs < waitNs) this.wait(ended, sink);
  }

  private wait(life: Ended, sink: Sink): void {
    if (this.waiting.size >= maxWaiting) for (const other of this.waiting.values()) this.settle(other, sink);
    this.waiting.set(life.exit.pid, life);
  }

  private settle({ exit, process }: Ended, sink: Sink): void {
    this.waiting.delete(exit.pid);
    if (process.isStartSeen) this.tellLife(process, exit, sink);
    // Where something was known before its end, its life has begun before the first record, which is no loss.
    else if (process.imageNs === nothingKnown) this.givenUp += 1;
  }

  private tellLife({ start, uid }: Known, { timeNs, exitStatus, comm }: ExecExitEvent, sink: Sink): void {
    const signal = exitStatus & 0x7f;
    const code = (exitStatus >>> 8) & 0xff;
    const values: Record<string, AttributeValue> = {
      [attributes.processExecutableName]: start.executable.slice(start.executable.lastIndexOf('/') + 1) || comm,
      [attributes.processCommandArgs]: start.commandLine,
      [attributes.processParentPid]: start.parentPid,
    };
    if (uid !== undefined) values[attributes.processUserId] = uid;
    if (signal === 0) values[attributes.processExitCode] = code;
    else values[attributes.exitSignal] = signal;
    sink.span({
      name: 'process',
      startNs: start.startNs,
      durationNs: Math.max(0, timeNs - start.startNs),
      pid: start.pid,
      tid: start.pid,
      comm,
      spanKey: 0n,
      parentKey: 0n,
      traceKey: 0n,
      error: signal !== 0 ? `signal ${signal}` : code !== 0 ? `exit ${code}` : '',
      attributes: values,
      stack: undefined,
    });
  }
}

/**
 * Whether a process known by pid is the one that started at `startNs`, or an earlier one with its pid whose exit was lost. Its start
 * as known may be off (ticks of /proc, time of a record), but what was seen once did not start later.
 */
function isSameProcess(known: Known, startNs: number): boolean {
  return startNs <= known.seenNs || Math.abs(startNs - known.start.startNs) < startToleranceNs;
}

function tellExit({ pid, timeNs, exitStatus }: ExecExitEvent, sink: Sink): void {
  sink.processExited({ pid, timeNs, exitStatus });
}

/** imageNs where neither a record nor /proc told an image. */
const nothingKnown = -1;

/** What an exit says of a process of which nothing else is known. */
function bareProcess({ pid, parentPid, startNs, comm }: ExecExitEvent): Known {
  const nothing = { executable: '', commandLine: '', buildId: '', cgroupPath: '', containerId: '' };
  return {
    start: { pid, parentPid, startNs, comm, ...nothing },
    uid: undefined,
    isStartSeen: false,
    seenNs: startNs,
    imageNs: nothingKnown,
  };
}

export const execHooks: readonly Hook[] = [
  { observes: 'fork of a process', ways: waysOf('fork', { category: 'task', name: 'task_newtask' }) },
  { observes: 'exec of a new image', ways: waysOf('exec', { category: 'sched', name: 'sched_process_exec' }) },
  { observes: 'exit of a process', ways: waysOf('exit', { category: 'sched', name: 'sched_process_exit' }) },
];

/**
 * The scheduler's tracepoints are where processes begin and end; no function has a better place, so none is tried by kprobe. The
 * plain way comes first although the others cost some nanoseconds less: its programs run with preemption off, where those of the
 * others can be preempted from 7.0 on, and the kernel leaves a program out on a CPU where it is running already. On a kernel with
 * full or lazy preemption that lost exits (seen on 7.2). What is left out is counted.
 */
function waysOf(call: 'fork' | 'exec' | 'exit', tracepoint: { category: string; name: string }): readonly HookWay[] {
  return [
    { name: 'tracepoint', programs: [{ program: `exec_${call}_tp`, attach: { type: 'tracepoint', ...tracepoint } }] },
    { name: 'btf_tracepoint', programs: [{ program: `exec_${call}_btf`, attach: { type: 'auto' } }] },
    { name: 'raw_tracepoint', programs: [{ program: `exec_${call}_raw`, attach: { type: 'auto' } }] },
  ];
}

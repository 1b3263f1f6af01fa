/**
 * What a blocked thread waited for, told from where in the kernel it slept and, where that is a futex, from what the call expects and
 * who made it. Tables are read from the top: the first rule that fits decides. Functions are those of Linux 5.10 to 7.2; a name that
 * a kernel does not have harms nothing.
 */

/** Causes of blocked time. */
export type WaitCause =
  | 'lock'
  | 'condition'
  | 'disk'
  | 'file system'
  | 'page fault'
  | 'network receive'
  | 'network send'
  | 'idle'
  | 'sleep'
  | 'pipe'
  | 'child'
  | 'uninterruptible'
  | 'other';

/** What is known of a sleep. */
export interface Sleep {
  /** Kernel functions, leaf first; empty where the stack could not be told. */
  readonly functions: readonly string[];
  /** The innermost of the program's own functions, leaf first; empty where they are not known. Asked for at a futex only. */
  readonly callers: () => readonly string[];
  /** The futex that it waits for holds what a lock holds that is taken. */
  readonly isLock: boolean;
  /** Number of the system call, or noSyscall. */
  readonly syscall: number;
  /** The kernel counts it as waiting for a block device. */
  readonly isIoWait: boolean;
  /** Cannot be interrupted: state D. */
  readonly isUninterruptible: boolean;
}

/** SCHED_NO_SYSCALL of bpf/sched/sched.h. */
export const noSyscall = 0xffff;

interface Rule {
  readonly cause: WaitCause;
  /** Words: fits where one of the functions is on the stack. A trailing * stands for any rest. */
  readonly on: string;
  /** And only where this holds too. */
  readonly when?: (sleep: Sleep) => boolean;
}

const rules: readonly Rule[] = [
  // A fault's stack goes through the file system and the disk below it, but what the thread did was to touch memory.
  { cause: 'page fault', on: 'handle_mm_fault do_user_addr_fault exc_page_fault do_page_fault handle_userfault' },
  { cause: 'disk', on: 'io_schedule* blk_mq_get_tag rq_qos_wait submit_bio_wait blk_execute_rq' },
  { cause: 'disk', on: '*', when: sleep => sleep.isIoWait },
  { cause: 'condition', on: 'futex_* do_futex __futex_*' },
  { cause: 'lock', on: 'rt_mutex_* __rt_mutex_* __mutex_lock* mutex_lock* rwsem_down_*' },
  { cause: 'lock', on: 'down_read* down_write* __down* percpu_rwsem_wait flock_lock_* fcntl_setlk posix_lock_*' },
  { cause: 'idle', on: 'ep_poll do_epoll_wait do_sys_poll do_poll* do_select core_sys_select io_cqring_wait' },
  { cause: 'idle', on: 'inet_csk_accept inet_csk_wait_for_connect unix_accept do_accept __sys_accept4' },
  { cause: 'idle', on: 'do_sigtimedwait sigsuspend __x64_sys_pause inotify_read eventfd_read signalfd_read n_tty_read' },
  { cause: 'sleep', on: 'do_nanosleep hrtimer_nanosleep timerfd_read common_nsleep*' },
  { cause: 'child', on: 'do_wait __do_wait kernel_wait4 wait_for_vfork_done coredump_wait' },
  { cause: 'pipe', on: 'pipe_read pipe_write anon_pipe_read anon_pipe_write fifo_pipe_* pipe_wait* wait_for_partner splice_*' },
  { cause: 'pipe', on: 'unix_stream_* unix_dgram_* unix_wait_for_peer mq_* do_msgrcv do_msgsnd do_semtimedop' },
  { cause: 'network send', on: 'sk_stream_wait_memory sock_alloc_send_pskb tcp_sendmsg* udp_sendmsg sock_sendmsg' },
  { cause: 'network send', on: '__sys_sendto __sys_connect inet_stream_connect inet_wait_for_connect' },
  { cause: 'network receive', on: 'tcp_recvmsg* sk_wait_data __skb_wait_for_more_packets sock_recvmsg inet_recvmsg' },
  { cause: 'network receive', on: 'sock_read_iter __sys_recvfrom vsock_*' },
  { cause: 'file system', on: 'jbd2_* ext4_* xfs_* btrfs_* nfs* fuse_* folio_wait_* wait_on_page_* do_fsync' },
  { cause: 'file system', on: 'vfs_fsync_range sync_* balance_dirty_pages* vfs_read vfs_write iterate_dir do_sys_openat2' },
  { cause: 'uninterruptible', on: '*', when: sleep => sleep.isUninterruptible },
];

/**
 * Waits at a futex, by who waits. A runtime's or a pool's thread without work is idle, as a server is that polls; locks that are made
 * of semaphores or conditions are locks all the same.
 */
const futexRules: readonly Rule[] = [
  // Go's threads sleep on a note when no goroutine is ready; only the runtime's own locks are locks.
  { cause: 'lock', on: 'runtime.lock runtime.lock2 runtime.lockWithRank runtime.lockWithRankMayAcquire' },
  {
    cause: 'idle',
    on: 'runtime.notesleep runtime.notetsleep runtime.notetsleepg runtime.notetsleep_internal runtime.futexsleep',
  },
  // Python's interpreter lock, PostgreSQL's lightweight and heavyweight locks, InnoDB's, Abseil's, parking_lot's.
  { cause: 'lock', on: 'take_gil LWLockAcquire LWLockAcquireOrWait ProcSleep lock_wait srw_mutex_impl* ssux_lock*' },
  { cause: 'lock', on: 'absl::Mutex::LockSlow* parking_lot::raw_mutex* parking_lot::raw_rwlock* SpinLockDelay' },
  { cause: 'lock', on: '*', when: sleep => sleep.isLock },
  // libuv's and Node's pools, nginx's, Redis', GLib's, MariaDB's.
  { cause: 'idle', on: 'uv_cond_wait uv_cond_timedwait ngx_thread_pool_cycle bioProcessBackgroundJobs IOThreadMain' },
  {
    cause: 'idle',
    on: 'g_async_queue_* g_thread_pool_* tpool::* buf_flush_page_cleaner* ma_checkpoint_background handle_manager',
  },
  // HotSpot's own threads: collectors, compilers, the rest.
  { cause: 'idle', on: 'WorkerThread::run GangWorker::* GCTaskThread::run CompileQueue::get WatcherThread::* VMThread::*' },
  {
    cause: 'idle',
    on: 'ConcurrentGCThread::* G1ServiceThread::* G1ConcurrentRefineThread* ServiceThread::* MonitorDeflationThread::*',
  },
];

/** For sleeps of which no stack is told: x86-64 numbers (arch/x86/entry/syscalls/syscall_64.tbl). */
export const causeOfSyscall: ReadonlyMap<number, WaitCause> = new Map([
  // poll, select, epoll_wait, pselect6, ppoll, epoll_pwait, epoll_pwait2, accept, accept4, pause, rt_sigsuspend, rt_sigtimedwait, io_uring_enter
  ...numbers('idle', [7, 23, 232, 270, 271, 281, 441, 43, 288, 34, 130, 128, 426]),
  // nanosleep, clock_nanosleep
  ...numbers('sleep', [35, 230]),
  // flock
  ...numbers('lock', [73]),
  // futex, futex_waitv
  ...numbers('condition', [202, 449]),
  // wait4, waitid
  ...numbers('child', [61, 247]),
  // recvfrom, recvmsg, recvmmsg
  ...numbers('network receive', [45, 47, 299]),
  // sendto, sendmsg, sendmmsg, connect
  ...numbers('network send', [44, 46, 307, 42]),
  // fsync, fdatasync, sync, syncfs
  ...numbers('file system', [74, 75, 162, 306]),
]);

function numbers(cause: WaitCause, calls: readonly number[]): [number, WaitCause][] {
  return calls.map(call => [call, cause]);
}

interface Compiled extends Rule {
  readonly exact: ReadonlySet<string>;
  readonly prefixes: readonly string[];
}

function compile(table: readonly Rule[]): readonly Compiled[] {
  return table.map(rule => {
    const words = rule.on.split(' ');
    return {
      ...rule,
      exact: new Set(words.filter(word => !word.endsWith('*'))),
      prefixes: words.filter(word => word.endsWith('*')).map(word => word.slice(0, -1)),
    };
  });
}

const compiled = compile(rules);
const compiledFutex = compile(futexRules);

/** Names that the compiler gave to parts of a function: "do_futex.isra.0" is do_futex. */
function plainName(name: string): string {
  const dot = name.indexOf('.');
  return dot < 0 ? name : name.slice(0, dot);
}

/** "tpool::wait(int)" is tpool::wait: what it takes says nothing here. */
function callerName(name: string): string {
  const parenthesis = name.indexOf('(', 1);
  return parenthesis < 0 || name.startsWith('(') ? name : name.slice(0, parenthesis);
}

function fits(rule: Compiled, sleep: Sleep, functions: readonly string[]): boolean {
  if (rule.when !== undefined && !rule.when(sleep)) return false;
  if (rule.prefixes.includes('')) return true;
  return functions.some(name => rule.exact.has(name) || rule.prefixes.some(prefix => name.startsWith(prefix)));
}

/** Never throws; 'other' where nothing is known of the sleep. */
export function causeOfSleep(sleep: Sleep): WaitCause {
  const functions = sleep.functions.map(plainName);
  const bySyscall = functions.length === 0 ? causeOfSyscall.get(sleep.syscall) : undefined;
  const cause = bySyscall ?? compiled.find(rule => fits(rule, sleep, functions))?.cause ?? 'other';
  if (cause !== 'condition') return cause;
  const callers = sleep.callers().map(callerName);
  return compiledFutex.find(rule => fits(rule, sleep, callers))?.cause ?? 'condition';
}

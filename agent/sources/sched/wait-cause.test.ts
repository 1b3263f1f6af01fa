/** The table of causes, by stacks as kernels 5.10 to 7.2 print them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { causeOfSleep, noSyscall, type Sleep, type WaitCause } from './wait-cause.ts';

const nothing: Sleep = {
  functions: [],
  callers: () => [],
  isLock: false,
  syscall: 0,
  isIoWait: false,
  isUninterruptible: false,
};

const futex = '__schedule schedule futex_wait_queue __futex_wait futex_wait do_futex __x64_sys_futex do_syscall_64';

function sleepOn(functions: string, more: Partial<Sleep> = {}): Sleep {
  return { ...nothing, functions: functions.split(' '), ...more };
}

const seen: readonly (readonly [WaitCause, string, Partial<Sleep>?])[] = [
  ['lock', futex, { isLock: true }],
  ['lock', '__schedule schedule futex_wait_queue_me futex_wait do_futex __x64_sys_futex', { isLock: true }],
  ['condition', futex],
  ['lock', '__schedule schedule rwsem_down_read_slowpath down_read mmap_read_lock do_mmap'],
  ['disk', '__schedule schedule io_schedule folio_wait_bit_common filemap_update_page filemap_read vfs_read'],
  ['disk', '__schedule schedule __iomap_dio_rw iomap_dio_rw xfs_file_dio_read vfs_read', { isIoWait: true }],
  ['page fault', '__schedule schedule io_schedule folio_wait_bit_common filemap_fault handle_mm_fault exc_page_fault'],
  ['file system', '__schedule schedule jbd2_log_wait_commit ext4_sync_file do_fsync', { isUninterruptible: true }],
  ['idle', '__schedule schedule schedule_hrtimeout_range ep_poll do_epoll_wait __x64_sys_epoll_wait'],
  ['idle', '__schedule schedule schedule_timeout inet_csk_accept inet_accept do_accept __sys_accept4'],
  ['sleep', '__schedule schedule do_nanosleep hrtimer_nanosleep common_nsleep __x64_sys_clock_nanosleep'],
  ['child', '__schedule schedule do_wait kernel_wait4 __do_sys_wait4'],
  ['pipe', '__schedule schedule anon_pipe_read vfs_read ksys_read do_syscall_64'],
  ['pipe', '__schedule schedule schedule_timeout unix_stream_read_generic sock_recvmsg sock_read_iter vfs_read'],
  ['network receive', '__schedule schedule wait_woken sk_wait_data tcp_recvmsg_locked inet_recvmsg sock_recvmsg'],
  ['network send', '__schedule schedule wait_woken sk_stream_wait_memory tcp_sendmsg_locked tcp_sendmsg'],
  ['uninterruptible', '__schedule schedule kvm_something', { isUninterruptible: true }],
  ['other', '__schedule schedule something_new'],
  ['lock', 'schedule futex_wait_queue.isra.0 __futex_wait.constprop.0', { isLock: true }],
];

test('each stack has its cause', () => {
  for (const [cause, functions, more] of seen) assert.equal(causeOfSleep(sleepOn(functions, more)), cause, functions);
});

test('without a stack the system call decides, and without either what the scheduler says', () => {
  const bare = (syscall: number, more: Partial<Sleep> = {}): Sleep => ({ ...nothing, syscall, ...more });
  assert.equal(causeOfSleep(bare(202)), 'condition');
  assert.equal(causeOfSleep(bare(202, { isLock: true })), 'lock');
  assert.equal(causeOfSleep(bare(232)), 'idle');
  assert.equal(causeOfSleep(bare(230)), 'sleep');
  assert.equal(causeOfSleep(bare(noSyscall)), 'other');
  assert.equal(causeOfSleep(bare(noSyscall, { isIoWait: true })), 'disk');
  assert.equal(causeOfSleep(bare(0, { isUninterruptible: true })), 'uninterruptible');
});

test('who waits at a futex tells a thread without work from one that wants a lock', () => {
  const callers: readonly (readonly [WaitCause, string, Partial<Sleep>?])[] = [
    ['idle', 'runtime.futex runtime.futexsleep runtime.notesleep runtime.stopm runtime.findRunnable runtime.schedule'],
    ['idle', 'runtime.futex runtime.futexsleep runtime.notesleep runtime.stopm', { isLock: true }],
    ['lock', 'runtime.futex runtime.futexsleep runtime.lock2 runtime.lock runtime.findRunnable'],
    ['idle', '__futex_abstimed_wait_common pthread_cond_wait uv_cond_wait worker start_thread'],
    ['idle', 'pthread_cond_wait tpool::thread_pool_generic::wait_for_tasks(lock&,worker*) start_thread'],
    ['lock', '__futex_abstimed_wait_common do_futex_wait sem_wait PGSemaphoreLock LWLockAcquire XLogInsertRecord'],
    ['lock', 'pthread_cond_timedwait take_gil PyEval_RestoreThread'],
    ['lock', '__lll_lock_wait pthread_mutex_lock main', { isLock: true }],
    ['condition', '__futex_abstimed_wait_common pthread_cond_wait main'],
  ];
  for (const [cause, names, more] of callers)
    assert.equal(causeOfSleep(sleepOn(futex, { callers: () => names.split(' '), ...more })), cause, names);
});

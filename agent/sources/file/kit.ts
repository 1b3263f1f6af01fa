/** Source file as the table lists it: its settings, the ways of its hooks, and its sums. */

import type { NativeObject } from '../../bpf/native.ts';
import { type FileOperation, fileOperation, fileSumsBytes, readFileSums, writeFileSettings } from '../../events/index.ts';
import { keepEntryStacks } from '../entry-stacks.ts';
import { addUp } from '../latency-sums.ts';
import { startSource } from '../runtime.ts';
import { durationNs, numberSetting, pidSetting } from '../settings.ts';
import type { Hook, HookWay, OperationSums, SettingSpec, SourceKit, SourceSettings } from '../source.ts';
import { FileSource } from './file.ts';

const settings: readonly SettingSpec[] = [
  {
    key: 'min',
    kind: 'duration',
    unit: 'us',
    help: 'Calls faster than this are counted but not told one by one; 0 tells all.',
    default: 50,
    min: 0,
    max: 60e6,
  },
  pidSetting,
];

/** Return before entry: a call that begins between the two is then not seen, instead of waiting for its return for ever. */
function probeWays(name: string, kernelFunction: string): HookWay[] {
  return [
    {
      name: 'fentry',
      programs: [
        { program: `${name}_fexit`, attach: { type: 'auto' } },
        { program: `${name}_fentry`, attach: { type: 'auto' } },
      ],
    },
    {
      name: 'kprobe',
      programs: [
        { program: `${name}_kretprobe`, attach: { type: 'kprobe', symbol: kernelFunction, isReturn: true } },
        { program: `${name}_kprobe`, attach: { type: 'kprobe', symbol: kernelFunction, isReturn: false } },
      ],
    },
  ];
}

/** The function of a system call. */
function syscallFunction(call: string): string {
  return `__${process.arch === 'arm64' ? 'arm64' : 'x64'}_sys_${call}`;
}

/** Both the function and the system calls: see bpf/file/file.bpf.c. The calls come last, so that none is seen as the function alone. */
function syncWays(): HookWay[] {
  const [fentry, kprobe] = probeWays('fsync', 'vfs_fsync_range');
  const auto = (program: string): HookWay['programs'][number] => ({ program, attach: { type: 'auto' } });
  const probe = (program: string, call: string, isReturn: boolean): HookWay['programs'][number] => ({
    program,
    attach: { type: 'kprobe', symbol: syscallFunction(call), isReturn },
  });
  const calls = ['fsync', 'fdatasync'];
  return [
    {
      name: 'fentry',
      programs: [...fentry!.programs, ...['fsyncs_fexit', 'fsyncs_fentry', 'fdatasyncs_fexit', 'fdatasyncs_fentry'].map(auto)],
    },
    {
      name: 'kprobe',
      programs: [
        ...kprobe!.programs,
        ...calls.flatMap(call => [probe('fsyncs_kretprobe', call, true), probe('fsyncs_kprobe', call, false)]),
      ],
    },
  ];
}

/** `entries`: which program watches which system calls; all share the program of the return. */
function syscallWay(exit: string, entries: Readonly<Record<string, readonly string[]>>): HookWay {
  const tracepoint = (program: string, name: string): HookWay['programs'][number] => ({
    program,
    attach: { type: 'tracepoint', category: 'syscalls', name },
  });
  const syscalls = Object.entries(entries).flatMap(([program, calls]) => calls.map(call => ({ program, call })));
  return {
    name: 'tracepoint',
    programs: [
      ...syscalls.map(({ call }) => tracepoint(exit, `sys_exit_${call}`)),
      ...syscalls.map(({ program, call }) => tracepoint(program, `sys_enter_${call}`)),
    ],
  };
}

/** Newer architectures have openat alone. */
const hasOldOpens = process.arch === 'x64';

export const fileHooks: readonly Hook[] = [
  {
    observes: 'opens (do_sys_openat2)',
    ways: [
      ...probeWays('open', 'do_sys_openat2'),
      syscallWay('open_exit', {
        ...(hasOldOpens ? { open_enter: ['open'], creat_enter: ['creat'] } : {}),
        openat_enter: ['openat'],
        openat2_enter: ['openat2'],
      }),
    ],
  },
  {
    observes: 'reads (vfs_read)',
    ways: [...probeWays('read', 'vfs_read'), syscallWay('read_exit', { read_enter: ['read', 'pread64'] })],
  },
  {
    observes: 'vector reads (vfs_readv)',
    ways: [...probeWays('readv', 'vfs_readv'), syscallWay('read_exit', { readv_enter: ['readv', 'preadv', 'preadv2'] })],
  },
  {
    observes: 'writes (vfs_write)',
    ways: [...probeWays('write', 'vfs_write'), syscallWay('write_exit', { write_enter: ['write', 'pwrite64'] })],
  },
  {
    observes: 'vector writes (vfs_writev)',
    ways: [...probeWays('writev', 'vfs_writev'), syscallWay('write_exit', { writev_enter: ['writev', 'pwritev', 'pwritev2'] })],
  },
  {
    observes: 'syncs (vfs_fsync_range, fsync, fdatasync)',
    ways: [...syncWays(), syscallWay('fsync_exit', { fsync_enter: ['fsync', 'fdatasync'] })],
  },
  {
    observes: 'ends of threads',
    ways: [{ name: 'raw_tracepoint', programs: [{ program: 'file_thread_end', attach: { type: 'auto' } }] }],
  },
];

function sumsOf(object: NativeObject): OperationSums[] {
  const key = Buffer.alloc(4);
  return (Object.keys(fileOperation) as FileOperation[]).map(operation => {
    key.writeUInt32LE(fileOperation[operation], 0);
    return addUp(operation, object.mapLookup('file_sums', key) ?? Buffer.alloc(0), fileSumsBytes, readFileSums);
  });
}

function settingsBytes(given: SourceSettings): Uint8Array {
  return writeFileSettings({ minLatencyNs: durationNs(settings, given, 'min'), pid: numberSetting(given, 'pid') });
}

export const fileKit: SourceKit<'file'> = {
  name: 'file',
  title: 'Opens, reads, writes and syncs of files, as spans',
  isDefault: true,
  settings,
  hooks: fileHooks,
  start: (host, given) =>
    startSource(
      host,
      {
        source: new FileSource(fileHooks),
        settingSpecs: settings,
        pagesPerCpu: 64,
        configure: (object, ways) => {
          object.setConstant('own_pid', host.ownPid);
          keepEntryStacks(
            object,
            'file',
            host.features,
            ways.some(({ name }) => name === 'kprobe'),
          );
        },
        settingsBytes,
        sums: sumsOf,
      },
      given,
    ),
};

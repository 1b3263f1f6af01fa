/**
 * Kernel functions that are seen through system calls where functions cannot be probed: which calls run them, once each and for their
 * whole length.
 */

/** Functions of the kernel's own that all calls of these names go through, and nothing else does. */
const wrappers: Readonly<Record<string, readonly string[]>> = {
  do_sys_openat2: ['open', 'openat', 'openat2', 'creat'],
  do_sys_open: ['open', 'openat', 'creat'],
  ksys_read: ['read'],
  ksys_write: ['write'],
  ksys_pread64: ['pread64'],
  ksys_pwrite64: ['pwrite64'],
  ksys_lseek: ['lseek'],
  do_fsync: ['fsync', 'fdatasync'],
  __sys_socket: ['socket'],
  __sys_bind: ['bind'],
  __sys_connect: ['connect'],
  __sys_listen: ['listen'],
  __sys_sendto: ['sendto'],
  __sys_recvfrom: ['recvfrom'],
  __sys_setsockopt: ['setsockopt'],
  __sys_getsockopt: ['getsockopt'],
  do_futex: ['futex'],
  do_unlinkat: ['unlink', 'unlinkat'],
  do_mkdirat: ['mkdir', 'mkdirat'],
};

/** Entry points of system calls by architecture; the rest of the name is also the tracepoint's. */
const entryPoint = /^__(?:x64|arm64)_sys_(\w+)$/;

/** System calls by which a kernel function can be seen, or undefined where there are none. */
export function syscallsOf(kernelFunction: string): readonly string[] | undefined {
  const entry = entryPoint.exec(kernelFunction)?.[1];
  if (entry !== undefined) return [entry];
  return Object.hasOwn(wrappers, kernelFunction) ? wrappers[kernelFunction] : undefined;
}

/**
 * The one error of everything that touches the kernel. Its message is operation, object, cause and remedy; its fields are for
 * programs. The addon throws it directly: addon.ts tells it how.
 */

import type { BpfErrorFields } from './native.ts';

/** What to do about an errno, where the operation does not matter or has no line of its own. Starts with a verb or "needs". */
const remedies: Readonly<Record<string, string>> = {
  EPERM: 'needs root, or CAP_BPF and CAP_PERFMON; a container also needs a seccomp profile that allows bpf and perf_event_open',
  EACCES: 'needs root, or CAP_BPF and CAP_PERFMON; see also /proc/sys/kernel/perf_event_paranoid',
  ENOMEM: 'free memory, or make buffers and maps smaller',
  EMFILE: 'raise the limit of open files (ulimit -n)',
  ENFILE: 'raise the limit of open files of the system (fs.file-max)',
  ENOSPC: 'make the map larger',
  E2BIG: 'make the map larger',
  ENOSYS: 'needs a newer kernel (5.10 or later)',
  EBUSY: 'stop what else uses it, and try again',
};

/** Remedies for one operation, as "operation code". They go before the general ones. */
const operationRemedies: Readonly<Record<string, string>> = {
  'open ENOENT': 'build the BPF objects (npm run build)',
  'open ELIBBPF': 'build the BPF objects again (npm run build)',
  'load EACCES': 'the words of the verifier are in verifierLog',
  'load EINVAL': 'the words of the verifier are in verifierLog',
  'attach ENOENT': 'check the name',
  'find symbols ENOENT': 'check the path of the binary',
  'attach EOPNOTSUPP': 'attach it another way',
  'attach EBUSY': 'another tool uses this function or event; stop it, and try again',
  'read EPERM': 'needs root or CAP_IPC_LOCK, or smaller buffers (/proc/sys/kernel/perf_event_mlock_kb)',
};

function remedyFor(operation: string, code: string): string {
  return operationRemedies[`${operation} ${code}`] ?? remedies[code] ?? '';
}

/** "attach exec_enter: EPERM; <what the addon or libbpf said>; <remedy>", without the parts that there is nothing to say for. */
function messageOf(fields: BpfErrorFields): string {
  const cause = fields.code || (fields.errno ? `error ${fields.errno}` : '');
  const words = [cause, fields.detail ?? '', remedyFor(fields.operation, fields.code)].filter(word => word !== '');
  return `${fields.operation} ${fields.object}: ${words.join('; ') || 'failed'}`;
}

export class BpfError extends Error implements BpfErrorFields {
  override readonly name = 'BpfError';
  readonly operation: string;
  readonly object: string;
  readonly errno: number;
  readonly code: string;
  declare readonly detail?: string;
  declare readonly verifierLog?: string;

  constructor(message: string, fields: BpfErrorFields, options?: ErrorOptions) {
    super(message, options);
    this.operation = fields.operation;
    this.object = fields.object;
    this.errno = fields.errno;
    this.code = fields.code;
    if (fields.detail) this.detail = fields.detail;
    if (fields.verifierLog) this.verifierLog = fields.verifierLog;
  }

  /** With the message made of the fields. */
  static of(fields: BpfErrorFields, options?: ErrorOptions): BpfError {
    return new BpfError(messageOf(fields), fields, options);
  }
}

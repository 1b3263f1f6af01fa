/** The one error of everything that has to do with BPF: what was done, on what, why it failed, and what helps. */

import type { BpfErrorFields } from './native.ts';

/** `message` is one sentence: operation, object, cause, remedy. */
export class BpfError extends Error implements BpfErrorFields {
  override name = 'BpfError';
  readonly operation: string;
  readonly object: string;
  readonly errno: number;
  readonly code: string;
  readonly verifierLog?: string;

  constructor(message: string, fields: BpfErrorFields, options?: ErrorOptions) {
    super(message, options);
    this.operation = fields.operation;
    this.object = fields.object;
    this.errno = fields.errno;
    this.code = fields.code;
    if (fields.verifierLog !== undefined) this.verifierLog = fields.verifierLog;
  }
}

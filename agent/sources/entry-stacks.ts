/** Whether the programs of a source keep the kernel stacks of entries until the returns: bpf/lib/entry-stack.h. */

import type { KernelFeatures, NativeObject } from '../bpf/native.ts';

/**
 * Sets an object up before it is loaded. The kernel's unwinder passes a kretprobe's trampoline since the version that has
 * bpf_get_func_ip for kprobes, 5.15; on older ones the stacks are kept, and on others their map takes no memory.
 */
export function keepEntryStacks(object: NativeObject, source: string, features: KernelFeatures, isByKprobe: boolean): void {
  if (isByKprobe && !features.kprobeFuncIp.isAvailable) object.setConstant('keeps_entry_stacks', 1);
  else object.setMaxEntries(`${source}_entry_stacks`, 1);
}

/** Names of block devices, and what the block layer's errors are called. */

import { readFileSync } from 'node:fs';
import { errnoName } from '../../lib/errno-name.ts';

/** "254:0" of major << 20 | minor. */
export function deviceNumber(device: number): string {
  return `${device >>> 20}:${device & 0xfffff}`;
}

/** Names as the kernel has them in sysfs; the number stands for a device that is gone. */
export class DeviceNames {
  private readonly names = new Map<number, string>();

  of(device: number): string {
    const known = this.names.get(device);
    if (known !== undefined) return known;
    const name = readName(deviceNumber(device));
    this.names.set(device, name);
    return name;
  }
}

function readName(number: string): string {
  try {
    return /^DEVNAME=(.+)$/m.exec(readFileSync(`/sys/dev/block/${number}/uevent`, 'utf8'))?.[1] ?? number;
  } catch {
    // ENOENT: the device was taken away since its last request.
    return number;
  }
}

/** blk_status_t, include/linux/blk_types.h, with the errno that a program gets for it (block/blk-core.c). */
const statusErrors: Readonly<Record<number, string>> = {
  1: 'EOPNOTSUPP',
  2: 'ETIMEDOUT',
  3: 'ENOSPC',
  4: 'ENOLINK',
  5: 'EREMOTEIO',
  6: 'EBADE',
  7: 'ENODATA',
  8: 'EILSEQ',
  9: 'ENOMEM',
  10: 'EIO',
  12: 'EAGAIN',
  13: 'EBUSY',
};

/** '' for none. Kernels up to 5.15 tell a negative errno, later ones a blk_status_t. */
export function blockError(error: number): string {
  if (error === 0) return '';
  return error < 0 ? errnoName(-error) : (statusErrors[error] ?? 'EIO');
}

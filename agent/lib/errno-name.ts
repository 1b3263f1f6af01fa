/** Names of error numbers, as error.type of spans. */

import { constants } from 'node:os';

/** Node knows what libuv can report; these are the others that Linux returns, asm-generic/errno.h. */
const others: Readonly<Record<string, number>> = {
  ENOTBLK: 15,
  ECHRNG: 44,
  EL2NSYNC: 45,
  EUNATCH: 49,
  EBADE: 52,
  EBADR: 53,
  EXFULL: 54,
  ENONET: 64,
  ENOPKG: 65,
  EREMOTE: 66,
  ECOMM: 70,
  EDOTDOT: 73,
  ENOTUNIQ: 76,
  EBADFD: 77,
  EREMCHG: 78,
  ELIBACC: 79,
  ELIBBAD: 80,
  ERESTART: 85,
  ESTRPIPE: 86,
  EUSERS: 87,
  ESOCKTNOSUPPORT: 94,
  EPFNOSUPPORT: 96,
  ESHUTDOWN: 108,
  ETOOMANYREFS: 109,
  EHOSTDOWN: 112,
  EUCLEAN: 117,
  EREMOTEIO: 121,
  ENOMEDIUM: 123,
  EMEDIUMTYPE: 124,
  ENOKEY: 126,
  EKEYEXPIRED: 127,
  EKEYREVOKED: 128,
  EKEYREJECTED: 129,
  EOWNERDEAD: 130,
  ENOTRECOVERABLE: 131,
  ERFKILL: 132,
  EHWPOISON: 133,
  // Between kernel functions only, include/linux/errno.h: the call is restarted after a signal, or another layer answers.
  ERESTARTSYS: 512,
  ERESTARTNOINTR: 513,
  ERESTARTNOHAND: 514,
  ENOIOCTLCMD: 515,
  ERESTART_RESTARTBLOCK: 516,
  EPROBE_DEFER: 517,
  EOPENSTALE: 518,
  ENOPARAM: 519,
  ENOTSUPP: 524,
  EIOCBQUEUED: 529,
};

/** Two names have one number: the first one is what people look for. */
const preferred = ['EAGAIN', 'EDEADLK', 'EOPNOTSUPP'] as const;

const names = new Map<number, string>(Object.entries({ ...others, ...constants.errno }).map(([name, errno]) => [errno, name]));
for (const name of preferred) names.set(constants.errno[name], name);

/** "ENOENT" for 2; "errno 4000" for a number that has no name. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `errno ${errno}`;
}

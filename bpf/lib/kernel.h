/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The few kernel structures that the programs read, each with the few fields that they use. CO-RE relocates every
 * access against the running kernel's BTF, so order and offsets here do not matter and no generated vmlinux.h is
 * needed: the objects build on any machine and load on every kernel of the matrix. */
#ifndef HOTSPAN_KERNEL_H
#define HOTSPAN_KERNEL_H

#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
/* Add a structure with only the fields that a program reads. A field that a kernel renamed gets a flavour
 * (struct name___old) in compat.h, with the version that renamed it. */

#pragma clang attribute pop

#endif

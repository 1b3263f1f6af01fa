# Has gdb write a core of the process that it is attached to, without what the process only reserved: gdb 13 writes out every mapping that
# nothing may read, or that has no page yet, as zeros, and Go reserves a gigabyte of those, V8 ten. gdb takes the mappings from
# /proc/PID/smaps: for the time of the command it finds a shorter one there, in a mount namespace of its own.

import contextlib
import ctypes
import os
import re
import tempfile
import gdb

CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mappings_with_pages(pid):
    """Text of smaps without mappings that have no page in memory or in swap; those of files and the kernel's own stay."""
    with open("/proc/%d/smaps" % pid) as smaps:
        parts = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", smaps.read(), flags=re.MULTILINE)
    is_empty = re.compile(r"\A\S+ \S+ \S+ \S+ 0 *\n.*^Rss: +0 kB$.*^Swap: +0 kB$", re.MULTILINE | re.DOTALL)
    return "".join(part for part in parts if not is_empty.search(part))


@contextlib.contextmanager
def only_mappings_with_pages(pid):
    with tempfile.NamedTemporaryFile("w") as short, open("/proc/self/ns/mnt") as before:
        short.write(mappings_with_pages(pid))
        short.flush()
        check(libc.unshare(CLONE_NEWNS))
        try:
            check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
            check(libc.mount(short.name.encode(), b"/proc/%d/smaps" % pid, None, MS_BIND, None))
            yield
        finally:
            check(libc.setns(before.fileno(), CLONE_NEWNS))


def write_core(pid, path):
    with only_mappings_with_pages(pid):
        gdb.execute("gcore " + path, to_string=True)

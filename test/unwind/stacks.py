# What stops.py and cores.py share inside gdb: gdb's own stack of a thread, its registers, and frames of code that was compiled while the
# program ran.

import struct
import gdb
from gdb.unwinder import Unwinder

# By DWARF number (System V ABI for x86-64, figure 3.36).
REGISTERS = ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp"] + ["r%d" % number for number in range(8, 16)]
MAX_FRAMES = 1100
MAX_NAMED = 50
WORD = (1 << 64) - 1

# Frames that have a place of their own on the stack; inlined functions and tail calls that gdb deduces have none.
OWN_FRAMES = {gdb.NORMAL_FRAME: "normal", gdb.SIGTRAMP_FRAME: "signal", gdb.ARCH_FRAME: "arch"}


def unsigned(value):
    return int(value.cast(gdb.selected_inferior().architecture().integer_type(64, False)))


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


def copies_of(code, regions):
    """Where a piece of a file's code is mapped: V8 maps its own once more, near to what it compiles."""
    found = []
    for start, _, offset, path in (region for region in regions if region[0] <= code[0] < region[1]):
        file_start = code[0] - start + offset
        size = code[1] - code[0]
        for other_start, other_end, other_offset, other_path in regions:
            begin = other_start + file_start - other_offset
            if path == other_path and begin < other_end and begin + size > other_start:
                found.append((max(begin, other_start), min(begin + size, other_end)))
    return found


class CompiledCode(Unwinder):
    """Frames of code that a program compiled while it ran, or that V8 compiled beforehand: it has no call frame information, and gdb
    would invent callers. By frame pointers."""

    def __init__(self):
        super().__init__("compiled code")
        self.regions = []
        self.known_builtins = None

    def builtins(self):
        """Of V8, inside of the node binary."""
        if self.known_builtins is None:
            try:
                start = int(gdb.parse_and_eval("(unsigned long) &v8_Default_embedded_blob_code_"))
                size = int(gdb.parse_and_eval("*(unsigned int *) &v8_Default_embedded_blob_code_size_"))
                self.known_builtins = [(start, start + size)]
            except gdb.error:
                self.known_builtins = []
        return self.known_builtins

    def refresh(self, mapped):
        """`mapped`: start, end, offset and path of all code; path is empty where it is of no file."""
        anonymous = [(start, end) for start, end, _, path in mapped if path == "" or path.startswith("/memfd:")]
        self.regions = anonymous + [copy for builtin in self.builtins() for copy in copies_of(builtin, mapped)]

    def __call__(self, frame):
        pc = unsigned(frame.read_register("rip"))
        if not any(start <= pc < end for start, end in self.regions):
            return None
        bp, sp = unsigned(frame.read_register("rbp")), unsigned(frame.read_register("rsp"))
        if bp < sp or bp & 7:
            return None
        try:
            words = struct.unpack("<QQ", bytes(gdb.selected_inferior().read_memory(bp, 16)))
        except gdb.MemoryError:
            return None
        number = gdb.selected_inferior().architecture().integer_type(64, False)
        caller = frame.create_unwind_info(FrameId(gdb.Value(bp + 16), gdb.Value(pc)))
        for name, value in (("rbp", words[0]), ("rip", words[1]), ("rsp", bp + 16)):
            caller.add_saved_register(name, gdb.Value(value).cast(number))
        return caller


def stack_of_thread():
    """gdb's frames, innermost first, and why there are no more."""
    frames = []
    names = []
    frame = gdb.newest_frame()
    try:
        while frame is not None and len(frames) < MAX_FRAMES:
            if len(frames) < MAX_NAMED and frame.type() in (gdb.INLINE_FRAME, *OWN_FRAMES):
                names.append(frame.name() or "")
            if frame.type() in OWN_FRAMES:
                sp = unsigned(frame.read_register("rsp"))
                frames.append([format(frame.pc() & WORD, "x"), format(sp, "x"), OWN_FRAMES[frame.type()], names])
                names = []
            last = frame
            frame = frame.older()
        reason = gdb.frame_stop_reason_string(last.unwind_stop_reason()) if frame is None else "limit"
    except gdb.error as error:
        reason = str(error)
    return frames, reason


def describe_thread(thread):
    thread.switch()
    top = gdb.newest_frame()
    registers = [format(unsigned(top.read_register(name)), "x") for name in REGISTERS]
    ip = format(unsigned(top.read_register("rip")), "x")
    frames, reason = stack_of_thread()
    return {"tid": thread.ptid[1], "ip": ip, "registers": registers, "frames": frames, "end": reason}


def prepare(symbols):
    """Settings of a gdb that looks at nothing but this machine's files; the symbols are those of this file, if it is one."""
    for setting in [
        "pagination off", "confirm off", "debuginfod enabled off", "print thread-events off", "print inferior-events off",
        "backtrace past-main on", "backtrace past-entry on", "backtrace limit unlimited", "width 0", "exec-file-mismatch off",
        "follow-fork-mode parent", "detach-on-fork on", "auto-load safe-path /nonexistent",
    ]:
        gdb.execute("set " + setting)
    if symbols:
        gdb.execute("file " + symbols)

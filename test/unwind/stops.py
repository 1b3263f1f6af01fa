# Run inside gdb by gdb.ts: attaches to a process, stops it at random points, and tells of each stop one line of JSON on a socket: for
# every thread its registers and gdb's own stack. The process stays stopped until a line comes back, so that whoever reads the other end
# can look at the same memory. Settings come from the environment: STOPS_SOCKET, STOPS_PID, STOPS_SYMBOLS, STOPS_SEED, STOPS_THREADS.

import json
import os
import random
import signal
import socket
import struct
import subprocess
import gdb
from gdb.unwinder import Unwinder, register_unwinder

# By DWARF number (System V ABI for x86-64, figure 3.36).
REGISTERS = ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp"] + ["r%d" % number for number in range(8, 16)]
MAX_FRAMES = 1100
MAX_NAMED = 50
WORD = (1 << 64) - 1

# Frames that have a place of their own on the stack; inlined functions and tail calls that gdb deduces have none.
OWN_FRAMES = {gdb.NORMAL_FRAME: "normal", gdb.SIGTRAMP_FRAME: "signal", gdb.ARCH_FRAME: "arch"}

pid = int(os.environ["STOPS_PID"])
chance = random.Random(int(os.environ["STOPS_SEED"]))
max_threads = int(os.environ["STOPS_THREADS"])


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

    def refresh(self):
        with open("/proc/%d/maps" % pid) as maps:
            lines = [line.split(maxsplit=5) for line in maps if " r-xp " in line or " rwxp " in line]
        regions = []
        for line in lines:
            start, end = (int(address, 16) for address in line[0].split("-"))
            regions.append((start, end, int(line[2], 16), line[5].strip() if len(line) == 6 else ""))
        anonymous = [(start, end) for start, end, _, path in regions if path == "" or path.startswith("/memfd:")]
        self.regions = anonymous + [copy for builtin in self.builtins() for copy in copies_of(builtin, regions)]

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


compiled_code = CompiledCode()


def is_waiting(thread):
    """In a system call."""
    thread.switch()
    ip = int(gdb.newest_frame().pc())
    return bytes(gdb.selected_inferior().read_memory(ip - 2, 2)) == b"\x0f\x05"


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


def step_some():
    """A few instructions on, to meet what an interrupt seldom meets: prologues, epilogues, the procedure linkage table."""
    ip = int(gdb.newest_frame().pc())
    before = bytes(gdb.selected_inferior().read_memory(ip - 2, 2))
    # After a system call instruction the thread may be about to wait for long; vfork (58) is over once it is stopped.
    if before != b"\x0f\x05" or unsigned(gdb.parse_and_eval("$orig_rax")) == 58:
        # Many steps take seconds where other threads run on and signal each other, as Go's do.
        is_alone = len(gdb.selected_inferior().threads()) == 1
        count = chance.randint(60, 1500) if is_alone and chance.random() < 0.2 else chance.randint(1, 30)
        gdb.execute("stepi %d" % count, to_string=True)


def interrupter():
    """Stops the process from outside, after so many seconds: gdb runs one command at a time."""
    script = "while read -r seconds; do sleep $seconds; kill -STOP %d; done" % pid
    return subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, text=True, start_new_session=True)


def stop_somewhere(helper):
    helper.stdin.write("%.4f\n" % chance.uniform(0.001, 0.05))
    helper.stdin.flush()
    gdb.execute("continue", to_string=True)
    if chance.random() < 0.5:
        step_some()


def watch(channel):
    replies = channel.makefile("r")
    helper = interrupter()
    try:
        while True:
            stop_somewhere(helper)
            threads = list(gdb.selected_inferior().threads())
            stopped = gdb.selected_thread()
            others = [thread for thread in threads if thread != stopped]
            chance.shuffle(others)
            others = others if len(others) < max_threads else sorted(others, key=is_waiting)
            chosen = [stopped] + others[: max_threads - 1]
            compiled_code.refresh()
            stop = {"threads": [describe_thread(thread) for thread in chosen]}
            stopped.switch()
            channel.sendall((json.dumps(stop) + "\n").encode())
            reply = replies.readline().strip()
            if reply.startswith("core "):
                gdb.execute("generate-core-file " + reply[5:], to_string=True)
            elif reply != "go":
                return
    finally:
        os.killpg(helper.pid, signal.SIGKILL)


def main():
    for setting in [
        "pagination off", "confirm off", "debuginfod enabled off", "print thread-events off", "print inferior-events off",
        "backtrace past-main on", "backtrace past-entry on", "backtrace limit unlimited", "width 0", "exec-file-mismatch off",
        "follow-fork-mode parent", "detach-on-fork on", "auto-load safe-path /nonexistent",
    ]:
        gdb.execute("set " + setting)
    gdb.execute("handle all nostop noprint pass", to_string=True)
    gdb.execute("handle SIGSTOP stop print nopass", to_string=True)
    gdb.execute("handle SIGTRAP stop print nopass", to_string=True)
    if os.environ.get("STOPS_SYMBOLS"):
        gdb.execute("file " + os.environ["STOPS_SYMBOLS"])
    register_unwinder(None, compiled_code)
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(os.environ["STOPS_SOCKET"])
        gdb.execute("attach %d" % pid, to_string=True)
        try:
            watch(channel)
        except gdb.error as error:
            channel.sendall((json.dumps({"error": str(error)}) + "\n").encode())
        gdb.execute("detach", to_string=True)


main()

# Run inside gdb by gdb.ts: attaches to a process, stops it at random points, and tells of each stop one line of JSON on a socket: for
# every thread its registers and gdb's own stack. The process stays stopped until a line "go" or "end" comes back, so that whoever reads
# the other end can look at the same memory; "core PATH" has a core of it written first. Settings come from the environment: STOPS_SOCKET,
# STOPS_PID, STOPS_SYMBOLS, STOPS_SEED, STOPS_THREADS.

import json
import os
import random
import signal
import socket
import subprocess
import sys
import gdb
from gdb.unwinder import register_unwinder

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from gcore import write_core
from stacks import CompiledCode, describe_thread, prepare, unsigned

pid = int(os.environ["STOPS_PID"])
chance = random.Random(int(os.environ["STOPS_SEED"]))
max_threads = int(os.environ["STOPS_THREADS"])
compiled_code = CompiledCode()


def mapped_code():
    with open("/proc/%d/maps" % pid) as maps:
        lines = [line.split(maxsplit=5) for line in maps if " r-xp " in line or " rwxp " in line]
    regions = []
    for line in lines:
        start, end = (int(address, 16) for address in line[0].split("-"))
        regions.append((start, end, int(line[2], 16), line[5].strip() if len(line) == 6 else ""))
    return regions


def is_behind_call():
    """Whether the instruction before is that of a system call."""
    ip = int(gdb.newest_frame().pc())
    try:
        return bytes(gdb.selected_inferior().read_memory(ip - 2, 2)) == b"\x0f\x05"
    except (gdb.MemoryError, OverflowError):
        # A thread that is about to begin or to end may be at address 0.
        return False


def is_waiting(thread):
    thread.switch()
    return is_behind_call()


def step_some():
    """A few instructions on, to meet what an interrupt seldom meets: prologues, epilogues, the procedure linkage table."""
    # After a system call instruction the thread may be about to wait for long; vfork (58) is over once it is stopped.
    if not is_behind_call() or unsigned(gdb.parse_and_eval("$orig_rax")) == 58:
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


def go_on(channel, replies):
    """Does what is asked for while the process stands still; whether it is to be stopped once more."""
    while True:
        reply = replies.readline().strip()
        if not reply.startswith("core "):
            return reply == "go"
        write_core(pid, reply[5:])
        channel.sendall((json.dumps({"core": reply[5:]}) + "\n").encode())


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
            compiled_code.refresh(mapped_code())
            stop = {"threads": [describe_thread(thread) for thread in chosen]}
            stopped.switch()
            channel.sendall((json.dumps(stop) + "\n").encode())
            if not go_on(channel, replies):
                return
    finally:
        os.killpg(helper.pid, signal.SIGKILL)


def main():
    prepare(os.environ.get("STOPS_SYMBOLS"))
    gdb.execute("handle all nostop noprint pass", to_string=True)
    gdb.execute("handle SIGSTOP stop print nopass", to_string=True)
    gdb.execute("handle SIGTRAP stop print nopass", to_string=True)
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

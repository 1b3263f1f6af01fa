# Run inside gdb by gdb.ts: reads core files, and tells of each one line of JSON on a socket: of its threads the registers and gdb's own
# stack. A line on the socket is a JSON object: core, symbols (a file), threads (at most so many). Settings: STOPS_SOCKET.

import json
import os
import re
import socket
import struct
import sys
import gdb
from gdb.unwinder import register_unwinder

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from stacks import CompiledCode, describe_thread, prepare


def executable_segments(path):
    """Start and end of each, as the core's program headers say."""
    with open(path, "rb") as core:
        header = struct.unpack("<16sHHIQQQIHHHHHH", core.read(64))
        core.seek(header[5])
        segments = [struct.unpack("<IIQQQQQQ", core.read(header[9])) for _ in range(header[10])]
    return [(entry[3], entry[3] + entry[6]) for entry in segments if entry[0] == 1 and entry[1] & 1]


def mapped_code(path):
    """Files as gdb lists them, code or not, and what is code of no file."""
    pattern = re.compile(r"^ *0x([0-9a-f]+) +0x([0-9a-f]+) +0x[0-9a-f]+ +0x([0-9a-f]+) +(.*)$", re.MULTILINE)
    listed = gdb.execute("info proc mappings", to_string=True)
    files = [(int(start, 16), int(end, 16), int(offset, 16), name) for start, end, offset, name in pattern.findall(listed)]
    starts = {start for start, _, _, _ in files}
    return files + [(start, end, 0, "") for start, end in executable_segments(path) if start not in starts]


known_symbols = None


def stacks_of_core(path, symbols, max_threads):
    global known_symbols
    gdb.execute("core-file", to_string=True)
    if symbols != known_symbols:
        gdb.execute("file " + symbols, to_string=True)
        known_symbols = symbols
    gdb.execute("core-file " + path, to_string=True)
    compiled_code = CompiledCode()
    compiled_code.refresh(mapped_code(path))
    register_unwinder(None, compiled_code, replace=True)
    chosen = gdb.selected_thread()
    others = [thread for thread in gdb.selected_inferior().threads() if thread != chosen]
    return [describe_thread(thread) for thread in [chosen] + others[: max_threads - 1]]


def main():
    prepare(None)
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(os.environ["STOPS_SOCKET"])
        for line in channel.makefile("r"):
            question = json.loads(line)
            try:
                answer = {"threads": stacks_of_core(question["core"], question["symbols"], question["threads"])}
            except gdb.error as error:
                answer = {"error": str(error)}
            channel.sendall((json.dumps(answer) + "\n").encode())


main()

# What Python programs are made of: recursion, sorting with a key in Python, regular expressions, JSON, and a second thread.
import ctypes
import json
import re
import threading

ctypes.CDLL(None).prctl(1, 9)


def recurse(depth, work):
    return work(depth) if depth == 0 else recurse(depth - 1, work)


def sort_records(_):
    records = [{"key": (number * 7919) % 101, "text": "x" * (number % 13)} for number in range(200)]
    return sorted(records, key=lambda record: (record["key"], record["text"]))


def parse_text(_):
    text = json.dumps(sort_records(0))
    return len(re.findall(r'"key": (\d+)', text)) + len(json.loads(text))


def live():
    turn = 0
    while True:
        recurse(turn % 30, sort_records if turn % 2 else parse_text)
        turn += 1


threading.Thread(target=live, daemon=True).start()
print("ready", flush=True)
live()

"""Measures what the page costs the daemon: `page.py BINARIES ROUNDS SECONDS`."""

import os
import selectors
import socket
import statistics
import sys
import threading
import time

from node import Node

TICKS = os.sysconf("SC_CLK_TCK")


class Viewers:
    """So many that watch the live picture and the events, in one cheap thread."""

    def __init__(self, node, count):
        self.selector, self.bytes, self.going = selectors.DefaultSelector(), 0, True
        for path in ["/live/garden", "/api/events"] * count:
            stream = socket.create_connection(("127.0.0.1", node.page_port))
            stream.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            self.selector.register(stream, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        buffer = bytearray(1 << 18)
        while self.going:
            for key, _ in self.selector.select(0.2):
                self.bytes += key.fileobj.recv_into(buffer)

    def leave(self):
        self.going = False
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()


def cpu(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def inferred(node):
    return node.state()["cameras"][0]["frames"]["inferred"]


def measure(node, count, seconds):
    viewers = Viewers(node, count) if count else None
    time.sleep(1.5)
    pid = node.daemon.pid
    begun, cpu_before, before = time.monotonic(), cpu(pid), inferred(node)
    time.sleep(seconds)
    passed = time.monotonic() - begun
    used, decided = cpu(pid) - cpu_before, inferred(node) - before
    read = 0
    if viewers:
        read = viewers.bytes
        viewers.leave()
        time.sleep(0.5)
    return {"cpu": used / passed, "rate": decided / passed, "cpu_ms": used / max(decided, 1) * 1000, "bytes": read / passed, "rss": rss(pid)}


def main(binaries, rounds, seconds):
    for title, rate in (("engine at its limit", 60.0), ("one frame a second", 1.0)):
        # A quiet node looks at one frame a second: its own cost is small, and the page's shows.
        node = Node(binaries, rate=rate, page="requests_per_s = 1000")
        try:
            time.sleep(4)
            rows = {0: [], 1: [], 20: []}
            for _ in range(rounds):
                for count in rows:
                    rows[count].append(measure(node, count, seconds))
            print(f"== {title}; medians of {rounds} x {seconds} s, in turns")
            print(f"{'viewers':>8} {'cores':>7} {'decisions/s':>12} {'of none':>8} {'CPU ms/decision':>16} {'kB/s sent':>10} {'RSS MB':>7}")
            middle = {count: {key: statistics.median(row[key] for row in found) for key in found[0]} for count, found in rows.items()}
            for count, row in middle.items():
                ratio = statistics.median(one["rate"] / none["rate"] for one, none in zip(rows[count], rows[0]))
                print(f"{count:>8} {row['cpu']:>7.3f} {row['rate']:>12.2f} {ratio:>8.3f} {row['cpu_ms']:>16.1f} {row['bytes'] / 1000:>10.0f} {row['rss']:>7.1f}", flush=True)
        finally:
            node.stop()


main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))

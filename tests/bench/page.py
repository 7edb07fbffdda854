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


def everybody():
    """Processor seconds of the whole machine so far."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _wait, irq, soft, *_ = map(int, stat.readline().split()[1:])
    return (user + nice + system + irq + soft) / TICKS


def rss(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def inferred(node):
    return node.state()["cameras"][0]["frames"]["inferred"]


def measure(node, count, seconds):
    viewers = Viewers(node, count) if count else None
    time.sleep(1.5)
    pid, own = node.daemon.pid, os.getpid()
    before = inferred(node)
    begun, cpu_before, own_before, all_before = time.monotonic(), cpu(pid), cpu(own), everybody()
    time.sleep(seconds)
    passed = time.monotonic() - begun
    used, others = cpu(pid) - cpu_before, everybody() - all_before
    others -= used + cpu(own) - own_before
    decided = inferred(node) - before
    read = 0
    if viewers:
        read = viewers.bytes
        viewers.leave()
        time.sleep(0.5)
    return {"cpu": used / passed, "rate": decided / passed, "cpu_ms": used / max(decided, 1) * 1000, "bytes": read / passed,
            "rss": rss(pid), "others": others / passed}


def spread(values):
    """Median with the middle half of the values around it."""
    if len(values) < 3:
        return f"{statistics.median(values):.3f}"
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{statistics.median(values):.3f} ({low:.3f} to {high:.3f})"


def rounds_of(node, rounds, seconds):
    """Each look with viewers stands between two without: what the machine does meanwhile falls on both alike."""
    plain, seen = [], {1: [], 20: []}
    measure(node, 20, min(seconds, 5))
    plain.append(measure(node, 0, seconds))
    for number in range(rounds):
        for count in (1, 20) if number % 2 == 0 else (20, 1):
            row = measure(node, count, seconds)
            plain.append(measure(node, 0, seconds))
            around = plain[-2:]
            row["of_none"] = row["rate"] / statistics.mean(other["rate"] for other in around)
            row["more_cpu"] = row["cpu"] - statistics.mean(other["cpu"] for other in around)
            seen[count].append(row)
    return plain, seen


def main(binaries, rounds, seconds):
    for title, rate in (("engine at its limit", 60.0), ("one frame a second", 1.0)):
        # A quiet node looks at one frame a second: its own cost is small, and the page's shows.
        node = Node(binaries, rate=rate, page="requests_per_s = 1000")
        try:
            time.sleep(4)
            plain, seen = rounds_of(node, rounds, seconds)
        finally:
            node.stop()
        print(f"== {title}; {rounds} rounds of {seconds:.0f} s, in turns; medians, and the middle half")
        print(f"{'viewers':>7}  {'cores':>23}  {'decisions/s':>23}  {'of none':>23}  {'cores more than none':>23}  {'kB/s':>6}  {'RSS MB':>6}  {'others, cores':>23}")
        for count, rows in {0: plain, **seen}.items():
            def of(key):
                return spread([row[key] for row in rows]) if count or key not in ("of_none", "more_cpu") else "-"
            sent, resident = (statistics.median(row[key] for row in rows) for key in ("bytes", "rss"))
            print(f"{count:>7}  {of('cpu'):>23}  {of('rate'):>23}  {of('of_none'):>23}  {of('more_cpu'):>23}  {sent / 1000:>6.0f}  {resident:>6.1f}  {of('others'):>23}", flush=True)
        busy = statistics.median(row["others"] for rows in (plain, *seen.values()) for row in rows)
        if busy > 0.15:
            print(f"NOT QUIET: other programs took {busy:.2f} cores; ratios say little", flush=True)


main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))

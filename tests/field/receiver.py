"""A receiver for tests: a recorded log of NMEA 0183 written into a pseudo-terminal, a second's sentences every second, as
the receiver that made it did.

receiver.py LINK LOG      (LINK becomes a symbolic link to the device)
lines on standard input:
  play      sentences as they were recorded, in pieces that end anywhere
  damaged   a digit of each latitude is another one and sentences run into each other; checksums stay as they were
  void      what the receiver said while it had no fix
  unplug, plug, quit
"""
import os
import re
import select
import sys
import time
import tty


def seconds_of(path):
    """The log's sentences, those of one second together: GGA is the last of them."""
    second = []
    for line in open(path, "rb").read().split():
        second.append(line + b"\r\n")
        if line[3:6] == b"GGA":
            yield second
            second = []


def has_fix(second):
    return second[-1].split(b",")[6] != b"0"


def damaged(line):
    if line[3:6] not in (b"GGA", b"RMC"):
        return line
    # 5504.1234,N becomes 5604.1234,N; then it is cut off, and the next one begins in its midst.
    wrong = re.sub(rb",(\d)(\d)(\d\d\.\d+,[NS])", lambda m: b"," + m[1] + b"%d" % ((int(m[2]) + 1) % 10) + m[3], line)
    return wrong + line[: len(line) // 2]


def plug(link):
    near, far = os.openpty()
    tty.setraw(far)
    if os.path.lexists(link):
        os.remove(link)
    os.symlink(os.ttyname(far), link)
    return near, far


link, log = sys.argv[1:]
every = list(seconds_of(log))
voids = [second for second in every if not has_fix(second)]
# The longest way it had a fix on, less the first seconds, in which the receiver was still settling.
lost = max(number for number, second in enumerate(every[:500]) if not has_fix(second))
fixed = [second for second in every[lost + 15 :] if has_fix(second)]
port, doing, told, begun = plug(link), "play", b"", time.monotonic()
print("ready", flush=True)
number = 0
while True:
    due = begun + number
    if select.select([sys.stdin], [], [], max(due - time.monotonic(), 0.0))[0]:
        more = os.read(sys.stdin.fileno(), 4096)
        *lines, told = (told + more).split(b"\n")
        if not more or b"quit" in lines:
            break
        for line in lines:
            doing = line.decode()
            if doing == "unplug" and port:
                for end in port:
                    os.close(end)
                os.remove(link)
                port = None
            elif doing == "plug":
                port, doing = port or plug(link), "play"
        continue
    second = (voids if doing == "void" else fixed)[number % len(fixed if doing != "void" else voids)]
    number += 1
    if not port:
        continue
    text = b"".join(map(damaged, second) if doing == "damaged" else second)
    # As it comes off a line: in pieces that end anywhere.
    for piece in range(0, len(text), 97):
        # Nobody may listen: what the line does not take is lost.
        if select.select([], [port[0]], [], 0.0)[1]:
            os.write(port[0], text[piece : piece + 97])

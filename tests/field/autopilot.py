"""An autopilot for tests: MAVLink over UDP or a pseudo-terminal, ten times a second, told what to do line by line.

autopilot.py udp PORT | autopilot.py pty      (pty prints the device to open)
Then it prints when it began, seconds since 1970: it flies north at 5 m/s from 47.3 N 8.5 E, 30 m above home.
lines on standard input:
  fix, nofix, silent, lossy, quit
  release WAY PERIOD PHASE LATE   releases a camera when the seconds since 1970 have PHASE over PERIOD, and tells of it
                                  LATE seconds later, by WAY: trigger, feedback or captured
"""
import heapq
import os
import random
import select
import socket
import sys
import time
import tty

from pymavlink.dialects.v20 import ardupilotmega as mavlink

SPEED, LAT, LON = 5.0, 47.3, 8.5
# A camera's own places are told this far east of the vehicle's, so that it shows whose a frame has.
CAMERA_EAST_DEG = 0.00005


class Out:
    def __init__(self, send):
        self.send = send
        self.loss = 0.0

    def write(self, data):
        if random.random() >= self.loss:
            self.send(bytes(data))


def opened():
    if sys.argv[1] == "udp":
        link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        address = ("127.0.0.1", int(sys.argv[2]))
        return Out(lambda data: link.sendto(data, address))
    near, far = os.openpty()
    tty.setraw(far)
    print(os.ttyname(far), flush=True)
    return Out(lambda data: os.write(near, data))


def boot_s(moment):
    return moment - begun + 5.0


def degrees_e7(moment):
    return int((LAT + SPEED * (moment - begun) / 111170.0) * 1e7)


def tell_release(way, moment):
    """Of a release at `moment`."""
    boot, unix = boot_s(moment), int((begun_unix + moment - begun) * 1e6)
    lat, lon = degrees_e7(moment), int((LON + CAMERA_EAST_DEG) * 1e7)
    if way == "trigger":
        autopilot.camera_trigger_send(int(boot * 1e6), 0)
    elif way == "feedback":
        autopilot.camera_feedback_send(unix, 0, 0, 0, lat, lon, 530.0, 30.0, 0.0, 0.0, 90.0, 35.0, 0)
    else:
        level = [1.0, 0.0, 0.0, 0.0]
        autopilot.camera_image_captured_send(
            int(boot * 1e3), unix, 0, lat, lon, 530000, 30000, level, 0, 1, b""
        )


def tell(moment):
    boot, fixed = int(boot_s(moment) * 1000), doing != "nofix"
    lat, lon = (degrees_e7(moment), int(LON * 1e7)) if fixed else (0, 0)
    if tick % 10 == 0:
        autopilot.heartbeat_send(mavlink.MAV_TYPE_QUADROTOR, mavlink.MAV_AUTOPILOT_ARDUPILOTMEGA, 0, 0, 0)
        autopilot.system_time_send(int((begun_unix + moment - begun) * 1e6) if fixed else 0, boot)
    if tick % 2 == 0:
        autopilot.gps_raw_int_send(boot * 1000, 3 if fixed else 1, lat, lon, 530000, 80, 120, 500, 0, 12)
    autopilot.global_position_int_send(boot, lat, lon, 530000, 30000, 500, 0, 0, 9000)
    autopilot.attitude_send(boot, 0.0, 0.0, 1.5708, 0.0, 0.0, 0.0)


out = opened()
random.seed(1)
autopilot = mavlink.MAVLink(out, srcSystem=1, srcComponent=1)
begun, begun_unix = time.monotonic(), time.time()
print(f"{begun_unix:.6f}", flush=True)
doing, tick, told = "fix", 0, b""
# What is to be told when, and of what: (when, way, of which moment, period, how late).
releases, due = [], begun
while True:
    now = time.monotonic()
    wake = min([due] + [release[0] for release in releases[:1]])
    if select.select([sys.stdin], [], [], max(wake - now, 0.0))[0]:
        # What was read ahead would not wake a select: lines are cut here.
        more = os.read(sys.stdin.fileno(), 4096)
        *lines, told = (told + more).split(b"\n")
        if not more or b"quit" in lines:
            break
        for line in lines:
            what, *arguments = line.decode().split()
            if what == "release":
                period, phase, late = map(float, arguments[1:])
                unix = begun_unix + time.monotonic() - begun
                first = begun + unix - begun_unix + (phase - unix) % period
                releases = [(first + late, arguments[0], first, period, late)]
            else:
                doing, releases = what, []
        out.loss = 0.1 if doing == "lossy" else 0.0
    while releases and releases[0][0] <= time.monotonic():
        _, way, moment, period, late = heapq.heappop(releases)
        tell_release(way, moment)
        heapq.heappush(releases, (moment + period + late, way, moment + period, period, late))
    if time.monotonic() >= due:
        if doing != "silent":
            tell(time.monotonic())
            tick += 1
        due += 0.1

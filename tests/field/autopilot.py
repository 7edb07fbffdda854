"""An autopilot for tests: MAVLink over UDP or a pseudo-terminal, ten times a second, told what to do line by line.

autopilot.py udp PORT | autopilot.py pty      (pty prints the device to open)
lines on standard input: fix, nofix, silent, lossy, quit
"""
import os
import random
import select
import socket
import sys
import time
import tty

from pymavlink.dialects.v20 import ardupilotmega as mavlink


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


out = opened()
random.seed(1)
autopilot = mavlink.MAVLink(out, srcSystem=1, srcComponent=1)
begun, doing, tick, told = time.monotonic(), "fix", 0, b""
due = begun
while True:
    due += 0.1
    if select.select([sys.stdin], [], [], max(due - time.monotonic(), 0.0))[0]:
        # What was read ahead would not wake a select: lines are cut here.
        more = os.read(sys.stdin.fileno(), 4096)
        *lines, told = (told + more).split(b"\n")
        if not more or b"quit" in lines:
            break
        doing = lines[-1].decode() if lines else doing
        out.loss = 0.1 if doing == "lossy" else 0.0
    if doing == "silent":
        continue
    boot = int((time.monotonic() - begun) * 1000) + 5000
    fixed = doing != "nofix"
    # North at 5 m/s from 47.3 N 8.5 E, 30 m above home, nose to the east.
    north = 5.0 * (time.monotonic() - begun)
    lat = int((47.3 + north / 111170.0) * 1e7) if fixed else 0
    lon = int(8.5 * 1e7) if fixed else 0
    if tick % 10 == 0:
        autopilot.heartbeat_send(mavlink.MAV_TYPE_QUADROTOR, mavlink.MAV_AUTOPILOT_ARDUPILOTMEGA, 0, 0, 0)
        autopilot.system_time_send(int(time.time() * 1e6) if fixed else 0, boot)
    if tick % 2 == 0:
        autopilot.gps_raw_int_send(boot * 1000, 3 if fixed else 1, lat, lon, 530000, 80, 120, 500, 0, 12)
    autopilot.global_position_int_send(boot, lat, lon, 530000, 30000, 500, 0, 0, 9000)
    autopilot.attitude_send(boot, 0.0, 0.0, 1.5708, 0.0, 0.0, 0.0)
    tick += 1

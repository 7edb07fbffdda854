"""A fleet that is not there: what a thousand nodes would have left at a real mosquitto, and the page of it."""

import json
import socket
from datetime import datetime, timedelta, timezone
from pathlib import Path

from stand import Stand, wait_for_port

DIGEST = "bc4a71180870f7945155fbb02f4b0a2e3faa2a62d6d31b7039013055ed19869a"
NODES = 1000


class Publisher:
    """Publishes by MQTT 3.1.1, and waits for nothing."""

    def __init__(self, broker_port):
        self.stream = socket.create_connection(("127.0.0.1", broker_port))
        self.stream.sendall(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05tests")
        assert self.stream.recv(4) == b"\x20\x02\x00\x00"

    def retain(self, topic, payload):
        payload = (payload if isinstance(payload, str) else json.dumps(payload)).encode()
        topic = topic.encode()
        left, packet = 2 + len(topic) + len(payload), bytearray([0x31])
        while left >= 128:
            packet.append(left % 128 | 128)
            left //= 128
        packet.append(left)
        self.stream.sendall(bytes(packet) + len(topic).to_bytes(2, "big") + topic + payload)


def ago(**past):
    return (datetime.now(timezone.utc) - timedelta(**past)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def model(version):
    return {"name": "garden", "version": version, "sha256": DIGEST}


def metrics(number):
    counts = {"captured": 10, "inferred": 6, "dropped": 2, "skipped": 2, "still": 1, "waiting": 0}
    rates = {"captured_hz": 5.0, "inferred_hz": 1 + number % 7 / 2, "latency_mean_ms": 18.2, "latency_max_ms": 40.5}
    queue = {"waiting": 250 if number % 61 == 5 else 0, "in_flight": 0, "acknowledged": 3, "replayed": 0, "dropped": {}, "durable": True}
    return {"v": 1, "time": ago(seconds=number % 60), "uptime_s": 60, "cameras": {"pond": counts}, "rates": {"pond": rates},
            "temperatures_c": {"CPU-therm": 41.0 + number % 40}, "queue": queue}


def publish(publisher, number):
    node, group = f"{('pond', 'hedge', 'orchard', 'uav')[number % 4]}-{number:04}", ("ponds", "hedges")[number % 2]
    cameras = ["pond"] if number % 3 else ["north", "south"]
    started = ago(days=1 + number % 30, minutes=number)
    def to(topic): return f"fieldmark/{node}/{topic}"
    running = model("0.2.0" if number % 5 == 0 else "0.1.0")
    publisher.retain(to("info"), {
        "v": 1, "node": node, "fieldmark": "0.1.0", "boot": "b", "started": started, "model": running,
        "engine": ("tract-f32", "tensorrt-int8", "onnxruntime-f32")[number % 3], "threshold": 0.88, "taxa": {}, "cameras": cameras})
    state = {"v": 1, "running": running, "phase": "running", "group": group, "since": started}
    if number % 20 == 3:
        state |= {"phase": "downloading", "progress": 0.35, "desired": {**model("0.2.0"), "size": 18500000}, "rollout": "r"}
    if number % 97 == 11:
        state |= {"phase": "failed", "error": "the release does not answer the golden pictures as it must", "desired": {**model("0.2.0"), "size": 1}}
    publisher.retain(to("model/state"), state)
    publisher.retain(to("status"), "offline" if number % 53 == 7 else "online")
    publisher.retain(to("metrics"), metrics(number))
    for camera in cameras:
        lost = number % 71 == 9
        status = {"v": 1, "state": "lost" if lost else "streaming", "since": started, "format": "MJPG", "losses": int(lost)}
        publisher.retain(to(f"{camera}/status"), status | ({"reason": "unplugged"} if lost else {}))
    if number % 83 == 13:
        today = {"answers": 128, "ranks": {"species": 0.2, "root": 0.8}}
        publisher.retain(to(f"{cameras[0]}/drift"), {
            "v": 1, "node": node, "camera": cameras[0], "time": ago(minutes=5), "day": ago()[:10], "state": "departed",
            "reasons": ["package_ranks", "sharpness"], "today": today})
    return node


def rollout(publisher, group, state, reason=None):
    desired = {"v": 1, "rollout": "01JDBZ3V7WQ2M0X5C8R9T4K6HN", "kind": "model", **model("0.2.0"), "size": 1, "state": state,
               "stages": [5, 25, 100], "stage": 1, "below": 2500, "hold_s": 1800, "max_failures": 2, "started": "2026-11-23T05:32:07Z"}
    publisher.retain(f"fieldmark/fleet/{group}/desired", desired | ({"reason": reason} if reason else {}))


class Fleet(Stand):
    """Runs until it is stopped."""

    def __init__(self, binaries, nodes=NODES):
        super().__init__("max_queued_messages 0\n")
        self.publisher = Publisher(self.broker_port)
        self.names = [publish(self.publisher, number) for number in range(nodes)]
        rollout(self.publisher, "ponds", "running")
        rollout(self.publisher, "hedges", "stopped", "3 of 2 nodes that may fail have failed")
        self.run([str(Path(binaries) / "fieldmark"), "page", "--broker", f"mqtt://127.0.0.1:{self.broker_port}",
                  "--listen", f"127.0.0.1:{self.page_port}"])
        wait_for_port(self.page_port)

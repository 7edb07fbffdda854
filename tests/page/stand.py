"""Where a page stands: a real mosquitto, a folder, and processes that end with it."""

import socket
import subprocess
import tempfile
import time
from pathlib import Path


def port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for_port(number, node=None):
    begun = time.monotonic()
    while True:
        try:
            socket.create_connection(("127.0.0.1", number), 1).close()
            return
        except OSError:
            ended = node and node.daemon.poll() is not None
            if ended or time.monotonic() - begun > 90:
                raise AssertionError(f"nothing listens on {number}: {node.log() if node else ''}") from None
            time.sleep(0.05)


class Stand:
    """Runs until it is stopped."""

    def __init__(self, broker=""):
        self.folder = tempfile.TemporaryDirectory(prefix="fieldmark-page-")
        self.path = Path(self.folder.name)
        self.broker_port, self.page_port, self.processes = port(), port(), []
        (self.path / "mosquitto.conf").write_text(f"listener {self.broker_port} 127.0.0.1\nallow_anonymous true\n{broker}")
        self.broker = self.run(["/usr/sbin/mosquitto", "-c", str(self.path / "mosquitto.conf")])
        wait_for_port(self.broker_port)

    def run(self, command, **more):
        more = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **more}
        process = subprocess.Popen(command, **more)
        self.processes.append(process)
        return process

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.page_port}{path}"

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        self.folder.cleanup()

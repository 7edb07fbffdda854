"""A node with a page: the shipped model, photographs in a folder, a real mosquitto and somebody who listens there."""

import json
import random
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

from PIL import Image

from stand import Stand, wait_for_port

STAMPS = Path("/usr/share/tuxpaint/stamps")
SCENES = [
    ("animals/insects/hoverfly", "Flow"), ("plants/flowers/daffodil", "Garden"), ("animals/birds/owl", "Wood"),
    ("animals/mammals/rodents/squirrel", "Garden"), ("plants/mushrooms/cep", "Wood"),
    ("animals/birds/heron_greatblue", "Aqua"), ("plants/trees/holly_leaves", "Garden"),
    ("animals/mammals/cats/tiger", "Flow"),
]
TOKEN = "a token for the test"


def backgrounds():
    found = sorted(Path("/usr/share/backgrounds").rglob("*.jpg"))
    return [path for path in found if path.stat().st_size > 50_000]


def scene(stamp, place, size=(1280, 720)):
    """A photograph of an organism before a photograph of a landscape."""
    behind = backgrounds()
    chosen = random.Random(place)
    picture = Image.new("RGB", size, (92, 112, 84))
    if behind:
        picture = Image.open(chosen.choice(behind)).convert("RGB").resize(size)
    cut = Image.open(STAMPS / f"{stamp}.png").convert("RGBA")
    scale = min(size[0] * 0.62 / cut.width, size[1] * 0.86 / cut.height)
    cut = cut.resize((int(cut.width * scale), int(cut.height * scale)), Image.LANCZOS)
    picture.paste(cut, ((size[0] - cut.width) // 2, (size[1] - cut.height) // 2), cut)
    return picture


def write_scenes(folder, count=len(SCENES)):
    folder.mkdir(parents=True)
    for number, (stamp, _) in enumerate(SCENES[:count]):
        scene(stamp, number).save(folder / f"{number:03}.jpg", quality=88)


def write_colours(folder):
    """What the tiny model of the tests knows, each picture another than the one before."""
    folder.mkdir(parents=True)
    for number in range(8):
        colour = [(255, 0, 0), (0, 255, 0)][number % 2]
        picture = Image.new("RGB", (1280, 720), colour)
        # A mark that tells pictures apart, where no view looks.
        picture.paste((0, 0, 30 * number + 20), (1180, 620, 1280, 720))
        picture.save(folder / f"{number:03}.jpg", quality=95)


class Node(Stand):
    """Runs until it is stopped."""

    def __init__(self, binaries, page="", commands='"target", "watch", "pause", "resume"', rate=1.0, tables="",
                 cameras=None, toy=False):
        super().__init__()
        self.binaries, self.heard = Path(binaries), []
        (self.path / "token").write_text(TOKEN + "\n")
        cameras = cameras or {"garden": f"rate_hz = {rate}\n"}
        self.toy, model = toy, package()
        if toy:
            model = self.path / "toy.fieldmark"
            subprocess.run([self.binaries / "examples/toy_package", model], check=True)
        tables += "".join(self.camera(name, keys) for name, keys in cameras.items())
        (self.path / "fieldmark.toml").write_text(
            f'node = "pond-node"\n[model]\npackage = "{model}"\n'
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{self.broker_port}"\nmetrics_s = 1.0\n'
            f'[outbox]\nfolder = "{self.path}/state"\n[commands]\nallow = [{commands}]\n'
            f'[page]\nlisten = "127.0.0.1:{self.page_port}"\n{page.replace("TOKENFILE", str(self.path / "token"))}\n{tables}'
        )
        self.listen()
        self.start()

    def camera(self, name, keys):
        folder = self.path / name
        if self.toy:
            write_colours(folder)
        else:
            write_scenes(folder)
        return f'[camera.{name}]\nsource = "files"\nfolder = "{folder}"\ntracks = true\n{keys}'

    def listen(self):
        listener = self.run(["mosquitto_sub", "-p", str(self.broker_port), "-t", "fieldmark/#", "-F", "%t %p"],
                            stdout=subprocess.PIPE)

        def read():
            for line in listener.stdout:
                topic, _, payload = line.decode("utf-8", "replace").rstrip("\n").partition(" ")
                self.heard.append((time.time(), topic, payload))
        threading.Thread(target=read, daemon=True).start()

    def start(self):
        log = open(self.path / "log", "ab")
        self.daemon = self.run([str(self.binaries / "fieldmarkd"), "--config", str(self.path / "fieldmark.toml")],
                               stderr=log)
        wait_for_port(self.page_port, self)

    def get(self, path, token=None):
        request = urllib.request.Request(self.url(path))
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def state(self, token=None):
        return json.loads(self.get("/api/state", token))

    def on(self, topic):
        return [(at, payload) for at, heard, payload in list(self.heard) if heard == topic]

    def log(self):
        return (self.path / "log").read_text()


def package():
    return next(iter(sorted(Path("models/packages").glob("*.fieldmark")))).resolve()

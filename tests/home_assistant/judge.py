"""Judges what Home Assistant made of a node. `tests/home_assistant/run` prepares and calls it."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

DAEMON = sys.argv[1]
HERE = pathlib.Path(__file__).parent
STAMPS = pathlib.Path("/usr/share/tuxpaint/stamps")
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="fieldmark-ha-"))
CAMERA = """
[camera.{name}]
source = "files"
files = {files}
rate_hz = 1.0
loop = true
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


PORT, HTTP = free_port(), free_port()


def start(*command, log, **variables):
    out = open(FOLDER / log, "a")
    return subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **variables})


def photographs(*names):
    found = [next(STAMPS.glob(f"animals/**/{name}.png"), None) for name in names]
    assert all(found), f"{names}: apt-get install tuxpaint-stamps-default"
    return json.dumps([str(path) for path in found])


def configure(*cameras):
    text = f"""node = "garden-node"
[mqtt]
url = "mqtt://127.0.0.1:{PORT}"
[outbox]
folder = "{FOLDER}/state"
[home_assistant]
discovery = true
[watch]
taxa = ["Mammalia"]
cooldown_s = 5.0
[snapshot]
every_s = 1.0
"""
    files = photographs("tiger", "clownfish")
    text += "".join(CAMERA.format(name=name, files=files) for name in cameras)
    (FOLDER / "fieldmark.toml").write_text(text)


def daemon():
    return start(DAEMON, "run", "--config", str(FOLDER / "fieldmark.toml"), log="fieldmarkd.log")


def home_assistant():
    config = FOLDER / "config"
    (config / "custom_components").mkdir(parents=True, exist_ok=True)
    shutil.copytree(HERE / "witness", config / "custom_components" / "witness", dirs_exist_ok=True)
    (config / "configuration.yaml").write_text(
        f"http:\n  server_host: 127.0.0.1\n  server_port: {HTTP}\nlogger:\n  default: warning\nwitness:\n"
    )
    hass = pathlib.Path(sys.executable).parent / "hass"
    return start(
        str(hass), "--config", str(config), log="hass.log",
        WITNESS_PORT=str(PORT), WITNESS_OUT=str(FOLDER / "known.json"),
        PATH=f"{hass.parent}:{os.environ['PATH']}",
    )


def known():
    try:
        return json.loads((FOLDER / "known.json").read_text())
    except (OSError, ValueError):
        return {"devices": [], "entities": [], "states": {}, "triggers": [], "changes": [], "fired": []}


def wait(what, holds, patience=120):
    begun = time.monotonic()
    while not (found := holds(known())):
        if time.monotonic() - begun > patience:
            print(json.dumps(known(), indent=1)[-6000:])
            print((FOLDER / "hass.log").read_text()[-3000:])
            raise SystemExit(f"waited in vain until {what}")
        time.sleep(0.5)
    print(f"ok    {what}" + (f": {found}" if found is not True else ""), flush=True)


def state(now, entity):
    return now["states"].get(entity, {}).get("state")


NODE = "fieldmark_garden_node"
KINDS = {"species": "sensor", "probability": "sensor", "image": "image", "event": "event", "connectivity": "binary_sensor"}


def entities(*cameras):
    of_cameras = {f"{kind}.{NODE}_{camera}_{name}" for camera in cameras for name, kind in KINDS.items()}
    return of_cameras | {f"binary_sensor.{NODE}_connectivity", f"update.{NODE}_model"}


def main():
    configuration = FOLDER / "mosquitto.conf"
    configuration.write_text(f"listener {PORT} 127.0.0.1\nallow_anonymous true\n")
    path = f"{os.environ['PATH']}:/usr/sbin"
    running = [subprocess.Popen(["mosquitto", "-c", str(configuration)], stderr=subprocess.DEVNULL, env={**os.environ, "PATH": path})]
    try:
        configure("pond", "gate")
        node, house = daemon(), home_assistant()
        running += [node, house]
        wait("the node is a device", lambda now: [d for d in now["devices"] if d["name"] == "fieldmark garden-node"], 300)
        wait("it has an entity of each kind and no other", lambda now: set(now["entities"]) == entities("pond", "gate") and now["entities"])
        for camera in ("pond", "gate"):
            wait(f"{camera}: a species is named", lambda now: state(now, f"sensor.{NODE}_{camera}_species") not in (None, "unknown", "unavailable") and state(now, f"sensor.{NODE}_{camera}_species"))
            wait(f"{camera}: its probability is a percentage", lambda now: (p := state(now, f"sensor.{NODE}_{camera}_probability")) and p.replace(".", "").isdigit() and 0 < float(p) <= 100 and p)
            wait(f"{camera}: an event came", lambda now: (e := now["states"].get(f"event.{NODE}_{camera}_event")) and e["attributes"].get("event_type") == "new" and e["attributes"]["taxon"])
            wait(f"{camera}: an image came", lambda now: state(now, f"image.{NODE}_{camera}_image") not in (None, "unknown", "unavailable") and state(now, f"image.{NODE}_{camera}_image"))
            wait(f"{camera}: it is connected", lambda now: state(now, f"binary_sensor.{NODE}_{camera}_connectivity") == "on")
        attributes = lambda now: now["states"].get(f"sensor.{NODE}_pond_species", {}).get("attributes", {})
        wait("the whole message stands in the attributes", lambda now: attributes(now).get("taxon", {}).get("lineage"))
        wait("the model is up to date", lambda now: state(now, f"update.{NODE}_model") == "off" and now["states"][f"update.{NODE}_model"]["attributes"]["installed_version"])
        wait("alerts are triggers of the device", lambda now: sorted(t["subtype"] for t in now["triggers"]) == ["gate", "pond"])
        wait("an automation on one fires", lambda now: now["fired"])
        node.send_signal(signal.SIGKILL)
        wait("a node that died is disconnected", lambda now: state(now, f"binary_sensor.{NODE}_connectivity") == "off")
        wait("and what it last said is unavailable", lambda now: state(now, f"sensor.{NODE}_pond_species") == "unavailable")
        configure("pond")
        node = daemon()
        running.append(node)
        wait("a camera that left is taken back", lambda now: set(now["entities"]) == entities("pond"))
        wait("what is left is available again", lambda now: state(now, f"sensor.{NODE}_pond_species") not in (None, "unavailable", "unknown"))
        house.send_signal(signal.SIGTERM)
        house.wait(60)
        (FOLDER / "known.json").unlink()
        house = home_assistant()
        running.append(house)
        wait("Home Assistant starts again and has it all", lambda now: set(now["entities"]) == entities("pond") and state(now, f"sensor.{NODE}_pond_species") not in (None, "unavailable", "unknown"), 300)
        log = (FOLDER / "hass.log").read_text()
        complaints = [line for line in log.splitlines() if "mqtt" in line.lower() and ("ERROR" in line or "WARNING" in line)]
        print("\n".join(complaints) or "ok    Home Assistant has nothing to complain of MQTT")
    finally:
        for process in running:
            process.kill()
    shutil.rmtree(FOLDER)


main()

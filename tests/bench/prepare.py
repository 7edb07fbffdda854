"""fieldmark's preparation beside plain scripts that do the same joins, on one archive: time, peak memory, counts.

fieldmark reads the archive as it came. None of the others' readers leaves out exactly the rows that are none: they are taken
out before the others begin, and that is not counted."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

JOINS = Path(__file__).parent / "joins"
sys.path.append(str(JOINS))
from rows_only import TABLES, rows_only  # noqa: E402

# What a peer's own accounts may come to, in MB: below 2 GiB by what they do not account for.
MEMORY = 1800


def run(command, longest=None):
    """Seconds, peak memory in MiB, seconds of processor, standard output; nothing if it fails or takes `longest` seconds."""
    before = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(longest, process.kill) if longest else None
    if timer:
        timer.start()
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if timer:
        timer.cancel()
    if status:
        return None
    return time.monotonic() - before, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime, output


def differences(report, expected):
    """Counts of the report that are not what was planted."""
    files = {file["file"]: file for file in report["files"]}
    wrong = []
    for name, wanted in zip(TABLES, (expected["occurrences"], expected["media"])):
        found = files[name]
        for reason in sorted(set(found["dropped"]) | set(wanted["dropped"])):
            pair = found["dropped"].get(reason, 0), wanted["dropped"].get(reason, 0)
            print(f"  {name} {reason}: {pair[0]} of {pair[1]} planted")
            if pair[0] != pair[1]:
                wrong.append(reason)
    kept = report["samples"]["training"] + report["samples"]["validation"]
    if (kept, files["multimedia.txt"]["kept"]) != (expected["media"]["kept"],) * 2:
        wrong.append("kept")
    return wrong


def compare(name, archive, out, own, kept):
    """Runs a peer and says what it took, beside fieldmark's `own`."""
    if importlib.util.find_spec(name.lower()) is None:
        print(f"{name} is not installed: not compared")
        return
    seconds, memory, cpu = own
    out.mkdir(exist_ok=True)
    # Nobody else's disk is filled.
    spill = max(shutil.disk_usage(out).free * 3 // 4, 1 << 30) // 1_000_000
    script = [sys.executable, str(JOINS / f"with_{name.lower()}.py"), str(archive), str(out), str(MEMORY), str(spill)]
    longest = 10 * seconds + 60
    result = run(script, longest)
    shutil.rmtree(out)
    if result is None:
        print(f"{name} failed, or took more than {longest:.0f} s")
        return
    other, other_memory, other_cpu, output = result
    counts = "as many pictures" if int(output) == kept else f"{int(output)} PICTURES"
    print(f"{name}: {other:.1f} s, {other_cpu:.1f} s of processor, peak {other_memory:.0f} MiB, {counts}")
    print(f"  fieldmark's time {seconds / other:.2f}, processor {cpu / other_cpu:.2f}, memory {memory / other_memory:.2f} of {name}'s", flush=True)


def main():
    trainer, folder, *peers = sys.argv[1:]
    folder = Path(folder)
    archive = folder / "archive"
    expected = json.loads((archive / "expected.json").read_text())
    size = sum((archive / name).stat().st_size for name in TABLES)
    print(f"{expected['occurrences']['rows']} occurrences, {expected['media']['rows']} pictures, {size / 1e9:.1f} GB")

    result = run([trainer, "prepare", str(archive), "--out", str(folder / "set"), "--json"])
    if result is None:
        sys.exit("fieldmark-trainer prepare failed")
    seconds, memory, cpu, output = result
    wrong = differences(json.loads(output), expected)
    kept = expected["media"]["kept"]
    print(f"fieldmark: {seconds:.1f} s, {cpu:.1f} s of processor, peak {memory:.0f} MiB, {kept} pictures kept")
    print("counts exact" if not wrong else f"COUNTS DIFFER: {wrong}", flush=True)

    shutil.rmtree(folder / "set")
    rows_only(archive)
    for name in peers:
        compare(name, archive, folder / "other", (seconds, memory, cpu), kept)
    sys.exit(bool(wrong) or memory >= 2048)


main()

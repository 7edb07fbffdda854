"""Time and peak memory of the preparation of a competition as great as 2021's: writes its JSON with oddities at known counts,
prepares it, and compares what was kept and dropped.

python tests/bench/competition.py fieldmark-trainer FOLDER [IMAGES]: FOLDER is removed at the end, and takes 2 GB."""

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

CATEGORIES = 10_000
SYLLABLES = ["ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru"]


def name(number, ending):
    return "".join(SYLLABLES[int(digit)] for digit in f"{number:05}") + ending


def category(number):
    genus, family, order = number // 3, number // 40, number // 400
    ranks = ["Animalia", "Arthropoda", "Insecta", name(order, "ptera").title(), name(family, "idae").title(), name(genus, "us").title()]
    species = f"{ranks[5]} {name(number, 'is')}"
    row = dict(zip(("kingdom", "phylum", "class", "order", "family", "genus"), ranks))
    folder = "_".join([f"{number:05}", *ranks, name(number, "is")])
    row |= {"id": number, "name": species, "common_name": f"Beetle {number}", "supercategory": "Insects"}
    return row | {"specific_epithet": name(number, "is"), "image_dir_name": folder}


def image(number, folder):
    picture = uuid.UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % (1 << 128))
    return {
        "id": number,
        "width": 500,
        "height": 375,
        "file_name": f"train/{folder}/{picture}.jpg",
        "license": number % 7,
        "rights_holder": f"Observer {number * 7919 % 150_000}",
        "date": f"2019-{number % 12 + 1:02}-{number % 28 + 1:02} 10:{number % 60:02}:00+00:00",
        "latitude": number % 90 + 0.12345,
        "longitude": number % 180 + 0.54321,
        "location_uncertainty": number % 100,
    }


def write(path, images):
    """Of a thousand images one comes twice, one is of no category that is known, one is of none at all."""
    categories = [category(number) for number in range(CATEGORIES)]
    licences = [{"id": number, "name": f"licence {number}", "url": f"http://creativecommons.org/licenses/by/{number}.0/"} for number in range(7)]
    dropped = {"duplicate_id": 0, "occurrence_dropped": 0, "no_occurrence": 0}
    with open(path, "w", encoding="utf-8") as out:
        out.write('{"info": {"year": 2021}, "images": [')
        between = ""
        for number in range(images):
            row = json.dumps(image(number, categories[number % CATEGORIES]["image_dir_name"]))
            out.write(between + row)
            between = ", "
            if number % 1000 == 11:
                out.write(between + row)
                dropped["duplicate_id"] += 1
        out.write('], "categories": ' + json.dumps(categories) + ', "annotations": [')
        between = ""
        for number in range(images):
            if number % 1000 == 33:
                dropped["no_occurrence"] += 1
                continue
            dropped["occurrence_dropped"] += number % 1000 == 22
            of = CATEGORIES + 1 if number % 1000 == 22 else number % CATEGORIES
            out.write(f'{between}{{"id": {number}, "image_id": {number}, "category_id": {of}}}')
            between = ", "
        out.write('], "licenses": ' + json.dumps(licences) + "}")
    return dropped, images - dropped["no_occurrence"] - dropped["occurrence_dropped"]


def main():
    trainer, folder = sys.argv[1], Path(sys.argv[2])
    images = int(sys.argv[3]) if len(sys.argv) > 3 else 2_686_843
    (folder / "source").mkdir(parents=True)
    try:
        path = folder / "source" / "train.json"
        dropped, kept = write(path, images)
        print(f"{images} images, {CATEGORIES} categories, {path.stat().st_size / 1e9:.2f} GB", flush=True)
        before = time.monotonic()
        process = subprocess.Popen([trainer, "prepare", str(path.parent), "--out", str(folder / "set"), "--json"], stdout=subprocess.PIPE)
        report = json.loads(process.stdout.read())
        _, _, usage = os.wait4(process.pid, 0)
        seconds, memory = time.monotonic() - before, usage.ru_maxrss / 1024
    finally:
        shutil.rmtree(folder)
    found = {file["file"]: file for file in report["files"]}["train.json images"]
    exact = (found["dropped"], found["kept"]) == (dropped, kept)
    print(f"{seconds:.1f} s, {usage.ru_utime + usage.ru_stime:.1f} s of processor, peak {memory:.0f} MiB, {found['kept']} images kept")
    print("counts exact" if exact else f"COUNTS DIFFER: {found['dropped']}, planted {dropped}; kept {kept} expected")
    sys.exit(not exact or memory >= 2048)


main()

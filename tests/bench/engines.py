"""Whole frames on every engine, beside a straightforward program; `tests/bench/engines` runs this.

engines.py frames FOLDER                    photographs as 4K JPEGs
engines.py quantise FLOAT INT8 FRAMES       int8 by ONNX Runtime's own quantiser
engines.py peer MODEL SIDE FRAMES N THREADS the straightforward program: one line of JSON
engines.py measure FOLDER PACKAGE...        takes turns, prints tables
"""

import glob
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib

import cv2
import numpy as np

PHOTOGRAPHS = "/usr/share/backgrounds/mate/nature/*.jpg"


def make_frames(folder):
    photographs = sorted(glob.glob(PHOTOGRAPHS))[:4]
    if not photographs:
        sys.exit(f"{PHOTOGRAPHS} is needed: apt-get install -y mate-backgrounds")
    for path in photographs:
        frame = cv2.resize(cv2.imread(path), (3840, 2160), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / pathlib.Path(path).name), frame, [cv2.IMWRITE_JPEG_QUALITY, 90])


def views(picture, side):
    """The whole, and its middle magnified by 1.5, as the shipped packages have them."""
    height, width = picture.shape[:2]
    left, top = round(width / 6), round(height / 6)
    crop = picture[top : height - top, left : width - left]
    return [cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA)[None] for part in (picture, crop)]


def peer(model, side, frames, count, threads):
    import onnxruntime

    cv2.setNumThreads(threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    jpegs = [np.frombuffer(path.read_bytes(), np.uint8) for path in sorted(frames.iterdir())]

    def look(jpeg):
        picture = cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        probabilities = session.run(None, dict(zip(names, views(picture, side))))[0][0]
        leaf = int(probabilities.argmax())
        return json.dumps({"leaf": leaf, "probability": float(probabilities[leaf]), "time": time.time()})

    for jpeg in jpegs[:3]:
        look(jpeg)
    times, begun = [], time.process_time()
    for number in range(count):
        before = time.perf_counter()
        look(jpegs[number % len(jpegs)])
        times.append((time.perf_counter() - before) * 1000)
    cpu = (time.process_time() - begun) / count * 1000
    status = pathlib.Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    print(json.dumps({"cpu_ms_per_frame": cpu, "p50_ms": statistics.median(times), "peak_rss_bytes": peak}))


def quantise(source, target, frames):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    import onnx

    side = onnx.load(source, load_external_data=False).graph.input[0].type.tensor_type.shape.dim[1].dim_value

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = sorted(frames.iterdir())[:3]

        def get_next(self):
            if not self.left:
                return None
            picture = cv2.cvtColor(cv2.imread(str(self.left.pop())), cv2.COLOR_BGR2RGB)
            return dict(zip(("whole", "crop"), views(picture, side)))

    symmetric = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    quantize_static(source, target, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
                    op_types_to_quantize=["Conv", "Gemm", "MatMul", "Concat", "Add"], extra_options=symmetric)


def library(*folders):
    found = [path for folder in folders for path in glob.glob(f"{folder}/onnxruntime/capi/libonnxruntime.so*")]
    return sorted(found)[0] if found else None


def unpacked(package, folder):
    tar = folder / "package.tar"
    tar.write_bytes(subprocess.run(["zstd", "-dc", "--long=27", package], check=True, capture_output=True).stdout)
    with tarfile.open(tar) as archive:
        archive.extractall(folder, filter="data")
    tar.unlink()
    return tomllib.loads((folder / "manifest.toml").read_text())


def as_a_service():
    """What the daemon's unit puts into its environment."""
    lines = pathlib.Path("systemd/fieldmarkd.service").read_text().splitlines()
    settings = [line.removeprefix("Environment=") for line in lines if line.startswith("Environment=")]
    return os.environ | dict(setting.split("=", 1) for line in settings for setting in line.split())


def run(command):
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=as_a_service())
    return json.loads(done.stdout.splitlines()[-1])


def daemons(here, package, count, threads):
    return [str(here / "fieldmarkd"), "bench", "--json", "--model", package, "--frames", str(here / "frames"),
            "--count", str(count), "--threads", str(threads)]


def contestants(here, package, folder, manifest, count, threads):
    frames, side = here / "frames", str(manifest["input_size"])
    ours = daemons(here, package, count, threads)
    theirs = [sys.executable, __file__, "peer", str(folder / "model.onnx"), side, str(frames), str(count), str(threads)]
    venv = library(*glob.glob("work/venv/lib/python*/site-packages"))
    out = {
        "Python, f32": theirs,
        "tract f32": [*ours, "--engine", "tract"],
        "ONNX Runtime f32": [*ours, "--engine", "onnxruntime", "--library", venv],
    }
    if (folder / "model.int8.onnx").exists():
        out["Python, int8"] = [*theirs[:3], str(folder / "model.int8.onnx"), *theirs[4:]]
        out["ONNX Runtime int8"] = [*out["ONNX Runtime f32"], "--precision", "int8"]
    openvino = library(here / "openvino")
    if openvino:
        on = [*ours, "--engine", "onnxruntime", "--providers", "openvino", "--library", openvino]
        out["OpenVINO f32"] = on
        if (folder / "model.int8.onnx").exists():
            out["OpenVINO int8"] = [*on, "--precision", "int8"]
    return out


def measure(here, packages):
    rounds, count, threads = (int(os.environ.get(name, value)) for name, value in
                              (("ROUNDS", 5), ("FRAMES", 8), ("THREADS", 1)))
    for package in packages:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            manifest = unpacked(package, folder)
            who = contestants(here, package, folder, manifest, count, threads)
            results = {name: [] for name in who}
            for _ in range(rounds):
                for name, command in who.items():
                    try:
                        results[name].append(run(command))
                    except subprocess.CalledProcessError as error:
                        print(f"{name}: {error.stderr.strip()}", file=sys.stderr)
            print(f"\n{pathlib.Path(package).name} ({manifest['preset']}), {threads} thread(s), {rounds} rounds of "
                  f"{count} frames, medians; ratios are medians of the rounds' own\n")
            print("| | CPU ms a frame | of Python's | latency p50 ms | engine p50 ms | overhead p50 ms | peak MB |")
            print("| --- | --- | --- | --- | --- | --- | --- |")
            base = [result["cpu_ms_per_frame"] for result in results["Python, f32"]]
            for name, found in results.items():
                if not found:
                    print(f"| {name} | did not run | | | | | |")
                    continue
                cpu = [result["cpu_ms_per_frame"] for result in found]
                ratio = statistics.median(own / other for own, other in zip(cpu, base))
                stages = [{stage["stage"]: stage for stage in result.get("stages", [])} for result in found]
                middle = lambda pick: statistics.median(map(pick, found))
                stage = lambda name: (f"{statistics.median(row[name]['p50_ms'] for row in stages):.2f}"
                                      if stages[0] else "–")
                total = stage("total") if stages[0] else f"{middle(lambda row: row['p50_ms']):.2f}"
                peak = middle(lambda row: row["peak_rss_bytes"]) / 1e6
                print(f"| {name} | {statistics.median(cpu):.1f} | {ratio:.2f} | {total} | {stage('inference')} | "
                      f"{stage('overhead')} | {peak:.0f} |", flush=True)
            on_two_cores(here, package, rounds, count)


def on_two_cores(here, package, rounds, count):
    """What a second core gives tract: a region alone, and regions in calls of as many as there are threads."""
    on = lambda threads: run([*daemons(here, package, count, threads), "--engine", "tract"])
    pairs = [(on(1), on(2)) for _ in range(rounds)]
    ratio = lambda key: statistics.median(two["alone"][key] / one["alone"][key] for one, two in pairs)
    warm = [statistics.median(pair[side]["rss_bytes"] for pair in pairs) / 1e6 for side in (0, 1)]
    print(f"\ntract on two threads: latency of a region {ratio('p50_ms'):.2f} of that on one, regions a second "
          f"{ratio('regions_per_second'):.2f} times as many; memory once warm {warm[0]:.0f} and {warm[1]:.0f} MB", flush=True)


def main(what, *rest):
    paths = [pathlib.Path(argument) for argument in rest]
    if what == "frames":
        make_frames(paths[0])
    elif what == "quantise":
        quantise(rest[0], rest[1], paths[2])
    elif what == "peer":
        peer(rest[0], int(rest[1]), paths[2], int(rest[3]), int(rest[4]))
    elif what == "measure":
        measure(paths[0], rest[1:])


if __name__ == "__main__":
    main(*sys.argv[1:])

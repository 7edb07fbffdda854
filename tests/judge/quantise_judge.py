"""Judges a quantised package with ONNX Runtime, side by side with ONNX Runtime's own post-training quantisation.

The folder is what `fieldmark-trainer views PACKAGE --photos TABLE --out FOLDER` writes. Ours and theirs get ranges from
the same photographs (side `calibration`) and are judged on the others. Exit code 1 where a promise is not kept.
"""

import csv
import pathlib
import sys
import tomllib

import numpy
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

# Engines round halves differently and later layers carry it on.
GOLDEN_TOLERANCE = 0.05
AGREEMENT = 0.99
DROP = 0.005
SIZE = 0.30


def session(path, optimised=True):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def views(folder, run, name):
    out = {}
    for view in run.get_inputs():
        side = view.shape[1]
        out[view.name] = numpy.fromfile(folder / f"{name}.{view.name}.u8", numpy.uint8).reshape(1, side, side, 3)
    return out


def rows(path, pictures, optimised=True):
    run = session(path, optimised)
    return numpy.concatenate([run.run(["probabilities"], picture)[0] for picture in pictures])


def int8_layers(path):
    """Convolutions and matrix products whose data and weights both come from a DequantizeLinear."""
    graph = onnx.load(path).graph
    maker = {value: node for node in graph.node for value in node.output}
    dequantised = lambda value: value in maker and maker[value].op_type == "DequantizeLinear"
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    return sum(all(dequantised(value) for value in node.input[:2]) for node in layers), len(layers)


class Reader(CalibrationDataReader):
    def __init__(self, pictures):
        self.pictures = iter(pictures)

    def get_next(self):
        return next(self.pictures, None)


def main(folder):
    float_path, int8, fp16 = (folder / name for name in ("model.onnx", "model.int8.onnx", "model.fp16.onnx"))
    kept = True

    def promise(what, holds):
        nonlocal kept
        kept &= bool(holds)
        print(f"{'kept' if holds else 'BROKEN'}: {what}")

    for path in (int8, fp16):
        if path.exists():
            onnx.checker.check_model(onnx.load(path), full_check=True)
    run = session(float_path)
    golden = tomllib.loads((folder / "index.int8.toml").read_text())["picture"]
    pictures = [views(folder, run, picture["file"].replace("/", "_")) for picture in golden]
    expected = numpy.array([picture["probabilities"] for picture in golden], numpy.float32)
    for optimised in (False, True):
        worst = float(abs(rows(int8, pictures, optimised) - expected).max())
        name = "with its int8 kernels" if optimised else "operator by operator"
        promise(f"golden int8 probabilities, ONNX Runtime {name}: {worst:.2e}", worst <= GOLDEN_TOLERANCE)

    photos = list(csv.DictReader((folder / "photos.csv").open()))
    if not photos:
        return 0 if kept else 1
    sides = {side: [photo for photo in photos if photo["side"] == side] for side in ("calibration", "judging")}
    shown = {side: [views(folder, run, photo["name"]) for photo in some] for side, some in sides.items()}
    original = rows(float_path, shown["judging"])
    low = numpy.array([int(photo["first_leaf"]) for photo in sides["judging"]])
    high = numpy.array([int(photo["end_leaf"]) for photo in sides["judging"]])

    def figures(name, probabilities, size, layers):
        best, top = original.argmax(1), probabilities.argmax(1)
        agreement = float((best == top).mean())
        right = lambda leaf: float(((leaf >= low) & (leaf < high)).mean())
        # Total variation, which is fair to a quantiser that rounds probabilities to 127 steps and some of them to 0.
        distance = float(abs(original - probabilities).sum(1).mean() / 2)
        ratio = size / float_path.stat().st_size
        for at in numpy.flatnonzero(best != top):
            pair = lambda row: f"{row[best[at]]:.4f} and {row[top[at]]:.4f}"
            print(f"  {name}, {sides['judging'][at]['name']}: two leaves have {pair(original[at])} in float, "
                  f"{pair(probabilities[at])} here")
        print(f"{name}: agreement {agreement:.4f}, top-1 {right(top):.4f} (float {right(best):.4f}), distance "
              f"{distance:.5f}, size {ratio:.3f}, {layers[0]} of {layers[1]} layers in int8")
        return agreement, right(best) - right(top), distance, ratio, layers[0]

    ours = figures("ours int8", rows(int8, shown["judging"]), int8.stat().st_size, int8_layers(int8))
    plain = figures("ours int8, operator by operator", rows(int8, shown["judging"], False), int8.stat().st_size,
                    int8_layers(int8))
    if fp16.exists():
        figures("ours float16", rows(fp16, shown["judging"]), fp16.stat().st_size, int8_layers(fp16))
    their_path = folder / "theirs.int8.onnx"
    symmetric = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    quantize_static(float_path, their_path, Reader(shown["calibration"]), quant_format=QuantFormat.QDQ,
                    per_channel=True, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
                    extra_options=symmetric)
    theirs = figures("theirs int8", rows(their_path, shown["judging"]), their_path.stat().st_size,
                     int8_layers(their_path))
    promise(f"agreement with float {ours[0]:.4f} >= {AGREEMENT}", ours[0] >= AGREEMENT)
    promise(f"agreement operator by operator {plain[0]:.4f} >= {AGREEMENT}", plain[0] >= AGREEMENT)
    promise(f"drop of top-1 {ours[1]:.4f} <= {DROP}", ours[1] <= DROP)
    promise(f"size {ours[3]:.3f} <= {SIZE}", ours[3] <= SIZE)
    promise("at least as near to float as ONNX Runtime's quantiser", ours[0] >= theirs[0] and ours[2] <= theirs[2])
    promise("as many layers in int8 as ONNX Runtime's quantiser", ours[4] >= theirs[4])
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))

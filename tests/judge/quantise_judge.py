"""Judges a quantised package with ONNX Runtime, side by side with ONNX Runtime's own post-training quantisation.

A folder is what `fieldmark-trainer views PACKAGE --photos TABLE --out FOLDER` writes; several are judged together. Ours and
theirs get ranges from the same photographs (side `calibration`) and are judged on the others. Exit code 1 where a promise is not
kept.
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


class Answers:
    """What one model says of the judging photographs, beside the float model: an array element a photograph."""

    def __init__(self, same, right, right_in_float, distance, size, layers):
        self.same, self.right, self.right_in_float, self.distance = same, right, right_in_float, distance
        self.size, self.layers = size, layers

    @classmethod
    def together(cls, all_answers):
        parts = [[getattr(answers, name) for answers in all_answers]
                 for name in ("same", "right", "right_in_float", "distance")]
        left_in_float = max(answers.layers[1] - answers.layers[0] for answers in all_answers)
        layers = all_answers[0].layers[1]
        return cls(*(numpy.concatenate(part) for part in parts), max(answers.size for answers in all_answers),
                   (layers - left_in_float, layers))

    def __str__(self):
        return (f"agreement {self.same.mean():.4f} of {len(self.same)}, top-1 {self.right.mean():.4f} (float "
                f"{self.right_in_float.mean():.4f}), distance {self.distance.mean():.5f}, size {self.size:.3f}, "
                f"{self.layers[0]} of {self.layers[1]} layers in int8")


def golden_distance(folder, optimised):
    """Largest difference of a golden probability: ONNX Runtime on the int8 model against what the package says."""
    run = session(folder / "model.onnx")
    golden = tomllib.loads((folder / "index.int8.toml").read_text())["picture"]
    pictures = [views(folder, run, picture["file"].replace("/", "_")) for picture in golden]
    expected = numpy.array([picture["probabilities"] for picture in golden], numpy.float32)
    return float(abs(rows(folder / "model.int8.onnx", pictures, optimised) - expected).max())


def judged(folder):
    """Answers by name of ours and of ONNX Runtime's quantiser, with ranges from the same photographs."""
    float_path, int8, fp16 = (folder / name for name in ("model.onnx", "model.int8.onnx", "model.fp16.onnx"))
    photos = list(csv.DictReader((folder / "photos.csv").open()))
    if not photos:
        return {}
    run = session(float_path)
    sides = {side: [photo for photo in photos if photo["side"] == side] for side in ("calibration", "judging")}
    shown = {side: [views(folder, run, photo["name"]) for photo in some] for side, some in sides.items()}
    original = rows(float_path, shown["judging"])
    low = numpy.array([int(photo["first_leaf"]) for photo in sides["judging"]])
    high = numpy.array([int(photo["end_leaf"]) for photo in sides["judging"]])
    out = {}

    def ask(name, path, optimised=True):
        probabilities = rows(path, shown["judging"], optimised)
        best, top = original.argmax(1), probabilities.argmax(1)
        right = lambda leaf: (leaf >= low) & (leaf < high)
        for at in numpy.flatnonzero(best != top):
            pair = lambda row: f"{row[best[at]]:.4f} and {row[top[at]]:.4f}"
            print(f"  {name}, {sides['judging'][at]['name']}: two leaves have {pair(original[at])} in float, "
                  f"{pair(probabilities[at])} here")
        # Total variation, which is fair to a quantiser that rounds probabilities to 127 steps and some of them to 0.
        distance = abs(original - probabilities).sum(1) / 2
        size = path.stat().st_size / float_path.stat().st_size
        out[name] = Answers(best == top, right(top), right(best), distance, size, int8_layers(path))

    ask("ours int8", int8)
    ask("ours int8, operator by operator", int8, False)
    if fp16.exists():
        ask("ours float16", fp16)
    their_path = folder / "theirs.int8.onnx"
    symmetric = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    quantize_static(float_path, their_path, Reader(shown["calibration"]), quant_format=QuantFormat.QDQ,
                    per_channel=True, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
                    extra_options=symmetric)
    ask("theirs int8", their_path)
    return out


def main(folders):
    kept = True

    def promise(what, holds):
        nonlocal kept
        kept &= bool(holds)
        print(f"{'kept' if holds else 'BROKEN'}: {what}")

    found = []
    for folder in folders:
        for path in (folder / "model.int8.onnx", folder / "model.fp16.onnx"):
            if path.exists():
                onnx.checker.check_model(onnx.load(path), full_check=True)
        for optimised in (False, True):
            worst = golden_distance(folder, optimised)
            name = "with its int8 kernels" if optimised else "operator by operator"
            promise(f"golden int8 probabilities, ONNX Runtime {name}: {worst:.2e}", worst <= GOLDEN_TOLERANCE)
        found.append(judged(folder))
        if len(folders) > 1:
            print(folder, *(f"{name}: {answers}" for name, answers in found[-1].items()), sep="\n  ")
    names = set.intersection(*(set(answers) for answers in found))
    together = {name: Answers.together([answers[name] for answers in found]) for name in sorted(names)}
    for name, answers in together.items():
        print(f"{name}: {answers}")
    if not together:
        return 0 if kept else 1
    ours, plain = together["ours int8"], together["ours int8, operator by operator"]
    theirs = together["theirs int8"]
    agreement, drop = ours.same.mean(), ours.right_in_float.mean() - ours.right.mean()
    promise(f"agreement with float {agreement:.4f} >= {AGREEMENT}", agreement >= AGREEMENT)
    promise(f"agreement operator by operator {plain.same.mean():.4f} >= {AGREEMENT}", plain.same.mean() >= AGREEMENT)
    promise(f"drop of top-1 {drop:.4f} <= {DROP}", drop <= DROP)
    promise(f"size {ours.size:.3f} <= {SIZE}", ours.size <= SIZE)
    nearer = agreement >= theirs.same.mean() and ours.distance.mean() <= theirs.distance.mean()
    promise("at least as near to float as ONNX Runtime's quantiser", nearer)
    promise("as many layers in int8 as ONNX Runtime's quantiser", ours.layers[0] >= theirs.layers[0])
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main([pathlib.Path(folder) for folder in sys.argv[1:]]))

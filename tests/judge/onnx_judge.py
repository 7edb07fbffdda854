"""Judges an exported model: the ONNX checker accepts it, and ONNX Runtime gives the golden probabilities.

The folder is what `fieldmark-trainer views PACKAGE --out FOLDER` writes. The golden probabilities were given by
tract when the package was made, so agreement here is agreement of two engines that share no code.
"""

import pathlib
import sys
import tomllib

import numpy
import onnx
import onnxruntime

TOLERANCE = 1e-4


def main(folder: pathlib.Path) -> int:
    model = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    pictures = tomllib.loads((folder / "index.toml").read_text())["picture"]
    worst, alike = 0.0, 0.0
    rows = []
    for picture in pictures:
        views = {}
        for view in session.get_inputs():
            raw = numpy.fromfile(folder / f"{picture['file'].replace('/', '_')}.{view.name}.u8", numpy.uint8)
            side = view.shape[1]
            views[view.name] = raw.reshape(1, side, side, 3)
        (found,) = session.run(["probabilities"], views)
        expected = numpy.array(picture["probabilities"], numpy.float32)
        worst = max(worst, float(abs(found[0] - expected).max()))
        rows.append((views, found[0]))
    # The batch dimension is free: two regions at once answer as one by one.
    batch = {name: numpy.concatenate([views[name] for views, _ in rows]) for name in rows[0][0]}
    (together,) = session.run(["probabilities"], batch)
    alike = float(abs(together - numpy.stack([row for _, row in rows])).max())
    print(f"{len(pictures)} pictures: largest difference {worst:.2e}, batched {alike:.2e}, allowed {TOLERANCE:.0e}")
    return 0 if pictures and worst <= TOLERANCE and alike <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))

"""Writes small models that break TensorRT's rules for int8, one each; its parser has to refuse them.

usage: refused_models.py FOLDER
"""

import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPE = [1, 3, 16, 16]


def constant(name, value, kind):
    return numpy_helper.from_array(np.asarray(value, kind), name)


def write(path, nodes, constants):
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "h", "w"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def pair(name, value, scale, zero):
    quantised = helper.make_node("QuantizeLinear", [value, scale, zero], [f"{name}.q"], name=f"{name}.q")
    return [quantised, helper.make_node("DequantizeLinear", [f"{name}.q", scale, zero], [f"{name}.dq"], name=f"{name}.dq")]


def main(folder):
    rng = np.random.default_rng(1)
    weights = rng.integers(-100, 100, (4, 3, 3, 3))
    shared = [
        constant("scale", 0.05, np.float32),
        constant("zero", 0, np.int8),
        constant("w", weights, np.int8),
    ]
    dequantised = helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["w.dq"], name="w.dq")
    write(
        folder / "asymmetric-zero-point.onnx",
        [*pair("x", "x", "scale", "three"), dequantised, helper.make_node("Conv", ["x.dq", "w.dq"], ["y"], name="conv")],
        [*shared, constant("three", 3, np.int8)],
    )
    write(
        folder / "int32-bias.onnx",
        [
            *pair("x", "x", "scale", "zero"),
            dequantised,
            helper.make_node("DequantizeLinear", ["b", "b.scale"], ["b.dq"], name="b.dq"),
            helper.make_node("Conv", ["x.dq", "w.dq", "b.dq"], ["y"], name="conv"),
        ],
        [*shared, constant("b", rng.integers(-1000, 1000, 4), np.int32), constant("b.scale", 0.0025, np.float32)],
    )
    write(
        folder / "qlinearconv.onnx",
        [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x.q"], name="x.q"),
            helper.make_node(
                "QLinearConv", ["x.q", "scale", "zero", "w", "scale", "zero", "scale", "zero"], ["y.q"], name="conv"
            ),
            helper.make_node("DequantizeLinear", ["y.q", "scale", "zero"], ["y"], name="y"),
        ],
        shared,
    )
    write(
        folder / "dynamic.onnx",
        [
            helper.make_node("DynamicQuantizeLinear", ["x"], ["x.q", "x.scale", "x.zero"], name="dynamic"),
            helper.make_node("DequantizeLinear", ["x.q", "x.scale", "x.zero"], ["y"], name="y"),
        ],
        [],
    )


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

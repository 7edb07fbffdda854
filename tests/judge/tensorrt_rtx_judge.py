"""Asks TensorRT's own parser and builder (the TensorRT-RTX wheels, no GPU needed) whether they take a model.

Usage: tensorrt_rtx_judge.py [--refused] MODEL.onnx...   With --refused every model must be turned away.
"""

import sys

import tensorrt_rtx as trt


def takes(path):
    log = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    with open(path, "rb") as file:
        if not parser.parse(file.read()):
            return "parser: " + "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
    quantised = sum(network.get_layer(i).type == trt.LayerType.QUANTIZE for i in range(network.num_layers))
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shape = [1] + list(tensor.shape)[1:]
        profile.set_shape(tensor.name, shape, shape, shape)
    config.add_optimization_profile(profile)
    # Built ahead of time for a GPU that need not be here.
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        return "builder: no engine"
    print(f"{path}: {network.num_layers} layers, {quantised} QuantizeLinear, engine of {engine.nbytes} bytes")
    return None


def main(arguments):
    refused = "--refused" in arguments
    wrong = 0
    for path in (argument for argument in arguments if not argument.startswith("--")):
        reason = takes(path)
        print(f"{path}: {'taken' if reason is None else reason}")
        wrong += (reason is None) == refused
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Judges the paper's backbone against the library that publishes its weights: timm, with PyTorch.

usage: backbone_judge.py BACKBONE_LOGITS [FOLDER]

timm's inception_resnet_v2 with random weights (and random running statistics, so that a forgotten one shows) is saved as
safetensors. BACKBONE_LOGITS (the example of the trainer) reads it and answers for a random picture in three ways: the
network that is trained, the graph that is exported run by tract, and that graph here in ONNX Runtime. Parameters and
multiplications are counted by PyTorch. Needs torch, timm, safetensors, onnx, onnxruntime.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.torch import save_file
from timm.models.inception_resnet_v2 import InceptionResnetV2

ALLOWED = 1e-4
CLASSES = 1000


def random_network():
    torch.manual_seed(1)
    network = InceptionResnetV2(num_classes=CLASSES)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    return network.eval()


def multiplications(network, picture):
    total = 0

    def count(module, _inputs, output):
        nonlocal total
        if isinstance(module, torch.nn.Conv2d):
            total += module.weight.numel() * output.shape[-1] * output.shape[-2]
        if isinstance(module, torch.nn.Linear):
            total += module.weight.numel()

    hooks = [module.register_forward_hook(count) for module in network.modules()]
    with torch.no_grad():
        logits = network(picture).numpy()[0]
    for hook in hooks:
        hook.remove()
    return total, logits


def by_onnx_runtime(path, picture):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    model.graph.output.append(onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [None, CLASSES]))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"whole": picture[None]})[0][0]


def main():
    program = sys.argv[1]
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
    network = random_network()
    weights = {name: tensor for name, tensor in network.state_dict().items() if tensor.dtype == torch.float32}
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "weights.safetensors")
    picture = np.random.default_rng(1).integers(0, 256, (299, 299, 3), dtype=np.uint8)
    picture.tofile(folder / "picture.u8")
    centred = (torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32)) / 255 - 0.5) / 0.5
    counted, logits = multiplications(network, centred)
    arguments = ["inception-resnet-v2", folder / "weights.safetensors", folder / "picture.u8", CLASSES, folder]
    said = subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, text=True).stdout
    said = dict(line.split() for line in said.splitlines())
    parameters = sum(parameter.numel() for parameter in network.parameters())
    fits = [
        ("parameters", parameters, int(said["parameters"])),
        ("multiplications", counted, int(said["multiplications"])),
    ]
    failed = False
    for what, theirs, ours in fits:
        print(f"{what}: timm {theirs}, fieldmark {ours}")
        failed |= theirs != ours
    answers = {
        "trained": np.fromfile(folder / "trained.f32", np.float32),
        "exported, tract": np.fromfile(folder / "exported.f32", np.float32),
        "exported, ONNX Runtime": by_onnx_runtime(folder / "model.onnx", picture),
    }
    spread = np.abs(logits).max()
    for what, found in answers.items():
        difference = np.abs(found - logits).max()
        print(f"{what}: largest difference {difference:.2e} of logits up to {spread:.2f}, allowed {ALLOWED:.0e}")
        failed |= not difference <= ALLOWED
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

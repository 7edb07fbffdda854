"""Judges gradients in bfloat16 against PyTorch's: how far each program's are from its own in 32 bits.

usage: precision_judge.py TRAINING_STEPS

TRAINING_STEPS (the example of the trainer) writes weights, views and labels of the small network of two views, and its
gradients in both precisions; PyTorch, with the same network and numbers, has autocast. A network with random weights and batch
norm has gradients that small errors turn far, whoever makes them: what counts is that ours are turned no farther than
PyTorch's. Needs torch, safetensors.
"""

import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "bench"))
from train import loaded, losses_of

PRESET, CLASSES, BATCH = "inception-resnet-v2-small", "48", "16"
# Of the cosine: what two programs that round in different places may differ by.
ALLOWED = 0.05


def of_pytorch(start, precision):
    network, views, labels = loaded(start)
    network.train()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        _, loss = losses_of(network, views[0], views[1], labels)
    loss.backward()
    return {name: parameter.grad.flatten() for name, parameter in network.named_parameters()}


def refused():
    """Why PyTorch has no convolution in bfloat16 on this processor, where it has none."""
    try:
        pixels = torch.ones(1, 4, 8, 8, requires_grad=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.nn.Conv2d(4, 4, 3)(pixels).sum().backward()
    except RuntimeError as error:
        return str(error)
    return None


def by_part(gradients):
    """What belongs to one part of the network behind each other, by the part's name."""
    parts = {}
    for name, gradient in gradients.items():
        parts.setdefault(name.split(".")[0], []).append(gradient)
    return {part: torch.cat(found) for part, found in parts.items()} | {"all": torch.cat(list(gradients.values()))}


def cosines(single, half):
    single, half = by_part(single), by_part(half)
    return {part: torch.nn.functional.cosine_similarity(single[part], half[part], dim=0).item() for part in single}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if why := refused():
        print(f"SKIPPED: gradients in bfloat16 are not judged: PyTorch says {why}")
        return
    with tempfile.TemporaryDirectory() as folder:
        start, gradients = (str(pathlib.Path(folder) / name) for name in ("start.safetensors", "gradients.safetensors"))
        subprocess.run([sys.argv[1], PRESET, CLASSES, BATCH, "0", start, gradients], check=True, stdout=subprocess.DEVNULL)
        start, found = load_file(start), load_file(gradients)
    ours = {
        precision: {
            name.removeprefix(f"{precision}."): gradient.flatten()
            for name, gradient in found.items()
            if name.startswith(f"{precision}.")
        }
        for precision in ("float32", "bfloat16")
    }
    theirs = {precision: of_pytorch(start, precision) for precision in ours}
    our, their = cosines(*ours.values()), cosines(*theirs.values())
    failed = False
    print(f"cosine of gradients in bfloat16 with those in 32 bits, PyTorch {torch.__version__}")
    print("| part | PyTorch | fieldmark |")
    print("| --- | --- | --- |")
    for part, cosine in their.items():
        failed |= not our[part] >= cosine - ALLOWED
        print(f"| {part} | {cosine:.3f} | {our[part]:.3f} |")
    if failed:
        sys.exit(f"ours are turned farther than PyTorch's by more than {ALLOWED}")


if __name__ == "__main__":
    main()

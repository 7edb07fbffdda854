"""Training of Inception-ResNet-v2 with two views (paper section 3) in PyTorch, as its users write it, beside fieldmark's.

usage: train.py measure TRAINING_STEPS
       train.py steps START.safetensors STEPS [channels_last]

`measure` has both make STEPS from the same start in ROUNDS turns: medians of a step, processor seconds, largest memory, and
how far apart the losses are.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

AUXILIARY_WEIGHT = 0.4
RATE = 0.001
L2 = 4e-5
# Sums in another order, and Adam's epsilon in another place, drift apart over the steps.
ALLOWED = 1e-3
COMPARED = 5


def network_class():
    """What needs torch, which `measure` itself does without."""
    import torch
    from torch import nn

    def width(published, factor):
        scaled = published * factor
        rounded = max(8, int((scaled + 4) // 8) * 8)
        return rounded + 8 if rounded < 0.9 * scaled else rounded

    class Normed(nn.Sequential):
        def __init__(self, given, wanted, kernel, stride=1, padding=0):
            super().__init__()
            self.add_module("conv", nn.Conv2d(given, wanted, kernel, stride, padding, bias=False))
            self.add_module("bn", nn.BatchNorm2d(wanted, eps=1e-3, momentum=0.05))
            self.add_module("relu", nn.ReLU(inplace=True))

    class Branches(nn.Module):
        """Branches of (channels, kernel, stride, padding), whose ends are put behind each other."""

        def __init__(self, given, branches, pooled=None):
            super().__init__()
            self.given = 0
            for number, steps in enumerate(branches):
                channels, layers = given, []
                for wanted, kernel, stride, padding in steps:
                    layers.append(Normed(channels, wanted, kernel, stride, padding))
                    channels = wanted
                self.given += channels
                self.add_module(f"branch{number}", layers[0] if len(layers) == 1 else nn.Sequential(*layers))
            self.pooled = pooled
            if isinstance(pooled, nn.MaxPool2d):
                self.given += given

        def forward(self, maps):
            ends = []
            for name, branch in self.named_children():
                if name != "pooled":
                    ends.append(branch(maps))
            if self.pooled is not None:
                ends.append(self.pooled(maps))
            return torch.cat(ends, 1)

    class Averaged(Branches):
        """Mixed 5b: its last branch is a mean and a convolution."""

        def __init__(self, given, branches, wanted):
            super().__init__(given, branches)
            self.branch3 = nn.Sequential(
                nn.AvgPool2d(3, 1, 1, count_include_pad=False), Normed(given, wanted, 1)
            )
            self.given += wanted

    class Residual(nn.Module):
        def __init__(self, given, branches, scale, active=True):
            super().__init__()
            body = Branches(given, branches)
            for name, branch in list(body.named_children()):
                self.add_module(name, branch)
            self.conv2d = nn.Conv2d(body.given, given, 1)
            self.scale, self.active = scale, active

        def forward(self, maps):
            ends = [branch(maps) for name, branch in self.named_children() if name != "conv2d"]
            maps = maps + self.scale * self.conv2d(torch.cat(ends, 1))
            return torch.relu(maps) if self.active else maps

    class MultiView(nn.Module):
        def __init__(self, classes, side, factor, depth):
            super().__init__()

            def of(published):
                return width(published, factor)

            def repeats(published):
                return -int(-published * depth // 1)

            def square(channels, kernel, stride=1, padding=0):
                return of(channels), kernel, stride, padding

            def pool():
                return nn.MaxPool2d(3, 2)

            self.shared = nn.Sequential()
            for name, layer in {
                "conv2d_1a": Normed(3, of(32), 3, 2),
                "conv2d_2a": Normed(of(32), of(32), 3),
                "conv2d_2b": Normed(of(32), of(64), 3, 1, 1),
                "maxpool_3a": pool(),
                "conv2d_3b": Normed(of(64), of(80), 1),
                "conv2d_4a": Normed(of(80), of(192), 3),
                "maxpool_5a": pool(),
            }.items():
                self.shared.add_module(name, layer)

            def flat(channels, kernel):
                padding = ((kernel[0] - 1) // 2, (kernel[1] - 1) // 2)
                return of(channels), kernel, 1, padding

            def column():
                mixed_5b = Averaged(
                    of(192),
                    [
                        [square(96, 1)],
                        [square(48, 1), square(64, 5, 1, 2)],
                        [square(64, 1), square(96, 3, 1, 1), square(96, 3, 1, 1)],
                    ],
                    of(64),
                )
                wide = mixed_5b.given
                block35 = [
                    [square(32, 1)],
                    [square(32, 1), square(32, 3, 1, 1)],
                    [square(32, 1), square(48, 3, 1, 1), square(64, 3, 1, 1)],
                ]
                mixed_6a = Branches(
                    wide,
                    [[square(384, 3, 2)], [square(256, 1), square(256, 3, 1, 1), square(384, 3, 2)]],
                    pool(),
                )
                block17 = [[flat(192, (1, 1))], [flat(128, (1, 1)), flat(160, (1, 7)), flat(192, (7, 1))]]
                stages = nn.Sequential()
                stages.add_module("mixed_5b", mixed_5b)
                stages.add_module("repeat", nn.Sequential(*[Residual(wide, block35, 0.17) for _ in range(repeats(10))]))
                stages.add_module("mixed_6a", mixed_6a)
                wide = mixed_6a.given
                stages.add_module("repeat_1", nn.Sequential(*[Residual(wide, block17, 0.10) for _ in range(repeats(20))]))
                return stages, wide

            self.column0, channels = column()
            self.column1, _ = column()
            self.merge = nn.Sequential()
            self.merge.add_module("conv", Normed(2 * channels, channels, 1))
            mixed_7a = Branches(
                channels,
                [
                    [square(256, 1), square(384, 3, 2)],
                    [square(256, 1), square(288, 3, 2)],
                    [square(256, 1), square(288, 3, 1, 1), square(320, 3, 2)],
                ],
                pool(),
            )
            block8 = [[flat(192, (1, 1))], [flat(192, (1, 1)), flat(224, (1, 3)), flat(256, (3, 1))]]
            wide = mixed_7a.given
            self.tail = nn.Sequential()
            self.tail.add_module("mixed_7a", mixed_7a)
            self.tail.add_module("repeat_2", nn.Sequential(*[Residual(wide, block8, 0.20) for _ in range(repeats(9))]))
            self.tail.add_module("block8", Residual(wide, block8, 1.0, active=False))
            self.tail.add_module("conv2d_7b", Normed(wide, of(1536), 1))
            self.classifier = nn.Linear(of(1536), classes)
            left = self.column_side(side)
            kernel = min(5, left)
            left = (left - kernel) // 3 + 1
            self.auxiliary = nn.Sequential()
            self.auxiliary.add_module("mean", nn.AvgPool2d(kernel, 3))
            self.auxiliary.add_module("narrow", Normed(channels, of(128), 1))
            self.auxiliary.add_module("wide", Normed(of(128), of(768), left))
            self.auxiliary.add_module("flatten", nn.Flatten())
            self.auxiliary.add_module("classifier", nn.Linear(of(768), classes))

        def column_side(self, side):
            was_training = self.training
            self.eval()
            with torch.no_grad():
                side = self.column0(self.shared(torch.zeros(1, 3, side, side))).shape[-1]
            self.train(was_training)
            return side

        def forward(self, whole, crop):
            whole = self.column0(self.shared(whole))
            auxiliary = self.auxiliary(whole)
            crop = self.column1(self.shared(crop))
            maps = self.tail(self.merge(torch.cat([whole, crop], 1)))
            return self.classifier(maps.mean((2, 3))), auxiliary

    return MultiView


def loaded(start):
    """The network with the start's numbers, its views and labels."""
    import torch

    classes = start["classifier.bias"].shape[0]
    side = start["views"].shape[-1]
    small = start["shared.conv2d_2b.weight"].shape[0] < 64
    network = network_class()(classes, side, *((0.25, 0.1) if small else (1.0, 1.0)))
    names = {"weight": "conv.weight", "gamma": "bn.weight", "beta": "bn.bias"}
    state = {}
    for name, numbers in start.items():
        if name in ("views", "labels"):
            continue
        part, kind = name.rsplit(".", 1)
        if part.endswith("classifier"):
            state[name] = numbers.T.contiguous() if kind == "weight" else numbers
        elif part.endswith("conv2d") or (kind == "bias"):
            state[name] = numbers
        else:
            state[f"{part}.{names[kind]}"] = numbers
    missing, unknown = network.load_state_dict(state, strict=False)
    missing = [name for name in missing if "running_" not in name and "num_batches" not in name]
    if missing or unknown:
        sys.exit(f"not the same network: missing {missing}, unknown {unknown}")
    return network, start["views"], start["labels"].long()


def losses_of(network, whole, crop, labels):
    """The classifier's loss, and that with the auxiliary classifier's, which is trained on."""
    from torch.nn.functional import cross_entropy

    logits, auxiliary = network(whole, crop)
    main = cross_entropy(logits.float(), labels)
    return main, main + AUXILIARY_WEIGHT * cross_entropy(auxiliary.float(), labels)


def steps(path, count, channels_last):
    import torch
    from safetensors.torch import load_file

    threads = int(os.environ.get("THREADS", "2"))
    torch.set_num_threads(threads)
    network, views, labels = loaded(load_file(path))
    whole, crop = views[0], views[1]
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        whole, crop = (view.contiguous(memory_format=torch.channels_last) for view in (whole, crop))
    weights = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in network.parameters() if parameter.dim() == 1]
    groups = [{"params": weights, "weight_decay": L2}, {"params": others, "weight_decay": 0.0}]
    adam = torch.optim.Adam(groups, lr=RATE)
    network.train()
    losses, seconds = [], []
    for _ in range(count):
        begun = time.perf_counter()
        adam.zero_grad(set_to_none=True)
        main, total = losses_of(network, whole, crop, labels)
        losses.append(main.item())
        total.backward()
        adam.step()
        seconds.append(time.perf_counter() - begun)
    print(json.dumps({"losses": losses, "seconds": seconds, "torch": torch.__version__}))


def run(command, environment):
    """What a program says, its processor seconds and its largest memory in MiB."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, env=os.environ | environment)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{command[0]} ended with {process.returncode}")
        said.seek(0)
        lines = said.read().decode().splitlines()
    return json.loads(lines[-1]) | {"processor": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss / 1024}


def measure(ours):
    preset = os.environ.get("PRESET", "inception-resnet-v2-small")
    classes, batch = os.environ.get("CLASSES", "48"), int(os.environ.get("BATCH", "16"))
    count, rounds = int(os.environ.get("STEPS", "12")), int(os.environ.get("ROUNDS", "5"))
    threads = os.environ.get("THREADS", "2")
    with tempfile.TemporaryDirectory() as folder:
        start = str(pathlib.Path(folder) / "start.safetensors")
        run([ours, preset, classes, str(batch), "0", start], {})
        environment = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads}
        python = [sys.executable, __file__, "steps", start, str(count)]
        programs = {
            "PyTorch": python,
            "PyTorch, channels last": [*python, "channels_last"],
            "fieldmark": [ours, preset, classes, str(batch), str(count)],
        }
        answers = {name: [] for name in programs}
        for number in range(rounds):
            for name, command in programs.items():
                answers[name].append(run(command, environment))
                print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr)
    report(answers, batch, preset, threads)


def report(answers, batch, preset, threads):
    # The first steps warm caches up.
    medians = {
        name: statistics.median(second for answer in every for second in answer["seconds"][2:])
        for name, every in answers.items()
    }
    fastest = min(medians[name] for name in medians if name != "fieldmark")
    version = answers["PyTorch"][0]["torch"]
    print(f"{preset}, two views, {batch} pictures a step, {threads} threads, PyTorch {version}")
    print("| | ms a step | pictures/s | of the faster PyTorch | processor s a step | most memory, MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, every in answers.items():
        steps_made = len(every[0]["seconds"])
        processor = statistics.median(answer["processor"] / steps_made for answer in every)
        memory = max(answer["memory"] for answer in every)
        ratio = medians[name] / fastest
        print(f"| {name} | {medians[name] * 1e3:.0f} | {batch / medians[name]:.1f} | {ratio:.2f} | {processor:.2f} | {memory:.0f} |")
    theirs, our = answers["PyTorch"][0]["losses"], answers["fieldmark"][0]["losses"]
    apart = [abs(a - b) / max(1.0, abs(a)) for a, b in zip(theirs, our)]
    print("losses: PyTorch " + " ".join(f"{loss:.5f}" for loss in theirs[:COMPARED]))
    print("        fieldmark " + " ".join(f"{loss:.5f}" for loss in our[:COMPARED]))
    worst = max(apart[:COMPARED])
    print(f"the first {COMPARED} are at most {worst:.1e} apart, allowed {ALLOWED:.0e}")
    sys.exit(0 if worst <= ALLOWED else 1)


def main():
    match sys.argv[1:]:
        case ["measure", ours]:
            measure(ours)
        case ["steps", start, count, *rest]:
            steps(start, int(count), rest == ["channels_last"])
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()

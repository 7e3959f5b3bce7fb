"""What the method costs: one training step of a ResNet-20 under SSS against the same step without, interleaved.

`python tests/bench_step.py [PAIRS]` prints median and quartiles of the ratio of each pair, with n and conditions.
Floor: SSS adds 345 multiplications for the folded factors and one proximal step on 345 numbers a step; the network does
3 x 40.6 M x batch multiply-accumulates. What is left to see is the cost of some 60 small operations.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core import conditions
from core.config import Phase, RunConfig
from core.methods import start
from core.networks import build


def stepper(method: str, size: int, channels: int, batch: int):
    phase = Phase(method=method, strength_filter=1e-3, strength_block=1e-3)
    network = build(
        "resnet20", num_classes=10, in_channels=channels, image_size=size, generator=torch.Generator().manual_seed(0)
    )
    network = network.to(memory_format=torch.channels_last).train()
    running = start(phase, network, 0.9, 1e-4)
    optimizer = torch.optim.SGD(running.parameter_groups(), lr=0.01, momentum=0.9, nesterov=True, foreach=True)
    images = torch.randn(batch, channels, size, size).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,))

    def step() -> float:
        began = time.perf_counter()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
        running.after_step_(0.01, 1.0)
        optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - began

    return step


def main(pairs: int) -> None:
    config = conditions.fixed(RunConfig(device="cpu", precision="float32"), 0)
    conditions.prepare_process(config)
    told = conditions.described(config)
    print(
        f"{told['cpu']}, {told['threads']} thread(s), torch {told['torch']}, float32, batch 128, n = {pairs} pairs after 3 warm-up steps"
    )
    for size, channels in ((32, 3), (8, 1)):
        dense, sss = stepper("dense", size, channels, 128), stepper("sss", size, channels, 128)
        for _ in range(3):
            dense(), sss()
        rows = []
        for i in range(pairs):
            a, b = (dense, sss) if i % 2 else (sss, dense)
            first, second = a(), b()
            rows.append((first, second) if i % 2 else (second, first))
        times = np.array(rows)
        low, middle, high = np.quantile(times[:, 1] / times[:, 0], (0.25, 0.5, 0.75))
        print(
            f"{size}x{size}: dense step {np.median(times[:, 0]) * 1e3:.1f} ms, SSS {(middle - 1) * 100:+.1f} % (quartiles {(low - 1) * 100:+.1f} to {(high - 1) * 100:+.1f} %)"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)

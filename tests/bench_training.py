"""What training costs: Espalier's step against that of a plain PyTorch loop, interleaved in one process.

`python tests/bench_training.py` fills what assets/evidence/training.json lacks (`--fresh` starts over, `--only resnet20/1` one
of them); `--markdown` prints the table. Both loops have the same network, images, augmentation, optimizer settings and threads.
The plain one is what people write first: float32, contiguous images, shortcuts by slicing, `torch.optim.SGD`. Espalier's is the
step of a run, precision `auto`, counting and all. A pair is a step of each, batches drawn anew and counted, order alternating;
what is told is the median and the quartiles of the ratio plain / Espalier of each pair. Needs CIFAR-10 (ESPALIER_DATA).
"""

import argparse
import datetime
import importlib.metadata
import json
import statistics
import sys
import time
from itertools import cycle
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core import conditions
from core.atomic import replacing
from core.config import Phase, RunConfig
from core.controls import Controls
from core.data import batches, load
from core.latency import processor
from core.networks import build
from core.networks.resnet import PadShortcut
from core.runs.home import data_dir
from core.training import Training

FILE = Path(__file__).resolve().parents[1] / "assets" / "evidence" / "training.json"
WARM, N, BATCH = 3, 50, 128
CASES = ["resnet20/1", "resnet20/2", "vgg16/2"]
METHODS = {
    "dense": {"method": "dense", "kinds": ()},
    "sss": {"method": "sss", "kinds": ("filter",), "strength_filter": 1e-6},
}


class Sliced(PadShortcut):
    """The shortcut as people write it."""

    def forward(self, x):
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


def endless(dataset):
    """Augmented training batches without end."""
    for epoch in cycle(range(1000)):
        yield from batches(
            dataset.train, dataset, BATCH, generator=torch.Generator().manual_seed(epoch), train=True, augment=None
        )


def plain_step(name, dataset):
    network = build(name, num_classes=10, in_channels=3, image_size=32).train()
    for module in network.modules():
        if type(module) is PadShortcut:
            module.__class__ = Sliced
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, nesterov=True)
    images = endless(dataset)

    def step():
        began = time.perf_counter()
        x, y = next(images)
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x.contiguous()), y)
        loss.backward()
        optimizer.step()
        return time.perf_counter() - began

    return step


def our_step(name, method, threads):
    config = RunConfig(
        network=name, dataset="cifar10", batch_size=BATCH, threads=threads, phases=(Phase(lr=0.01, **METHODS[method]),)
    )
    training = Training(config, None, data_dir(), Controls(()))
    training.begin_phase(0)
    training.network.train()
    images = endless(training.dataset)

    def step():
        began = time.perf_counter()
        training._step_(*next(images))
        return time.perf_counter() - began

    return step, training.config.precision


def measure(case, method):
    name, threads = case.split("/")
    ours, precision = our_step(name, method, int(threads))  # sets the threads of both
    plain = plain_step(name, load("cifar10", data_dir()))
    rows = []
    for i in range(WARM + N):
        first, second = (plain(), ours()) if i % 2 else (ours(), plain())
        rows.append((first, second) if i % 2 else (second, first))
    rows = rows[WARM:]
    low, middle, high = statistics.quantiles([a / b for a, b in rows], n=4)
    return {
        "plain_ms": statistics.median(a for a, _ in rows) * 1e3, "ours_ms": statistics.median(b for _, b in rows) * 1e3,
        "ratio": {"median": middle, "quartiles": [low, high]}, "n": N, "precision": precision,
    }  # fmt: skip


def kept():
    return json.loads(FILE.read_text())["rows"] if FILE.exists() else {}


def keep(key, row):
    """Rows by processor: each machine fills its own."""
    config = {"n": N, "warm": WARM, "batch": BATCH, "dataset": "cifar10", "augmentation": "pad 4, crop, flip"}
    document = {"title": "A training step of Espalier beside that of a plain loop", "config": config, "rows": kept()}
    about = {
        "cpu": processor(), "bfloat16": conditions.offers_bfloat16(), "torch": torch.__version__,
        "python": sys.version.split()[0], "numpy": importlib.metadata.version("numpy"), "date": datetime.date.today().isoformat(),
    }  # fmt: skip
    document["rows"][f"{about['cpu']}{' with bfloat16' if about['bfloat16'] else ''}: {key}"] = row | about
    with replacing(FILE) as beside:
        Path(beside).write_text(json.dumps(document, indent=1) + "\n")


def markdown():
    """The table as README shows it."""
    lines = [
        "| network, threads | method | processor | plain step | Espalier's | times as fast (quartiles) |",
        "|---|---|---|---|---|---|",
    ]
    for key, row in kept().items():
        case, method = key.split(": ")[1].rsplit(" ", 1)
        network, threads = case.split("/")
        ratio = row["ratio"]
        lines.append(
            f"| {network}, {threads} | {method} | {row['cpu']}, {row['precision']} | {row['plain_ms']:.0f} ms | {row['ours_ms']:.0f} ms "
            f"| {ratio['median']:.2f} ({ratio['quartiles'][0]:.2f}-{ratio['quartiles'][1]:.2f}) |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--markdown", action="store_true")
    wanted = parser.parse_args()
    if wanted.markdown:
        return print(markdown())
    if wanted.fresh:
        FILE.unlink(missing_ok=True)
    for case in [wanted.only] if wanted.only else CASES:
        for method in METHODS:
            mine = f"{processor()}{' with bfloat16' if conditions.offers_bfloat16() else ''}: {case} {method}"
            if wanted.only or mine not in kept():
                row = measure(case, method)
                keep(f"{case} {method}", row)
                print(case, method, row, flush=True)
    return None


if __name__ == "__main__":
    main()

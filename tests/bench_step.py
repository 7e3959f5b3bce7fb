"""What a method costs: a training step with it against a plain SGD step of the same network, interleaved.

`python tests/bench_step.py` fills what assets/evidence/overhead.json lacks (`--fresh` starts over, `--only resnet20/16` one of
them); `--markdown` prints the table. Methods: SSS with factors on all that has any; SSL with groups on filters, channels,
shapes and, in residual networks, layers, by both solvers; beside them the same SSL penalty written as a plain sum of norms
for autograd, which people do; and torch-pruning's `regularize` (GroupNormPruner), where it is installed.
Floor: SSL must read and write every weight once: 8 bytes each. A pair is a plain step and a step of the method, order
alternating; what is told is the median and the quartiles of the ratio of each pair.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.atomic import replacing
from core.latency import processor
from core.methods import start
from core.networks import build
from core.phases import Phase

FILE = Path(__file__).resolve().parents[1] / "assets" / "evidence" / "overhead.json"
WARM, N, THREADS, STRENGTH = 3, 50, 1, 1e-6
CASES = [f"{network}/{batch}" for batch in (16, 128) for network in ("resnet20", "resnet56", "vgg16")]
SSL = {f"strength_{kind}": STRENGTH for kind in ("filter", "channel", "shape", "layer")}
METHODS = ("sss", "ssl proximal", "ssl paper", "autograd", "torch-pruning")


def phase_of(method, network):
    residual = network.startswith("resnet")
    if method == "sss":
        return Phase(
            kinds=("filter", "block") if residual else ("filter",), strength_filter=STRENGTH, strength_block=STRENGTH
        )
    if method.startswith("ssl"):
        kinds = ("filter", "channel", "shape", "layer") if residual else ("filter", "channel", "shape")
        return Phase(method="ssl", solver=method.split()[1], kinds=kinds, **SSL)
    return Phase(method="dense", kinds=())


def stepper(method, name, batch):
    network = build(name, num_classes=10, in_channels=3, image_size=32, generator=torch.Generator().manual_seed(0))
    network = network.to(memory_format=torch.channels_last).train()
    running = start(phase_of(method, name), network, 0.9, 1e-4)
    optimizer = torch.optim.SGD(running.parameter_groups(), lr=0.001, momentum=0.9, nesterov=True, foreach=True)
    images = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,))
    convs = [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
    regularize = pruner(network, images) if method == "torch-pruning" else None

    def step():
        began = time.perf_counter()
        loss = F.cross_entropy(network(images), labels)
        if method == "autograd":
            for w in convs:
                loss = loss + STRENGTH * (
                    w.flatten(1).norm(dim=1).sum()
                    + w.transpose(0, 1).flatten(1).norm(dim=1).sum()
                    + w.norm(dim=0).sum()
                    + w.flatten().norm()
                )
        loss.backward()
        if regularize is not None:
            regularize()
        running.before_step_(0.001, 1.0)
        optimizer.step()
        running.after_step_(0.001, 1.0)
        optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - began

    return step


def pruner(network, images):
    """torch-pruning's penalty; its constructor leaves the network in eval mode, which is undone here."""
    tp = importlib.import_module("torch_pruning")
    made = tp.pruner.GroupNormPruner(
        network, images[:1], importance=tp.importance.GroupMagnitudeImportance(), pruning_ratio=0.5
    )
    network.train()
    made.update_regularizer()
    return lambda: made.regularize(network)


def measure(case, method):
    name, batch = case.split("/")
    plain, other = (stepper(m, name, int(batch)) for m in ("plain", method))
    rows = []
    for i in range(WARM + N):
        first, second = (plain(), other()) if i % 2 else (other(), plain())
        rows.append((first, second) if i % 2 else (second, first))
    rows = rows[WARM:]
    low, middle, high = statistics.quantiles([b / a for a, b in rows], n=4)
    plain_ms = statistics.median(a for a, _ in rows) * 1e3
    return {"plain_ms": plain_ms, "ratio": {"median": middle, "quartiles": [low, high]}, "n": N}


def kept():
    return json.loads(FILE.read_text())["rows"] if FILE.exists() else {}


def keep(key, row):
    about = {
        "title": "A training step with a method over a plain SGD step",
        "config": {
            "n": N,
            "warm": WARM,
            "threads": THREADS,
            "dtype": "float32",
            "memory": "channels-last",
            "image": 32,
        },
        "versions": {"torch": importlib.metadata.version("torch"), "torch-pruning": "1.6.1"},
        "cpu": processor(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    with replacing(FILE) as beside:
        beside.write_text(json.dumps(about | {"rows": kept() | {key: row}}, indent=1) + "\n")


def markdown():
    rows = kept()
    print("| network, batch | plain step, ms | " + " | ".join(METHODS) + " |\n|---|---|" + "---|" * len(METHODS))
    for case in CASES:
        found = [rows.get(f"{case}/{method}") for method in METHODS]
        if any(found):
            plain = statistics.median(row["plain_ms"] for row in found if row)
            cells = [told(row) for row in found]
            print(f"| {case.replace('/', ', ')} | {plain:.0f} | {' | '.join(cells)} |")


def told(row):
    if row is None:
        return "-"
    low, high = row["ratio"]["quartiles"]
    return f"{row['ratio']['median']:.3f} ({low:.3f}-{high:.3f})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--only", choices=CASES)
    asked = parser.parse_args()
    if asked.markdown:
        return markdown()
    if asked.fresh:
        FILE.unlink(missing_ok=True)
    torch.set_num_threads(THREADS)
    torch.set_flush_denormal(True)
    for case in CASES if asked.only is None else [asked.only]:
        for method in METHODS:
            if f"{case}/{method}" in kept() or (
                method == "torch-pruning" and importlib.util.find_spec("torch_pruning") is None
            ):
                continue
            keep(f"{case}/{method}", measure(case, method))
            print(case, method, told(kept()[f"{case}/{method}"]), flush=True)


if __name__ == "__main__":
    main()

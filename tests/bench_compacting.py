"""What training the compact network saves while a shape is frozen: its step beside that of the whole network with its zeros held.

`python tests/bench_compacting.py --fresh` fills assets/evidence/compacting.json; `--markdown` prints the table. Random weights and
images, batch 128; half of the filters inside every residual block are dead, of LeNet those of a learned shape. Steps are
interleaved in pairs, order alternating.
"""

import argparse
import copy
import datetime
import importlib.metadata
import json
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core import conditions
from core.atomic import replacing
from core.compacting import compacted
from core.config import RunConfig
from core.latency import processor
from core.methods import start
from core.methods.freezing import frozen_masks
from core.networks import build
from core.objective import Objective
from core.phases import Phase
from core.structure import cost

FILE = Path(__file__).resolve().parents[1] / "assets" / "evidence" / "compacting.json"
SEED, N, WARM, BATCH, THREADS = 0, 40, 5, 128, 1
SHAPES = {"lenet": (1, 28), "resnet20": (3, 32), "resnet56": (3, 32), "wrn-14-2": (3, 32)}
LENET = {"conv1": 5, "conv2": 10, "fc1": 260}  # living filters and neurons
TUNE = Phase(method="dense", kinds=(), freeze="structures", epochs=1, lr=0.01)


@torch.no_grad()
def thinned(name):
    """A network of that name with dead filters."""
    channels, size = SHAPES[name]
    network = build(
        name, num_classes=10, in_channels=channels, image_size=size, generator=torch.Generator().manual_seed(SEED)
    )
    for site in network.structures():
        if site.kind == "block" or (site.kind != "filter" and name != "lenet"):
            continue
        alive = LENET.get(site.layer, site.total // 2)
        for path in {site.layer, site.module}:
            for part in network.get_submodule(path).parameters(recurse=False):
                part[alive:] = 0.0
    return network.to(memory_format=torch.channels_last)


def row(name):
    """MACs left, and the milliseconds of both steps, interleaved."""
    channels, size = SHAPES[name]
    whole = thinned(name)
    other = copy.deepcopy(whole)
    example = torch.zeros(1, channels, size, size)
    macs = cost(copy.deepcopy(whole).eval(), example).macs_per_image
    config = conditions.fixed(RunConfig(network=name, batch_size=BATCH, threads=THREADS, device="cpu"), macs, sum(p.ndim > 1 for p in whole.parameters()))  # fmt: skip
    conditions.prepare_process(config)
    method, small = start(TUNE, whole, 0.9, 5e-4), compacted(other, TUNE, frozen_masks(other, "structures"))
    objective, draw = Objective(config, TUNE, None), torch.Generator().manual_seed(SEED)
    images = torch.randn(BATCH, channels, size, size, generator=draw).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (BATCH,), generator=draw)
    learners = (
        (whole.train(), sgd(method.parameter_groups()), lambda: method.after_step_(0.01, 1.0)),
        (small.network.train(), sgd(small.parameter_groups(5e-4)), small.hold_),
    )
    took = [[], []]
    for step in range(WARM + N):
        for i in sorted((0, 1), reverse=bool(step % 2)):
            begun = time.perf_counter()
            network, optimizer, hold = learners[i]
            optimizer.zero_grad(set_to_none=True)
            objective(network, images, labels)[1].backward()
            optimizer.step()
            hold()
            if step >= WARM:
                took[i].append((time.perf_counter() - begun) * 1e3)
    ratios = statistics.quantiles([a / b for a, b in zip(*took, strict=True)], n=4)
    return {
        "macs_left": small.share, "precision": config.precision, "whole_ms": statistics.median(took[0]), "compact_ms": statistics.median(took[1]),
        "times": ratios[1], "quartiles": [ratios[0], ratios[2]],
    }  # fmt: skip


def sgd(groups):
    return torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True, foreach=True)


def kept():
    return json.loads(FILE.read_text())["rows"] if FILE.exists() else {}


def keep(name, found):
    about = {
        "title": "Training the compact network while a shape is frozen", "config": {"seed": SEED, "n": N, "batch": BATCH, "threads": THREADS},
        "versions": {"torch": importlib.metadata.version("torch")}, "cpu": processor(), "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    with replacing(FILE) as beside:
        beside.write_text(json.dumps(about | {"rows": kept() | {name: found}}, indent=1) + "\n")


def markdown():
    print(
        "| network | MACs left | whole network, zeros held | compact network | times as fast (quartiles) |\n|---|---|---|---|---|"
    )
    for name, found in kept().items():
        low, high = found["quartiles"]
        print(f"| {name}, {found['precision']} | {100 * found['macs_left']:.0f} % | {found['whole_ms']:.0f} ms | {found['compact_ms']:.0f} ms | {found['times']:.2f} ({low:.2f}-{high:.2f}) |")  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    for name in ("--fresh", "--markdown"):
        parser.add_argument(name, action="store_true")
    asked = parser.parse_args()
    if asked.markdown:
        return markdown()
    if asked.fresh:
        FILE.unlink(missing_ok=True)
    for name in SHAPES:
        if name not in kept():
            keep(name, row(name))
            print(name, json.dumps(kept()[name]), flush=True)


if __name__ == "__main__":
    main()

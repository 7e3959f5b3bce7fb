"""How long until 85 % and 90 %: ResNet-20 learns CIFAR-10 by Espalier's step and by a plain loop, an epoch of each in turn.

`python tests/bench_time_to.py` writes assets/evidence/time_to.json, a row after every epoch (`--epochs 36`); `--only LOOP` runs one
of the two, for a process beside that of the other; `--markdown` prints the table. Both have the same network, augmentation, schedule,
epochs and seed; the plain loop is that of `bench_training.py`. Time is the processor's, of training alone, on one thread: other work on
the machine hardly disturbs it. Test accuracy is looked at after every epoch of the second half, and chooses nothing. `--state FOLDER` keeps
where a loop stands, and goes on from there. Needs CIFAR-10 (ESPALIER_DATA).
"""

import argparse
import datetime
import json
import math
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench_training import Sliced

from core.atomic import replacing
from core.config import Phase, RunConfig
from core.controls import Controls
from core.data import batches
from core.latency import processor
from core.networks import build
from core.networks.resnet import PadShortcut
from core.runs.home import data_dir
from core.schedules import lr_at
from core.training import Training

FILE = Path(__file__).resolve().parents[1] / "assets" / "evidence" / "time_to.json"
NETWORK, BATCH, LR, DECAY = "resnet20", 128, 0.2, 5e-4


class Ours:
    """Espalier's step on a run's own state."""

    def __init__(self, epochs):
        phase = Phase(method="dense", kinds=(), epochs=epochs, lr=LR, lr_schedule="one-cycle")
        config = RunConfig(
            network=NETWORK, dataset="cifar10", batch_size=BATCH, threads=1, weight_decay=DECAY, phases=(phase,)
        )
        self.training = Training(config, None, data_dir(), Controls(()))
        self.training.begin_phase(0)
        self.network, self.dataset, self.optimizer = (
            self.training.network,
            self.training.dataset,
            self.training.optimizer,
        )

    def go_to(self, epoch):
        self.training.epoch = self.training.epoch_in_phase = epoch
        self.training.step = epoch * self.training.steps_per_epoch

    def epoch(self, number, images):
        for x, y in images:
            self.training._step_(x, y)
        self.training.epoch += 1
        self.training.epoch_in_phase += 1


class Plain:
    """What people write first."""

    def __init__(self, phase, dataset):
        self.phase, self.dataset = phase, dataset
        self.network = build(
            NETWORK, num_classes=10, in_channels=3, image_size=32, generator=torch.Generator().manual_seed(0)
        )
        for module in self.network.modules():
            if type(module) is PadShortcut:
                module.__class__ = Sliced
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), lr=LR, momentum=0.9, weight_decay=DECAY, nesterov=True
        )
        self.steps = math.ceil(len(dataset.train.labels) / BATCH)

    def go_to(self, epoch):
        """Its place in the schedule is told with every epoch."""

    def epoch(self, number, images):
        for i, (x, y) in enumerate(images):
            for group in self.optimizer.param_groups:
                group["lr"] = lr_at(self.phase, (number + i / self.steps) / self.phase.epochs)
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.network(x.contiguous()), y)
            loss.backward()
            self.optimizer.step()


@torch.inference_mode()
def accuracy(network, dataset):
    network.eval()
    right = 0
    for x, y in batches(dataset.test, dataset, 500, train=False):
        right += int((network(x).argmax(1) == y).sum())
    network.train()
    return right / len(dataset.test.labels)


def one_epoch(loop, number, looked):
    """(Seconds of training, test accuracy; None where it is not `looked` at)."""
    images = batches(
        loop.dataset.train, loop.dataset, BATCH, generator=torch.Generator().manual_seed(number), train=True,
        augment=None,
    )  # fmt: skip
    loop.network.train()
    began = time.process_time()
    loop.epoch(number, images)
    return time.process_time() - began, accuracy(loop.network, loop.dataset) if looked else None


def reached(row, wanted):
    """Seconds of training at the end of the first epoch with at least `wanted`; None if it never came."""
    total = 0.0
    for seconds, found in zip(row["seconds"], row["accuracy"], strict=True):
        total += seconds
        if found is not None and found >= wanted:
            return total
    return None


def write(rows, config):
    """The loops' rows, beside the other loop's where the file holds it under the same settings."""
    about = {
        "title": "ResNet-20 on CIFAR-10: seconds of training until 85 % and 90 % of the test images are right", "config": config,
        "cpu": processor(), "torch": torch.__version__, "python": sys.version.split()[0], "date": datetime.date.today().isoformat(), "n": 1,
    }  # fmt: skip
    there = json.loads(FILE.read_text()) if FILE.exists() else {}
    others = there["rows"] if all(there.get(key) == about[key] for key in ("config", "cpu", "torch")) else {}
    with replacing(FILE) as beside:
        Path(beside).write_text(json.dumps(about | {"rows": others | rows}, indent=1) + "\n")


def markdown():
    """The table as README shows it."""
    rows = json.loads(FILE.read_text())["rows"]
    lines = ["| loop | to 85 % | to 90 % | all epochs | test accuracy at the end |", "|---|---|---|---|---|"]
    for name in ("plain loop", "Espalier"):
        row = rows[name]
        times = [reached(row, wanted) for wanted in (0.85, 0.9)]
        cells = [f"{t / 60:.1f} min" if t else "not reached" for t in (*times, sum(row["seconds"]))]
        lines.append(f"| {name} | {' | '.join(cells)} | {row['accuracy'][-1]:.2%} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--only", choices=("plain loop", "Espalier"))
    parser.add_argument("--state", type=Path)
    parser.add_argument("--markdown", action="store_true")
    wanted = parser.parse_args()
    if wanted.markdown:
        return print(markdown())
    ours = Ours(wanted.epochs)
    config = {
        "network": NETWORK, "batch": BATCH, "epochs": wanted.epochs, "schedule": f"one-cycle to {LR}", "weight decay": DECAY,
        "augmentation": "pad 4, crop, flip", "threads": 1, "time": "processor", "precision": ours.training.config.precision, "seed": 0,
    }  # fmt: skip
    both = {"plain loop": Plain(ours.training.phase, ours.dataset), "Espalier": ours}
    loops = {name: loop for name, loop in both.items() if wanted.only in (None, name)}
    rows = {name: {"seconds": [], "accuracy": []} for name in loops}
    if wanted.state and (kept := standing(wanted.state)):
        rows = kept["rows"]
        for name, loop in loops.items():
            loop.network.load_state_dict(kept[name][0])
            loop.optimizer.load_state_dict(kept[name][1])
            loop.go_to(len(rows[name]["seconds"]))
    for number in range(len(next(iter(rows.values()))["seconds"]), wanted.epochs):
        for name, loop in loops.items():
            seconds, found = one_epoch(loop, number, looked=number >= wanted.epochs // 2)
            rows[name]["seconds"].append(seconds)
            rows[name]["accuracy"].append(found)
            print(f"epoch {number + 1} {name}: {seconds:.0f} s, {found}", flush=True)
        write(rows, config)
        if wanted.state:
            wanted.state.mkdir(parents=True, exist_ok=True)
            stand = {name: (loop.network.state_dict(), loop.optimizer.state_dict()) for name, loop in loops.items()}
            torch.save(stand | {"rows": rows}, wanted.state / "state.tmp")
            (wanted.state / "state.tmp").replace(wanted.state / "state.pt")
    return None


def standing(folder):
    """What this script left there itself."""
    file = folder / "state.pt"
    return torch.load(file, weights_only=True) if file.exists() else None


if __name__ == "__main__":
    main()

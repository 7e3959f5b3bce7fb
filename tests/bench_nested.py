"""What nesting costs: a joint step over n levels beside the levels' own steps, and inference of every level.

`python tests/bench_nested.py` fills what assets/evidence/nested.json lacks (`--fresh` starts over, `--only step` or `inference`);
`--markdown` prints the tables.

Step: a joint step against the sum of one step of each level trained alone (its own network of its own shape, optimizer and data), and
of a dense step of the full network; interleaved in one process, order alternating. Inference: every level in place and taken away
against the full one, the paper's four levels at full size (its times: 52, 35, 10 and 7 ms for MACs of 1, 2.8, 15 and 40 times
fewer, on a GPU). What is told is the median and the quartiles of the ratio of each pair.
"""

import argparse
import datetime
import json
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core import conditions
from core.atomic import replacing
from core.latency import processor
from core.level_settings import Level
from core.methods import start
from core.nested import extract
from core.nested.knowledge import View
from core.nested_presets import HALF, SMALL, TABLE2
from core.networks import build
from core.phases import Phase
from core.structure import cost

FILE = Path(__file__).resolve().parents[1] / "assets" / "evidence" / "nested.json"
WARM, N, THREADS = 3, 30, 1
PAPER_MS = (7, 10, 35, 52)
STEPS = {  # network, levels, options, batch
    "wrn-14-2, four levels": ("wrn-14-2", SMALL, {"first_whole": True, "own_heads": True}, 128),
    "resnet20-half, channels 1x and 2x": ("resnet20-half", (Level(width=HALF), Level()), {}, 128),
    "resnet20-half, weights 1x, 2x and 3x": ("resnet20-half", (Level(compression=3), Level(compression=2), Level()), {}, 128),
}  # fmt: skip


class Some:
    """A data set as far as levels look at it."""

    num_classes = 100


def nested_run(network, levels, options):
    """A phase of joint training at work in a network with random weights."""
    phase = Phase(method="nested", kinds=(), levels=levels, **options)
    full = build(network, num_classes=100, in_channels=3, image_size=32, generator=torch.Generator().manual_seed(0))
    full = full.to(memory_format=torch.channels_last)
    return start(phase, full, 0.9, 5e-4, views=[View(Some())] * len(levels)), phase


def sgd(groups):
    return torch.optim.SGD(groups, lr=1e-3, momentum=0.9, nesterov=True, foreach=True)


def loss_of(network, images, labels):
    with torch.autocast("cpu", torch.bfloat16, enabled=conditions.offers_bfloat16()):
        logits = network(images).float()
        return logits, F.cross_entropy(logits, labels)


def timed(step):
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def plain_step(network, images, labels):
    """One step of a network by itself, as any run has it."""
    method = start(Phase(method="dense", kinds=()), network, 0.9, 5e-4)
    optimizer = sgd(method.parameter_groups())

    def step():
        method.backward_(loss_of, images, labels)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def measured_step(name):
    network, levels, options, batch = STEPS[name]
    torch.manual_seed(0)
    images = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(100, (batch,))
    method, _ = nested_run(network, levels, options)
    optimizer = sgd(method.parameter_groups())
    method.network.train()

    def joint():
        method.backward_(loss_of, images, labels)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    alone = []
    for level in range(len(levels)):
        own = extract(method.nested, level).to(memory_format=torch.channels_last).train()
        own.structures = lambda: []
        alone.append(plain_step(own, images, labels))
    macs = [cost(extract(method.nested, level), images[:1]).macs_per_image for level in range(len(levels))]
    rows = []
    for i in range(WARM + N):
        first = [timed(joint)] if i % 2 else []
        each = [timed(step) for step in alone]
        rows.append(((first or [timed(joint)])[0], each))
    rows = rows[WARM:]
    return {
        "joint_ms": statistics.median(j for j, _ in rows) * 1e3,
        "levels_ms": [statistics.median(e[k] for _, e in rows) * 1e3 for k in range(len(levels))],
        "over_sum": spread([j / sum(e) for j, e in rows]), "over_dense": spread([j / e[-1] for j, e in rows]),
        "promised": sum(macs) / macs[-1], "macs": macs, "n": N, "batch": batch, "network": network, "levels": len(levels),
        "precision": "bfloat16" if conditions.offers_bfloat16() else "float32",
    }  # fmt: skip


def measured_inference(batch):
    method, _ = nested_run("wrn-32-4", TABLE2, {"first_whole": True, "own_heads": True})
    images = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
    method.network.eval()
    ways = {
        "in place": [method.nested.at(level) for level in range(4)],
        "taken away": [
            extract(method.nested, level).to(memory_format=torch.channels_last).eval() for level in range(4)
        ],
    }
    macs = [cost(network, images[:1]).macs_per_image for network in ways["taken away"]]
    times = {way: [] for way in ways}
    for _ in range(WARM + N):
        for way, networks in ways.items():
            with torch.inference_mode():
                times[way].append([timed(lambda network=network: network(images)) for network in networks])
    rows = {}
    for way, found in times.items():
        found = found[WARM:]
        rows[way] = [
            {"ms": statistics.median(t[k] for t in found) * 1e3, "faster": spread([t[3] / t[k] for t in found])}
            for k in range(4)
        ]
    return {
        "ways": rows, "macs": macs, "fewer": [macs[3] / m for m in macs], "batch": batch, "n": N,
        "paper_ms": list(PAPER_MS), "paper_faster": [PAPER_MS[3] / t for t in PAPER_MS], "precision": "float32",
    }  # fmt: skip


def spread(values):
    low, middle, high = statistics.quantiles(values, n=4)
    return {"median": middle, "quartiles": [low, high]}


CASES = {f"step: {name}": (measured_step, name) for name in STEPS}
CASES |= {f"inference: batch {batch}": (measured_inference, batch) for batch in (1, 128)}


def kept():
    return json.loads(FILE.read_text())["rows"] if FILE.exists() else {}


def keep(key, row):
    about = {
        "title": "Nested networks: a joint step beside the levels' own steps, and inference of every level",
        "cpu": processor(), "threads": THREADS, "torch": torch.__version__, "python": sys.version.split()[0],
        "date": datetime.date.today().isoformat(),
    }  # fmt: skip
    with replacing(FILE) as beside:
        Path(beside).write_text(json.dumps(about | {"rows": kept() | {key: row}}, indent=1) + "\n")


def told(ratio):
    return f"{ratio['median']:.2f} ({ratio['quartiles'][0]:.2f}-{ratio['quartiles'][1]:.2f})"


def markdown():
    """The tables as README shows them."""
    lines = [
        "| joint step of | joint | sum of the levels' own | joint over sum | joint over one dense step | MACs promise |",
        "|---|---|---|---|---|---|",
    ]
    rows = kept()
    for key, row in rows.items():
        if key.startswith("step: "):
            total = sum(row["levels_ms"])
            lines.append(
                f"| {key.removeprefix('step: ')} | {row['joint_ms']:.0f} ms | {total:.0f} ms | {told(row['over_sum'])} | "
                f"{told(row['over_dense'])} | {row['promised']:.2f} |"
            )
    lines += [
        "",
        "| inference of | MACs, times fewer | the paper, GPU | in place, 1 image | taken away, 1 image | in place, 128 images | taken away, 128 |",
        "|---|---|---|---|---|---|---|",
    ]
    one, many = (rows[f"inference: batch {batch}"] for batch in (1, 128))
    for level, name in reversed(list(enumerate(("WRN-14-1", "WRN-32-1", "WRN-14-4", "WRN-32-4")))):
        cells = [told(row["ways"][way][level]["faster"]) for row in (one, many) for way in ("in place", "taken away")]
        lines.append(f"| {name} | {one['fewer'][level]:.1f} | {one['paper_faster'][level]:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--only", choices=["step", "inference"])
    parser.add_argument("--markdown", action="store_true")
    wanted = parser.parse_args()
    if wanted.markdown:
        return print(markdown())
    if wanted.fresh:
        FILE.unlink(missing_ok=True)
    torch.set_num_threads(THREADS)
    torch.set_flush_denormal(True)
    for key, (measure, what) in CASES.items():
        if key not in kept() and key.startswith(wanted.only or ""):
            keep(key, measure(what))
            print(key, flush=True)
    return print(markdown())


if __name__ == "__main__":
    main()

"""The knife beside torch-pruning: every zoo network and kind of zero, on identical copies with identical patterns.

`pip install --no-deps torch-pruning==1.6.1 && python tests/bench_knife.py --fresh` fills assets/evidence/knife.json with
the small networks; `--full` adds the knife's seconds at full size (float32, random weights); `--markdown` prints a table.
Both tools get one network with zeros in it and are asked to remove them. The network with its zeros is the reference:
"difference" is max |masked - removed| / max |masked| in float64, the larger of one or two image sizes.

The knife: `plan_zeros` and `apply`; at full size `remove_zeros`, which follows the network once for both. Of the zeroed units it removes some; some stay as constant fields, computed once a
batch ("static": as many as must be among the plan's "field" units, which it counts but does not name); others are left.

torch-pruning promises no equal outputs: it cuts whole coupled groups, for a network that is trained again afterwards.
For kind "all" it is asked as a careful user would: for the units whose every coupled member (filters, biases, norms,
raw parameters) is zero; for "scale" and "filter" for every zeroed unit. Layers are asked one after the other. Cutting
one group shifts the indices of later layers in it, so each layer has a list of the original indices it still has: a
zeroed unit's index today is its position in that list, and what a group cuts from a layer's outputs leaves its list.
Seconds leave out what this script itself does: copying the network and deciding which groups are zero. A convolution in
groups is asked like any other, though torch-pruning's own pruners would round the units so that all groups stay equal.
"""

import argparse
import copy
import datetime
import importlib.metadata
import json
import os
import statistics
import sys
import time
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zoo

from core.atomic import replacing
from core.latency import processor
from core.structure import apply, cost, plan_zeros, remove_zeros

FILE = Path(__file__).resolve().parents[1] / "assets" / "evidence" / "knife.json"
SEED, N, THREADS, SHARE = 0, 3, 1, 0.4


def images(shape, seed=9, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def timed(call):
    """What the last of N calls gives, with the median CPU and wall seconds."""
    times = []
    for _ in range(N):
        cpu, wall = time.process_time(), time.perf_counter()
        result = call()
        less = getattr(result, "deciding", (0.0, 0.0))
        times.append((time.process_time() - cpu - less[0], time.perf_counter() - wall - less[1]))
    return result, {k: round(statistics.median(t[i] for t in times), 4) for i, k in enumerate(("cpu", "wall"))}


@torch.no_grad()
def compare(masked, removed, shapes):
    """The largest difference as a part of the largest output."""
    pairs = [(masked(images(shape)), removed(images(shape))) for shape in shapes]
    if not all(a.shape == b.shape and b.isfinite().all() for a, b in pairs):
        raise ValueError("outputs of another shape, or not finite")
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)


def ours(masked, zeroed, shapes):
    row, x = {}, images(shapes[0])
    try:
        (plan, compact), row["seconds"] = timed(lambda: cut(masked, x))
        row |= counts(plan, zeroed)
        row["difference"] = compare(masked, compact, shapes)
        narrow, dense = cut(masked, x, "most")[1], cost(masked, x).macs_per_image
        row["difference_most"] = compare(masked, narrow, shapes)
        row["macs_left"] = {k: cost(m, x).macs_per_image / dense for k, m in (("fast", compact), ("most", narrow))}
    except Exception as error:
        row["difference"] = f"crash: {type(error).__name__}: {str(error)[:100]}"
    return row


def cut(model, x, policy="fast"):
    return (plan := plan_zeros(model, x, policy=policy)), apply(plan, model, x)


def counts(plan, zeroed):
    """What became of the zeroed units."""
    sites = {site.rpartition("/")[0]: site for site in plan.verdicts}
    kept = {sites[path]: len(set(units) - set(plan.removed.get(sites[path], ()))) for path, units in zeroed.items()}
    remain, everywhere = sum(kept.values()), sum(map(len, plan.removed.values()))
    static = sum(max(0, n + plan.verdicts[site].get("field", 0) - plan.total[site]) for site, n in kept.items())
    total = sum(map(len, zeroed.values()))
    became = {"zeroed": total, "removed": total - remain, "static": static, "left": remain - static}
    return became | {"removed_in_all": everywhere, "refilled": len(plan.refilled)}


class Pruning:
    """torch-pruning on a copy of its own, with each layer's original indices that are still present."""

    def __init__(self, masked, x):
        self.tp = importlib.import_module("torch_pruning")
        self.model, self.x, self.refused, self.deciding = copy.deepcopy(masked), x, 0, (0.0, 0.0)
        self.paths = {m: path for path, m in self.model.named_modules() if isinstance(m, zoo.LAYERS)}
        self.present = {path: list(range(zoo.units_of(m))) for m, path in self.paths.items()}

    def run(self, zeroed, careful):
        self.graph = self.tp.DependencyGraph().build_dependency(self.model, example_inputs=(self.x,), verbose=False)
        for path, units in zeroed.items():
            layer, has = self.model.get_submodule(path), self.present[path]
            now = [has.index(u) for u in units if u in has]
            cpu, wall = time.process_time() - self.deciding[0], time.perf_counter() - self.deciding[1]
            now = self.whole(layer, now) if careful else now
            self.deciding = time.process_time() - cpu, time.perf_counter() - wall
            group = self.group(layer, now) if now else None
            if not group or not self.graph.check_pruning_group(group):
                self.refused += len(now)
                continue
            group.prune()
            for dep, idxs in group.items:
                where = self.paths.get(dep.target.module)
                if where is not None and self.graph.is_out_channel_pruning_fn(dep.handler):
                    self.present[where] = [u for i, u in enumerate(self.present[where]) if i not in set(idxs)]
        return self

    def group(self, layer, units):
        alone = getattr(layer, "groups", 0) == zoo.units_of(layer) > 1
        kind = "linear" if isinstance(layer, torch.nn.Linear) else "depthwise_conv" if alone else "conv"
        return self.graph.get_pruning_group(layer, getattr(self.tp, f"prune_{kind}_out_channels"), idxs=units)

    def whole(self, layer, units):
        """The units whose coupled members are all zero; merged entries name one root each, so until none drops out."""
        while live := {
            root
            for item in (self.group(layer, units).items if units else ())
            if self.graph.is_out_channel_pruning_fn(item.dep.handler)
            for unit, root in zip(item.idxs, item.root_idxs, strict=True)
            if not zero_at(item.dep.target.module, unit)
        }:
            units = [u for u in units if u not in live]
        return units


def zero_at(module, unit):
    if isinstance(module, torch.nn.Parameter):
        return not module.movedim(max(i for i, n in enumerate(module.shape) if n > 1), 0)[unit].any()
    if isinstance(module, zoo.LAYERS):
        return not zoo.filters(module)[unit].any() and (module.bias is None or not module.bias[unit])
    return not any(p[..., unit].any() for p in module.parameters(recurse=False) if p.shape[-1] > unit)


def theirs(masked, zeroed, kind, shapes):
    row = {}
    try:
        tools = iter([Pruning(masked, images(shapes[0])[:1]) for _ in range(N)])
        tool, row["seconds"] = timed(lambda: next(tools).run(zeroed, kind == "all"))
        row["removed"] = sum(len(set(units) - set(tool.present[path])) for path, units in zeroed.items())
        before, after = zoo.count_units(masked), zoo.count_units(tool.model)
        row["removed_in_all"] = sum(before.values()) - sum(after.values())
        row["refused"] = tool.refused
        row["tracked"] = all(len(tool.present[path]) == units for path, units in after.items())
        row["difference"] = compare(masked, tool.model, shapes)
    except Exception as error:
        row["difference"] = f"crash: {type(error).__name__}: {str(error)[:100]}"
    return row


def small_row(name, kind):
    shapes = [s for s in (zoo.example_shape(name), zoo.second_shape(name)) if s]
    masked = zoo.settle(zoo.small(name), shapes[0], SEED)
    zeroed = zoo.zero(masked, kind, SEED, SHARE)
    y = masked(images(shapes[0]))
    about = {"zeroed": sum(map(len, zeroed.values())), "spread": float((y - y.mean(0)).abs().max() / y.abs().max())}
    if zeroed:
        about |= {"ours": ours(masked, zeroed, shapes), "torch_pruning": theirs(masked, zeroed, kind, shapes)}
    return about


def full_row(name, kind):
    torch.manual_seed(SEED)
    model, g = zoo.full(name).eval(), torch.Generator().manual_seed(SEED)
    for norm in (m for m in model.modules() if isinstance(m, zoo.NORMS)):
        torch.no_grad()(zoo.draw)(norm, g)
    zeroed, x = zoo.zero(model, kind, SEED, SHARE), images(zoo.full_shape(name), dtype=torch.float32)
    (plan, _), seconds = timed(lambda: remove_zeros(model, x))  # one trace for plan and cut
    return {"seconds": seconds, "load": os.getloadavg()[0]} | counts(plan, zeroed)


def kept():
    return json.loads(FILE.read_text())["rows"] if FILE.exists() else {}


def keep(key, row, part=None):
    rows = kept() | {key: kept().get(key, {}) | ({part: row} if part else row)}
    about = {
        "title": "The knife beside torch-pruning: networks of the zoo, kinds of zero",
        "config": {"seed": SEED, "share": SHARE, "n": N, "threads": THREADS, "policy": "fast"},
        "versions": {m: importlib.metadata.version(m) for m in ("torch", "torch-pruning")},
        "cpu": processor(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    with replacing(FILE) as beside:
        beside.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")


def told(row, tool):
    """The largest difference, and how many units no longer run; "crash" where the tool or its network did."""
    value, units = row[tool]["difference"], row[tool].get("removed", 0) + row[tool].get("static", 0)
    return ("crash", "-") if isinstance(value, str) else (f"{value:.0e}" if value < 0.01 else f"{value:.2f}", units)


def markdown():
    rows, both = kept(), ("ours", "torch_pruning")
    print(f"Differences and units: the knife / torch-pruning. To make it again: `{__doc__.split('`')[1]}`\n")
    print("| network | all zero | scale zero | filter zero | units gone (all) | gone (three kinds) | CPU s, full |")
    print("|---|---|---|---|---|---|---|")
    for name in zoo.names():
        mine = [rows.get(f"{name}/{kind}", {}) for kind in zoo.KINDS]
        cells = [" / ".join(told(row, tool)[0] for tool in both) if "ours" in row else "-" for row in mine]
        some = [row for row in mine if "ours" in row]
        units = f"{' / '.join(str(told(row, t)[1]) for t in both)} of {row['zeroed']}" if (row := mine[0]) else "-"
        whole = f"{sum(told(row, 'ours')[1] for row in some)} of {sum(row['zeroed'] for row in some)}"
        seconds = [f"{row['full']['seconds']['cpu']:.1f}" for row in mine if "full" in row and row["full"]["zeroed"]]
        print(f"| {name} | {' | '.join(cells)} | {units} | {whole} | {max(seconds, key=float, default='-')} |")


def main():
    parser = argparse.ArgumentParser()
    for name in ("--small", "--full", "--fresh", "--markdown"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("--only", choices=zoo.names())
    asked = parser.parse_args()
    if asked.markdown:
        return markdown()
    if asked.fresh:
        FILE.unlink(missing_ok=True)
    torch.set_num_threads(THREADS)
    warnings.simplefilter("ignore")
    warm, x = zoo.small("resnet18").eval().double(), images(zoo.example_shape("resnet18"))
    cut(warm, x), Pruning(warm, x).run({}, False)
    for make, part in ((small_row, None), (full_row, "full"))[: 1 + asked.full]:
        for name, kind, key in ((n, k, f"{n}/{k}") for k in zoo.KINDS for n in zoo.names() if asked.only in (None, n)):
            if (part or "zeroed") not in kept().get(key, {}):
                keep(key, make(name, kind), part)
                print(key, json.dumps(kept()[key])[:400], flush=True)


if __name__ == "__main__":
    main()

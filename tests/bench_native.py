"""What a compact network pays for being exact: its time beside that of a natively built network of the same widths.

`python tests/bench_native.py --fresh` fills assets/evidence/native.json; `--markdown` prints a table. Full-size networks,
float32, random weights. The native network runs the original Python code with every layer replaced by a plain one as
wide as the compact network's, and nothing carried. Two cuts: "target", half of the MACs silenced behind the norms, after
which little or nothing is carried; "filter", two fifths of all filters zero with their norms' shifts left, so that
constants are carried through the whole network. Where zeroed units do not meet, the original code cannot run at the
compact widths: there is no native network, and the row says so. Times are interleaved, one pass each, order alternating.
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
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zoo

from core.atomic import replacing
from core.errors import BadInput
from core.latency import processor
from core.structure import cost, plan_target, plan_zeros
from core.structure.surgery import apply

FILE = Path(__file__).resolve().parents[1] / "assets" / "evidence" / "native.json"
SEED, N, WARM, THREADS, BATCH = 0, 30, 5, 1, 4
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CARRIED = ("_carry", "_field")


def native(model, compact):
    """The original code around layers as wide as the compact network's; None where it cannot run so."""
    twin = copy.deepcopy(model)
    narrow = {path: module for path, module in compact.named_modules() if not path.endswith(CARRIED)}
    for path, module in list(model.named_modules()):
        if isinstance(module, (*zoo.LAYERS, *NORMS)):
            if path not in narrow:
                return None
            parent, _, name = path.rpartition(".")
            setattr(twin.get_submodule(parent), name, plain(module, narrow[path]))
    return twin.eval()


def plain(old, new):
    """`new` with the settings of `old`: its own padding and bias."""
    made = copy.deepcopy(new)
    if getattr(old, "bias", None) is None and getattr(made, "bias", None) is not None:
        made.bias = None
    return made


@torch.no_grad()
def times(networks, x):
    """Milliseconds of each network, N passes, interleaved."""
    took = [[] for _ in networks]
    for step in range(WARM + N):
        for i in sorted(range(len(networks)), reverse=bool(step % 2)):
            start = time.perf_counter()
            networks[i](x)
            if step >= WARM:
                took[i].append((time.perf_counter() - start) * 1e3)
    return took


def row(name, kind):
    torch.manual_seed(SEED)
    model, g = zoo.full(name).eval(), torch.Generator().manual_seed(SEED)
    for norm in (m for m in model.modules() if isinstance(m, zoo.NORMS)):
        torch.no_grad()(zoo.draw)(norm, g)
    x = torch.randn(BATCH, *zoo.full_shape(name)[1:], generator=g)
    if kind == "filter":
        zoo.zero(model, "filter", SEED, 0.4)
    plan = plan_zeros(model, x[:1]) if kind == "filter" else plan_target(model, x[:1], {"macs": 0.5})
    compact = apply(plan, model, x[:1]).eval()
    carried = sum(path.endswith(CARRIED) for path, _ in compact.named_modules())
    out = {"macs_left": cost(compact, x[:1]).macs_per_image / cost(model, x[:1]).macs_per_image, "carried": carried}
    twin = native(model, compact)
    try:
        with torch.no_grad():
            runs = twin is not None and twin(x).shape == compact(x).shape
    except (RuntimeError, ValueError):
        runs = False
    networks = [model, compact, *([twin] if runs else [])]
    ms = times(networks, x)
    for label, took in zip(("dense_ms", "compact_ms", "native_ms"), ms, strict=False):
        q = statistics.quantiles(took, n=4)
        out[label] = {"median": q[1], "quartiles": [q[0], q[2]]}
    if runs:
        out["ratio"] = statistics.median(a / b for a, b in zip(ms[1], ms[2], strict=True))
    return out


def kept():
    return json.loads(FILE.read_text())["rows"] if FILE.exists() else {}


def keep(key, found):
    about = {
        "title": "Compact networks beside natively built ones of the same widths",
        "config": {"seed": SEED, "n": N, "batch": BATCH, "threads": THREADS, "dtype": "float32", "policy": "fast"},
        "versions": {"torch": importlib.metadata.version("torch")},
        "cpu": processor(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    with replacing(FILE) as beside:
        beside.write_text(json.dumps(about | {"rows": kept() | {key: found}}, indent=1) + "\n")


def markdown():
    print(
        "| network | half the MACs: compact / native ms | ratio | filters zero: compact / native ms | ratio | layers carried |"
    )
    print("|---|---|---|---|---|---|")
    rows = kept()
    for name in zoo.names():
        cells = []
        for kind in ("target", "filter"):
            found = rows.get(f"{name}/{kind}")
            if not found or "error" in found:
                cells += ["-", "-"]
                continue
            other = f"{found['native_ms']['median']:.1f}" if "native_ms" in found else "none"
            cells += [
                f"{found['compact_ms']['median']:.1f} / {other}",
                f"{found['ratio']:.2f}" if "ratio" in found else "-",
            ]
        print(f"| {name} | {' | '.join(cells)} | {rows.get(f'{name}/filter', {}).get('carried', '-')} |")


def main():
    parser = argparse.ArgumentParser()
    for name in ("--fresh", "--markdown"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("--only", choices=zoo.names())
    asked = parser.parse_args()
    if asked.markdown:
        return markdown()
    if asked.fresh:
        FILE.unlink(missing_ok=True)
    torch.set_num_threads(THREADS)
    for name in zoo.names() if asked.only is None else [asked.only]:
        for kind in ("target", "filter"):
            if f"{name}/{kind}" in kept():
                continue
            try:
                found = row(name, kind)
            except BadInput as error:
                found = {"error": str(error)}
            keep(f"{name}/{kind}", found)
            print(name, kind, json.dumps(found)[:300], flush=True)


if __name__ == "__main__":
    main()

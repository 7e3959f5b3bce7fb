"""Speed under other conditions: dense against compact at several batches, at several thread counts, and in ONNX Runtime beside PyTorch.

Every point is interleaved as in `core.latency`, under its lock: medians and quartiles, with n and the conditions beside.
"""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from core import latency
from core.cut import Cut
from core.machine import cores
from core.structure import export_onnx, trace
from core.structure.onnxfile import package

BATCHES = (1, 8, 32, 128)
KINDS = ("batch", "threads", "engines")
PAIRS, BUDGET_S = 30, 3.0
ENGINES = ("PyTorch", "ONNX Runtime")
Clock = Callable[[], float]


def swept(
    kind: str, done: Cut, images: Tensor, batch: int, *, pairs: int = PAIRS, budget_s: float = BUDGET_S
) -> dict[str, Any]:
    """One sweep of KINDS: its rows and conditions. `images`: (N, C, H, W), as many as the largest batch asks for; `batch`: of the others.

    Raises BadInput for `engines` where ONNX Runtime is not installed or the network has no ONNX form.
    """
    told = {"batch": by_batch, "threads": by_threads, "engines": by_engine}[kind](done, images, batch, pairs, budget_s)
    return {
        "kind": kind, "promised": done.promised, "cpu": latency.processor(), "cores": cores(), "device": "cpu", "precision": "float32",
        "taken": time.time(), "versions": {"torch": torch.__version__, "python": platform.python_version()} | told.pop("versions", {}), **told,
    }  # fmt: skip


def by_batch(done: Cut, images: Tensor, batch: int, pairs: int, budget_s: float) -> dict[str, Any]:
    """At batches of 1, 8, 32 and 128 images, as far as there are so many."""
    sizes = [size for size in BATCHES if size <= len(images)]
    rows = [_pair(done, images[:size], pairs, budget_s) for size in sizes]
    return {"threads": torch.get_num_threads(), "rows": rows}


def by_threads(done: Cut, images: Tensor, batch: int, pairs: int, budget_s: float) -> dict[str, Any]:
    """With 1, 2, 4 … threads, up to the cores this process may use."""
    rows = []
    for number in thread_counts(cores()):
        with threads(number):
            rows.append(_pair(done, images[:batch], pairs, budget_s))
    return {"batch": min(batch, len(images)), "rows": rows}


def thread_counts(available: int) -> list[int]:
    """1, 2, 4 … and all of them."""
    powers = [2**k for k in range(available.bit_length()) if 2**k < available]
    return [*powers, available]


@contextmanager
def threads(number: int) -> Any:
    """So many threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pair(done: Cut, images: Tensor, pairs: int, budget_s: float) -> dict[str, Any]:
    a, b = (_channels_last(net) for net in (done.plain, done.compact))
    x = images.contiguous(memory_format=torch.channels_last)
    speed = latency.measure(a, b, x, done.promised, pairs=pairs, budget_s=budget_s)
    wanted = ("measured", "low", "high", "n", "dense_ms", "compact_ms", "threads", "batch")
    return {key: getattr(speed, key) for key in wanted}


def _channels_last(network: nn.Module) -> nn.Module:
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def by_engine(done: Cut, images: Tensor, batch: int, pairs: int, budget_s: float) -> dict[str, Any]:
    """Dense and compact in PyTorch and in ONNX Runtime: the four in turn, each round from the next one on.

    The ONNX files are checked against the networks before they are timed. PyTorch reads images channels last, ONNX Runtime as it likes.
    """
    runtime = package("onnxruntime")
    x, number = images[:batch].contiguous(), torch.get_num_threads()
    traced = trace(done.plain, x[:1])
    nets = {"dense": fx.GraphModule(traced.root, traced.graph), "compact": done.compact}
    runs: dict[tuple[str, str], Callable[[], Any]] = {}
    for name, net in nets.items():
        runs["ONNX Runtime", name] = onnx_run(net, x, number)
    for name, module in (("dense", done.plain), ("compact", done.compact)):
        runs["PyTorch", name] = _torch_run(_channels_last(module), x)
    order = [(engine, name) for engine in ENGINES for name in nets]
    with latency.quiet_machine():
        times = rounds([runs[key] for key in order], pairs, budget_s)
    rows = []
    for column, (engine, name) in enumerate(order):
        low, middle, high = (float(q) for q in np.quantile(times[:, column] * 1e3, (0.25, 0.5, 0.75)))
        rows.append({"engine": engine, "network": name, "ms": middle, "low": low, "high": high})
    return {
        "batch": len(x), "threads": number, "n": len(times), "rows": rows, "versions": {"onnxruntime": runtime.__version__},
        "times_as_fast": {engine: ratio(times, order, engine) for engine in ENGINES},
    }  # fmt: skip


def onnx_run(network: fx.GraphModule, x: Tensor, number: int) -> Callable[[], Any]:
    """The network as a checked ONNX file in ONNX Runtime with that many threads, ready to be called on `x`."""
    runtime = package("onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        export_onnx(network, x[:1], file)
        options = runtime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads, options.inter_op_num_threads = 4, number, 1
        session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: x.numpy()}
    return lambda: session.run(None, inputs)


def _torch_run(network: nn.Module, x: Tensor) -> Callable[[], Any]:
    images = x.contiguous(memory_format=torch.channels_last)
    network.eval()

    def run() -> Any:
        with torch.inference_mode():
            return network(images)

    return run


def rounds(
    runs: Sequence[Callable[[], Any]], most: int, budget_s: float, clock: Clock = time.perf_counter
) -> np.ndarray:
    """Seconds of every run in every round, (rounds, runs), after three rounds to warm up; at least 7 rounds, `most` within the budget."""
    for _ in range(3):
        for run in runs:
            run()
    rows: list[list[float]] = []
    began = clock()
    while len(rows) < most and (len(rows) < 7 or clock() - began < budget_s):
        row = [0.0] * len(runs)
        for place in range(len(runs)):
            which = (place + len(rows)) % len(runs)
            start = clock()
            runs[which]()
            row[which] = clock() - start
        rows.append(row)
    return np.array(rows)


def ratio(times: np.ndarray, order: Sequence[tuple[str, str]], engine: str) -> dict[str, float]:
    """Dense over compact time in one engine, round by round: median and quartiles."""
    dense, compact = (times[:, order.index((engine, name))] for name in ("dense", "compact"))
    low, middle, high = (float(q) for q in np.quantile(dense / compact, (0.25, 0.5, 0.75)))
    return {"measured": middle, "low": low, "high": high}

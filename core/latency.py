"""Honest clocks: two networks timed in interleaved pairs, whole and layer by layer.

A pair runs A then B (the order alternates), so drift of clock or load hits both alike; the ratio of each pair is
kept, and median and quartiles are over pairs. One measurement at a time on a machine: a lock that every worker
respects at its next step.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn

from core.config import Frozen
from core.machine import keep_memory

_LOCK = Path(tempfile.gettempdir()) / f"espalier-measuring-{os.getuid() if hasattr(os, 'getuid') else 'user'}.lock"
_FLAG = _LOCK.with_suffix(".flag")


class LayerSpeed(Frozen):
    """Median milliseconds of one layer in both networks; `compact_ms` is 0 where the layer left.

    `reason`, `numbers`: why it would not be as fast as its MACs promise (`core.losses`), empty where nobody asked.
    """

    path: str
    dense_ms: float
    compact_ms: float
    promised: float | None
    measured: float | None
    reason: str = ""
    numbers: str = ""


class Speed(Frozen):
    """How much faster the compact network is: ratio of times (dense / compact), median with quartiles over `n` pairs.

    `memory_kept`: freed memory stayed with the process (`machine.keep_memory`); else both times hold the kernel's for new pages.
    """

    measured: float
    promised: float
    low: float
    high: float
    n: int
    dense_ms: float
    compact_ms: float
    threads: int
    cpu: str
    device: str
    batch: int
    precision: str = "float32"
    memory_kept: bool = False
    layers: tuple[LayerSpeed, ...] = ()


@cache
def processor() -> str:
    """The processor's name, e.g. `AMD EPYC`."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@contextmanager
def quiet_machine() -> Iterator[None]:
    """Hold the machine-wide measuring lock; training workers wait at their next step until it is released. Memory is kept from then on."""
    keep_memory()
    with FileLock(_LOCK):
        _FLAG.touch()
        try:
            time.sleep(0.05)  # the others reach their next step
            yield
        finally:
            _FLAG.unlink(missing_ok=True)


def wait_while_measured() -> float:
    """Return at once, or, while some process measures, when it has ended; seconds waited. A file lookup a call."""
    if not _FLAG.exists():
        return 0.0
    began = time.perf_counter()
    with FileLock(_LOCK):
        _FLAG.unlink(missing_ok=True)  # left behind by a killed process: the lock was free
    return time.perf_counter() - began


def measure(
    dense: nn.Module,
    compact: nn.Module,
    batch: Tensor,
    promised: float,
    *,
    pairs: int = 30,
    budget_s: float = 2.0,
    layer_macs: dict[str, tuple[float, float]] | None = None,
    sources: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Time `dense` against `compact` on `batch` (N, C, H, W), in eval mode without gradients, under the lock.

    `promised`: the ratio of their MACs. `layer_macs`: MACs per image of each layer (dense, compact), by path; without
    it, layers are not timed. `sources`: of a layer of `compact`, the path of the one in `dense` that it was made of. Stops early, with at least 7 pairs, when `budget_s` is spent. Both networks end in the mode
    they came in.
    """
    modes = dense.training, compact.training
    try:
        with quiet_machine(), torch.inference_mode():
            dense.eval(), compact.eval()
            times = _pairs(dense, compact, batch, pairs, budget_s, clock)
            layers = () if layer_macs is None else _layers(dense, compact, batch, layer_macs, sources or {}, clock)
    finally:
        dense.train(modes[0]), compact.train(modes[1])
    ratios = times[:, 0] / times[:, 1]
    low, middle, high = (float(q) for q in np.quantile(ratios, (0.25, 0.5, 0.75)))
    typical = np.median(times, axis=0) * 1e3
    return Speed(
        measured=middle, promised=promised, low=low, high=high, n=len(ratios), dense_ms=float(typical[0]),
        compact_ms=float(typical[1]), threads=torch.get_num_threads(), cpu=processor(), device=_device_name(batch),
        batch=len(batch), precision=str(batch.dtype).removeprefix("torch."), memory_kept=keep_memory(), layers=layers,
    )  # fmt: skip


def milliseconds(
    network: nn.Module,
    batch: Tensor,
    *,
    runs: int = 15,
    budget_s: float = 0.5,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Median milliseconds of one pass of `network` over `batch`, in eval mode without gradients, under the lock.

    At least 5 runs after three to warm up; no more once `budget_s` is spent. The network ends in the mode it came in.
    """
    mode = network.training
    try:
        with quiet_machine(), torch.inference_mode():
            network.eval()
            for _ in range(3):
                _timed(network, batch, clock)
            times: list[float] = []
            while len(times) < runs and (len(times) < 5 or sum(times) < budget_s):
                times.append(_timed(network, batch, clock))
    finally:
        network.train(mode)
    return float(np.median(times)) * 1e3


def _device_name(batch: Tensor) -> str:
    return torch.cuda.get_device_name(batch.device) if batch.is_cuda else "cpu"


def _timed(network: nn.Module, batch: Tensor, clock: Callable[[], float]) -> float:
    start = clock()
    network(batch)
    if batch.is_cuda:
        torch.cuda.synchronize(batch.device)
    return clock() - start


def _pairs(
    a: nn.Module, b: nn.Module, batch: Tensor, pairs: int, budget_s: float, clock: Callable[[], float]
) -> np.ndarray:
    """Seconds of each pair, (n, 2), after three warm-up runs of each."""
    for _ in range(3):
        _timed(a, batch, clock), _timed(b, batch, clock)
    rows: list[tuple[float, float]] = []
    start = clock()
    while len(rows) < pairs and (len(rows) < 7 or clock() - start < budget_s):
        if len(rows) % 2:
            second = _timed(b, batch, clock)
            rows.append((_timed(a, batch, clock), second))
        else:
            rows.append((_timed(a, batch, clock), _timed(b, batch, clock)))
    return np.array(rows)


def _layers(
    dense: nn.Module,
    compact: nn.Module,
    batch: Tensor,
    macs: dict[str, tuple[float, float]],
    sources: Mapping[str, str],
    clock: Callable[[], float],
) -> tuple[LayerSpeed, ...]:
    """Median time of every convolution and linear layer over seven interleaved runs, of those made of it together."""
    samples: tuple[list[dict[str, float]], ...] = ([], [])
    for _ in range(7):
        samples[0].append(_layer_times(dense, batch, clock))
        times: dict[str, float] = {}
        for path, seconds in _layer_times(compact, batch, clock).items():
            source = sources.get(path, path)
            times[source] = times.get(source, 0.0) + seconds
        samples[1].append(times)
    typical = [{path: float(np.median([row[path] for row in rows])) * 1e3 for path in rows[0]} for rows in samples]
    result = []
    for path, before in typical[0].items():
        after = typical[1].get(path, 0.0)
        promise = macs.get(path)
        result.append(
            LayerSpeed(
                path=path,
                dense_ms=before,
                compact_ms=after,
                promised=promise[0] / promise[1] if promise and promise[1] else None,
                measured=before / after if after else None,
            )
        )
    return tuple(result)


def _layer_times(network: nn.Module, batch: Tensor, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds spent in each layer of one forward pass (calls of one layer are summed)."""
    started: dict[str, float] = {}
    spent: dict[str, float] = {}
    hooks: list[Any] = []

    def now() -> float:
        if batch.is_cuda:
            torch.cuda.synchronize(batch.device)
        return clock()

    def enter(path: str) -> Callable[..., None]:
        return lambda *_: started.__setitem__(path, now())

    def leave(path: str) -> Callable[..., None]:
        return lambda *_: spent.__setitem__(path, spent.get(path, 0.0) + now() - started[path])

    try:
        for path, module in network.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                hooks += [module.register_forward_pre_hook(enter(path)), module.register_forward_hook(leave(path))]
        network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return spent

"""What the machine offers, and the choices that follow from it: device, precision, threads.

Processors differ by a factor of thirty in bfloat16: with AMX or AVX512-BF16 it wins, without it loses badly. So
`auto` looks, and what it chose is written into the run's settings at the first start and never changes again.
"""

from __future__ import annotations

import os
import platform
from typing import Any

import torch

from core.config import RunConfig
from core.errors import BadInput
from core.latency import processor
from core.machine import cores, keep_memory, threads

SMALL_LAYER_MACS = (
    4e7  # of a layer, in a step: below this it is bound by overhead, and bfloat16's conversions only cost
)


def offers_bfloat16() -> bool:
    """Whether this processor computes bfloat16 in hardware and no instruction cap forbids it."""
    if os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA"):
        return False
    features = torch.backends.cpu.get_cpu_capability()
    if features not in ("AVX512", "DEFAULT", "AVX2"):
        return False
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def fixed(config: RunConfig, macs_per_image: float, layers: int = 1) -> RunConfig:
    """`config` with every `auto` decided for this machine, for a network of so many MACs in so many layers with weights."""
    device, precision = config.device, config.precision
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput("device must be one this machine has; got 'cuda' and there is none; take 'cpu' or 'auto'")
    if precision == "auto":
        large = macs_per_image * config.batch_size >= SMALL_LAYER_MACS * layers
        fast = torch.cuda.is_bf16_supported() if device == "cuda" else offers_bfloat16()
        precision = "bfloat16" if large and fast else "float32"
    chosen = {"device": device, "precision": precision, "threads": config.threads or threads()}
    return config.model_copy(update=chosen)


def prepare_process(config: RunConfig) -> None:
    """Keep memory, set threads, flush subnormal numbers (sparse training makes many; each costs 10-30 normal ones) and fix algorithms.

    Where the run asks for it, an operation without a repeatable algorithm on the GPU raises an error that names it. Call before the first tensor operation: worker threads inherit the flushing mode from the thread that starts them.
    """
    keep_memory()
    torch.set_flush_denormal(True)
    torch.set_num_threads(config.threads)
    torch.backends.cudnn.benchmark = False
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs for it
    torch.use_deterministic_algorithms(config.deterministic)


def described(config: RunConfig) -> dict[str, Any]:
    """The conditions that every number of the run was taken under."""
    cuda = config.device == "cuda"
    return {
        "cpu": processor(), "cores": cores(), "threads": config.threads,
        "device": torch.cuda.get_device_name() if cuda else "cpu", "precision": config.precision,
        "deterministic": config.deterministic or not cuda, "subnormals": "flushed", "memory": "kept" if keep_memory() else "given back", "torch": torch.__version__, "python": platform.python_version(), "system": platform.system(),
    }  # fmt: skip

"""The comparison behind an ONNX file: at which batches and sizes, how far apart the answers are, and the record of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from core.errors import BadInput

LIMITS = {torch.float64: 1e-9, torch.float32: 1e-5}  # of the output's scale
BATCHES = (2, 5, 4)  # the first two that the example does not have
STEPS = (
    *((3, 5, 4), (-3, -1, -2), (1, 2, 3), (2, 4, 6), (4, 8, 12)),
    *((8, 16, 24), (16, 32, 48), (32, 64, 96), (64, 32, 160)),
)
LARGEST_SIDE = 64  # pixels, before the step; the float64 evaluator is NumPy
Run = Callable[[dict[str, np.ndarray]], list[np.ndarray]]


class OnnxCheck(BaseModel):
    """What was compared before an ONNX file was written; the worst over all outputs and batches of random inputs.

    `batches[i]` images of `sizes[i]`. `float64_max_rel` = max |a-b| / max |a|: a from a float64 copy in torch, b from its
    ONNX form in ONNX's reference evaluator. `float32_max_rel`: the same of the file itself in ONNX Runtime, where
    `top1_agreement` is counted too, over the places whose two largest values differ by more than the float32 limit.
    `spread` = max |a - mean of a over the batch| / max |a|: 0 where all inputs give the same, which proves little.
    `dynamic`: the free axes of every input. `fixed_size`: why height and width are not among them, or empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    sizes: list[list[int]]
    batches: list[int]
    float64_max_rel: float
    float32_max_rel: float
    top1_agreement: float
    spread: float
    opset: int
    dynamic: dict[str, list[str]]
    fixed_size: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Probe:
    """A batch to compare at: how many images, and height and width (empty: the example's)."""

    batch: int
    size: tuple[int, ...] = ()

    def inputs(self, examples: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Normal numbers of the examples' shapes; for whole numbers, values of the example."""
        draw = torch.Generator().manual_seed(self.batch)
        made = []
        for example in examples:
            shape = (self.batch, *example.shape[1:2], *(self.size or example.shape[2:]))
            if example.is_floating_point():
                made.append(torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype))
            else:
                flat = example.flatten().cpu()
                made.append(flat[torch.randint(len(flat), shape, generator=draw)])
        return tuple(made)


def other_sizes(network: nn.Module, examples: tuple[Tensor, ...]) -> list[tuple[int, ...]]:
    """Two sizes that the network runs at and whose every side differs from the example's; none if there are not two."""
    own = tuple(examples[0].shape[2:])
    if not 1 <= len(own) <= 3 or any(tuple(example.shape[2:]) != own for example in examples):
        return []
    found = []
    for steps in STEPS:
        size = tuple(min(side, LARGEST_SIDE) + step for side, step in zip(own, steps, strict=False))
        if min(size) > 0 and all(a != b for a, b in zip(size, own, strict=True)) and runs(network, examples, size):
            found.append(size)
        if len(found) == 2:
            return found
    return []


def runs(network: nn.Module, examples: tuple[Tensor, ...], size: tuple[int, ...]) -> bool:
    try:
        answer(network, Probe(2, size).inputs(examples, torch.float32))
    except BadInput:
        return False
    return True


def answer(network: nn.Module, inputs: tuple[Tensor, ...]) -> object:
    """What the network says. BadInput where it fails."""
    try:
        with torch.no_grad():
            return network.forward(*inputs)  # a GraphModule that is called prints its errors
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        shape = tuple(inputs[0].shape)
        raise BadInput(
            f"the network must run in {str(inputs[0].dtype)[6:]}; for an input of shape {shape} it gives {error}; "
            "take out what fixes a type, or keep it as a compact file"
        ) from error


def tensors_of(output: object) -> list[Tensor]:
    """The tensors of an output in the order in which a file has them."""
    if isinstance(output, dict):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        return [tensor for part in output for tensor in tensors_of(part)]
    return [output] if isinstance(output, Tensor) else []


def compare(
    network: nn.Module,
    start: Callable[[], Run],
    names: list[str],
    examples: tuple[Tensor, ...],
    probes: list[Probe],
    dtype: torch.dtype,
) -> tuple[float, float, float]:
    """Largest difference over the scale, top-1 agreement, spread. BadInput where the file does not say the same.

    `start` gives the evaluator, a function from inputs by name to outputs.
    """
    gaps, agreements, spreads = [0.0], [1.0], [0.0]
    run: Run | None = None
    for probe in probes:
        inputs = probe.inputs(examples, dtype)
        ours = [tensor.numpy() for tensor in tensors_of(answer(network, inputs))]
        where = f"in {str(dtype)[6:]}, for a batch of {probe.batch} at {list(inputs[0].shape[2:])}"
        try:
            run = run or start()
            theirs = run({name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})
        except Exception as error:  # an evaluator may raise anything
            raise BadInput(f"the ONNX form must run; {where} it gives {error}; keep it as a compact file") from error
        check(ours, theirs, LIMITS[dtype], where)
        gaps += [difference(a, b) for a, b in zip(ours, theirs, strict=True)]
        agreements += [agreement(a, b, LIMITS[dtype]) for a, b in zip(ours, theirs, strict=True)]
        spreads += [difference(a, a.mean(0, keepdims=True)) for a in ours]
    return max(gaps), min(agreements), max(spreads)


def check(ours: list[np.ndarray], theirs: list[np.ndarray], limit: float, where: str) -> None:
    """Raises BadInput for other shapes, a difference over the limit, or another top-1."""
    if [a.shape for a in ours] != [b.shape for b in theirs]:
        got = f"outputs of shapes {[b.shape for b in theirs]}, the network {[a.shape for a in ours]}"
    elif not all(np.isfinite(a).all() for a in ours):
        raise BadInput(
            f"the network must give finite numbers for random inputs; it does not {where}; check its weights"
        )
    elif not max(difference(a, b) for a, b in zip(ours, theirs, strict=True)) <= limit:
        worst = max(difference(a, b) for a, b in zip(ours, theirs, strict=True))
        got = f"an output {worst:.3g} of its scale away, more than {limit:g}"
    elif min(agreement(a, b, limit) for a, b in zip(ours, theirs, strict=True)) < 1:
        got = "another top-1"
    else:
        return
    raise BadInput(f"the ONNX form must agree with the network; {where} it gives {got}; keep it as a compact file")


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """max |a-b| / max |a|; NaN counts as infinitely far."""
    if not a.size:
        return 0.0
    gap, scale = float(np.abs(a.astype(np.float64) - b).max()), float(np.abs(a).max())
    return gap / max(scale, np.finfo(np.float64).tiny) if np.isfinite(gap) else float("inf")


def agreement(a: np.ndarray, b: np.ndarray, limit: float) -> float:
    """Fraction of places with the same largest channel, of those where it is not within `limit` of the next one."""
    if a.ndim < 2 or a.shape[1] < 2 or not a.size:
        return 1.0
    second, first = np.moveaxis(np.partition(a, -2, axis=1)[:, -2:], 1, 0)
    clear = first - second > limit * np.abs(a).max()
    same = (a.argmax(1) == b.argmax(1))[clear]
    return float(same.mean()) if same.size else 1.0

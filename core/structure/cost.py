"""What a network costs: multiply-accumulates counted while it runs, and parameters.

MACs of convolutions, linear layers and matrix products, carried constants among them. What else runs is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from core.errors import BadInput
from core.structure.trace import Example, eval_mode

FREE = {
    *("view", "_unsafe_view", "reshape", "t", "transpose", "permute", "expand", "slice", "select", "detach", "alias"),
    *("unsqueeze", "squeeze", "empty", "clone", "_to_copy", "narrow", "as_strided", "sym_size", "split", "unbind"),
    *("lift_fresh", "zeros", "ones", "full", "copy_", "flatten", "split_with_sizes", "chunk"),
}


class LayerCost(BaseModel):
    """One module that computes: MACs at batch 1 and of one more image, its own parameters and their bytes, the shape of its
    output at batch 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str
    macs: int
    macs_per_image: int
    params: int
    bytes: int = 0
    out_shape: list[int]


class Cost(BaseModel):
    """`macs` at batch 1, batch-free parts included; `macs_per_image`: one more image; `uncounted`: what else ran.

    `activations`: numbers that the counted layers give at batch 1; `bytes` of all parameters and buffers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    macs: int
    macs_per_image: int
    params: int
    activations: int = 0
    bytes: int = 0
    layers: list[LayerCost]
    uncounted: list[str]

    @property
    def conv_macs(self) -> int:
        """Those of layers of feature maps, of one more image: what SSL's tables 1 to 3 count (Wen et al., 2016)."""
        return sum(layer.macs_per_image for layer in self.layers if len(layer.out_shape) == 4)


class Counter(TorchDispatchMode):
    """Counts every product that runs, for the module that is running."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.macs: dict[str, int] = {}
        self.shapes: dict[str, list[int]] = {}
        self.outputs: dict[str, int] = {}
        self.uncounted: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[-1]
        macs = products(name, args, out)
        path = self.inside[-1] if self.inside else ""
        if macs is not None:
            self.macs[path] = self.macs.get(path, 0) + macs
            self.shapes.setdefault(path, list(out.shape))
            self.outputs[path] = self.outputs.get(path, 0) + out.numel()
        elif name not in FREE:
            self.uncounted.add(name)
        return out


def products(name: str, args: Any, out: Any) -> int | None:
    """Multiply-accumulates of one primitive; None for what is not a product."""
    if name in ("convolution", "_convolution"):
        x, weight, transposed = args[0], args[1], args[6]
        return (x.numel() if transposed else out.numel()) * weight[0].numel()
    if name in ("mm", "bmm"):
        return out.numel() * args[0].shape[-1]
    if name in ("addmm", "baddbmm"):
        return out.numel() * args[1].shape[-1]
    if name in ("mv", "dot"):
        return args[0].numel()
    if name == "linear":
        return out.numel() * args[0].shape[-1]
    return None


def cost(model: nn.Module, example: Example) -> Cost:
    """Run `model` in eval mode on the example's first image, alone and doubled; the model is left as it was."""
    inputs = example if isinstance(example, tuple) else (example,)
    if not all(isinstance(t, Tensor) and t.dim() > 1 for t in inputs):
        raise BadInput("the example must be a tensor of a batch, such as (1, 3, 32, 32); pass one or a tuple of them")
    with torch.inference_mode(False), torch.no_grad():  # else layers would come whole, under names that are not counted
        first = [t[:1].clone() for t in inputs]
        one = count(model, tuple(first))
        two = count(model, tuple(torch.cat([t, t]) for t in first))
    total = sum(one.macs.values())
    modules = dict(model.named_modules())
    layers = [
        LayerCost(
            path=path,
            macs=macs,
            macs_per_image=two.macs[path] - macs,
            params=sum(p.numel() for p in modules[path].parameters(recurse=False)),
            bytes=sum(p.nbytes for p in modules[path].parameters(recurse=False)),
            out_shape=one.shapes[path],
        )
        for path, macs in one.macs.items()
    ]
    params = sum(p.numel() for p in model.parameters())
    return Cost(
        macs=total,
        macs_per_image=sum(two.macs.values()) - total,
        params=params,
        activations=sum(one.outputs.values()),
        bytes=sum(t.nbytes for t in (*model.parameters(), *model.buffers())),
        layers=layers,
        uncounted=sorted(one.uncounted),
    )


def count(model: nn.Module, inputs: tuple[Tensor, ...]) -> Counter:
    counter = Counter()
    with eval_mode(model), following(model, counter.inside), counter:
        model(*inputs)
    return counter


def leave(inside: list[str]) -> None:
    """A forward hook must return None, or it would replace the module's result."""
    inside.pop()


@contextmanager
def following(model: nn.Module, inside: list[str]) -> Iterator[None]:
    """Inside, the last entry of `inside` is the path of the module that runs; the hooks are gone afterwards."""
    handles = []
    try:
        for path, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(lambda m, a, path=path: inside.append(path)))
            handles.append(module.register_forward_hook(lambda m, a, o: leave(inside)))
        yield
    finally:
        for handle in handles:
            handle.remove()

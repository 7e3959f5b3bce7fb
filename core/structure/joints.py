"""What falls with a filter: the norm behind it and the layers that read it, found by following the network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.structure.groups import Labels, follow
from core.structure.layers import num_groups
from core.structure.provenance import provenance
from core.structure.rules_layers import columns_of
from core.structure.sites import layers, norms_behind
from core.structure.trace import Example, trace
from core.structure.values import Flow, Layout, Op, Value, bases

FOLLOWING = ("norm", "pointwise", "plane", "move", "layer")  # what reads a channel and is either a part or follows it


@dataclass(frozen=True)
class Beside:
    """Parts beside a filter's own weights, by name of parameter: norms (row u), and columns (first one, how many a unit)."""

    norms: tuple[str, ...]
    columns: dict[str, tuple[int, int]]


def beside(model: nn.Module, example: Example) -> dict[str, Beside]:
    """By site, what falls with each of its units: the norm that alone reads them, and where every reader is simple, its columns.

    No columns where units meet those of another site (in a sum, a product or a depthwise convolution), are the network's
    output, or are read by what cannot be followed, or out of order. Raises TraceError.
    """
    flow = provenance(trace(model, example), {}, {})
    units, reads = labelled(flow)
    alone = norms_behind(flow)
    found: dict[str, Beside] = {}
    for site, ops in layers(flow).items():
        own = units.get(ops[0].index)
        meeting = [index for index, other in units.items() if own is not None and bool(torch.isin(other, own).any())]
        parts = parts_of(own, reads) if own is not None and meeting == [ops[0].index] else None
        norms, columns = parts or (alone.get(site, []), {})
        names = (f"{path}.{name}" for path in norms for name in ("weight", "bias"))
        found[site] = Beside(tuple(name for name in names if has(flow, name)), columns)
    return found


@dataclass(frozen=True)
class Read:
    """An operation that reads a value, and the label of each of its channels."""

    op: Op
    value: Value
    labels: Tensor


def labelled(flow: Flow) -> tuple[dict[int, Tensor], list[Read]]:
    """The labels of every layer's units by operation, and every read; channels that meet have one label."""
    labels = Labels()
    for op in flow.ops:
        follow(labels, op, [val for value in op.inputs for val in bases(value)])
    root = torch.tensor([labels.root(label) for label in range(len(labels.parent))])
    units = {op.index: root[labels.of[op.index]] for op in flow.ops if op.kind == "layer"}
    reads = [Read(op, value, root[labels.take(val)]) for op in flow.ops for value in op.inputs for val in bases(value)]
    return units, reads


def parts_of(own: Tensor, reads: list[Read]) -> tuple[list[str], dict[str, tuple[int, int]]] | None:
    """(norms, columns) that read the units of one call of a layer; None where that has no simple form."""
    norms: list[str] = []
    columns: dict[str, tuple[int, int]] = {}
    for read in reads:
        places = torch.isin(read.labels, own).nonzero().flatten()
        if not len(places):
            continue
        if read.op.kind not in FOLLOWING or not torch.equal(read.labels[int(places[0]) :][: len(own)], own):
            return None
        if read.op.kind == "norm":
            if len(places) < len(read.labels):
                return None  # a norm over the channels of several layers
            norms.append(read.op.path)
        elif read.op.kind == "layer":
            found = columns_read(read, int(places[0]), len(own))
            if found is None or f"{read.op.path}.weight" in columns:
                return None
            columns[f"{read.op.path}.weight"] = found
    return (norms, columns) if columns else None


def columns_read(read: Read, first: int, total: int) -> tuple[int, int] | None:
    """(first column, columns a unit) of a layer's weight that read channels `first` and on; None where they lie apart."""
    module = read.op.module
    if module is None or num_groups(module) > 1:
        return None
    if not isinstance(read.value, Layout):
        return first, 1
    columns = columns_of(read.value)[first : first + total]
    start = int(columns[0, 0])
    simple = torch.equal(columns.flatten(), start + torch.arange(columns.numel()))
    return (start, columns.shape[1]) if simple else None


def has(flow: Flow, name: str) -> bool:
    path, _, part = name.rpartition(".")
    return getattr(flow.traced.root.get_submodule(path), part, None) is not None

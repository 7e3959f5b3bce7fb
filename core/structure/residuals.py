"""Residual blocks of a followed network: a branch of layers that is added to what it started from; gates, that multiply it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import fx, nn

from core.networks.describe import Skip
from core.structure.sites import layers
from core.structure.values import Flow, Op

PASSING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)  # in eval mode, what goes in comes out


@dataclass(frozen=True)
class Residual:
    """A sum of a branch and a skip, or a product (a gate). `convs`: the branch's layers in order; `shortcut`: the skip's only one.

    `end`: the module whose output is added (a batch norm, or the last layer); "" where that is something else.
    """

    convs: tuple[str, ...]
    skip: Skip
    shortcut: str | None
    end: str


def residuals(flow: Flow) -> list[Residual]:
    """The residual blocks, inner ones first found, then gates outside them: a layer belongs to one block at most."""
    place = {node: i for i, node in enumerate(flow.traced.graph.nodes)}
    behind = ancestors(flow.traced.graph)
    paths = {op.node: op.path for ops in layers(flow).values() for op in ops if drawn(op.module)}
    found, taken = [], set[str]()
    for op in sorted(flow.ops, key=lambda op: op.kind == "pair"):
        operands = list(dict.fromkeys(n for n in op.node.all_input_nodes if flow.traced.shapes_of(n)))
        if op.kind not in ("sum", "pair") or len(operands) != 2:
            continue
        common = sorted(behind[operands[0]] & behind[operands[1]], key=place.__getitem__)
        if not common:
            continue
        sides = [side_of(operand, common[-1], behind) for operand in operands]
        if any(side is None for side in sides):
            continue
        inside = [[n for n in sorted(side or (), key=place.__getitem__) if n in paths] for side in sides]
        made = residual_of(flow, operands, inside, paths, common[-1])
        if made is not None and op.kind == "pair":
            made = replace(made, skip="gate", end="") if made.shortcut is None else None
        if made is not None and not taken & {*made.convs, made.shortcut}:
            found.append(made)
            taken |= {*made.convs, made.shortcut or made.convs[0]}
    return found


def drawn(module: nn.Module | None) -> bool:
    """Whether a layer is of a kind that is shown and learned."""
    return isinstance(module, nn.Conv2d | nn.Linear)


def ancestors(graph: fx.Graph) -> dict[fx.Node, set[fx.Node]]:
    """Of every node, the nodes it depends on, itself among them."""
    behind: dict[fx.Node, set[fx.Node]] = {}
    for node in graph.nodes:
        behind[node] = {node}.union(*(behind[n] for n in node.all_input_nodes))
    return behind


def side_of(end: fx.Node, fork: fx.Node, behind: dict[fx.Node, set[fx.Node]]) -> set[fx.Node] | None:
    """The nodes from `fork` (left out) to `end`; None where some of them read past the fork."""
    side = behind[end] - behind[fork]
    known = behind[fork] - {fork}
    return None if any(set(n.all_input_nodes) & known for n in side) else side


def residual_of(
    flow: Flow, operands: list[fx.Node], inside: list[list[fx.Node]], paths: dict[fx.Node, str], fork: fx.Node
) -> Residual | None:
    """The block of a sum, where one side is its branch and the other a skip."""
    counts = [len(side) for side in inside]
    branch = 0 if counts[0] > counts[1] or (counts[0] == counts[1] and is_pointwise(flow, paths, inside[1])) else 1
    skip = inside[1 - branch]
    if not inside[branch] or len(skip) > 1 or (skip and not is_pointwise(flow, paths, skip)):
        return None
    kind: Skip = "projection" if skip else "identity" if before_passing(flow, operands[1 - branch]) is fork else "pad"
    convs = tuple(dict.fromkeys(paths[n] for n in inside[branch]))
    return Residual(convs, kind, paths[skip[0]] if skip else None, end_of(flow, operands[branch]))


def is_pointwise(flow: Flow, paths: dict[fx.Node, str], side: list[fx.Node]) -> bool:
    """Whether a side is one layer that looks at single pixels: a projection."""
    if len(side) != 1:
        return False
    layer = flow.traced.root.get_submodule(paths[side[0]])
    return isinstance(layer, nn.Linear) or set(layer.kernel_size) == {1}  # type: ignore[arg-type]


def end_of(flow: Flow, node: fx.Node) -> str:
    """The batch norm or layer that gives what is added; "" where there is none, or where others read it too."""
    node = before_passing(flow, node)
    calls = [n for n in flow.traced.graph.nodes if n.op == "call_module" and n.target == node.target]
    return str(node.target) if node.op == "call_module" and len(calls) == 1 and len(node.users) == 1 else ""


def before_passing(flow: Flow, node: fx.Node) -> fx.Node:
    """The node whose result a node hands on unchanged: through dropout and identities that alone read it."""
    while node.op == "call_module" and isinstance(flow.traced.module(node), PASSING):
        source = node.all_input_nodes[0]
        if len(source.users) > 1 and not isinstance(flow.traced.module(node), nn.Identity):
            break
        node = source
    return node


def scalable(module: nn.Module) -> bool:
    """Whether a scaling factor can sit in a module: exactly one of torch's own, with an affine part."""
    norm = type(module) in (nn.BatchNorm1d, nn.BatchNorm2d) and module.weight is not None
    return norm or type(module) in (nn.Conv2d, nn.Linear)


def is_called_once(ops: list[Op]) -> bool:
    """Whether a layer has one call, and its channels are followed."""
    return len(ops) == 1 and ops[0].kind == "layer"


def meets(labels: torch.Tensor, others: list[torch.Tensor]) -> bool:
    """Whether some channel of a layer has a label that another has too."""
    return any(bool(torch.isin(labels, other).any()) for other in others)

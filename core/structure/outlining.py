"""A network that does not describe itself, described by following it: where structures may die, and how it is drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor, nn

from core.networks.describe import BlockOutline, Outline, Structure
from core.structure.groups import Labels, follow
from core.structure.provenance import provenance
from core.structure.residuals import Residual, drawn, is_called_once, meets, residuals, scalable
from core.structure.sites import layers, norms_behind
from core.structure.trace import Example, trace
from core.structure.values import Flow, Op, bases
from core.structure.ways import ways


@dataclass(frozen=True)
class Described:
    """What a network of this project says of itself, found by following another one.

    `left`: layers where no filter can be learned by a factor, and why; the lasso may still reach them. `reads`: see `readers`.
    """

    structures: list[Structure]
    outline: Outline
    left: dict[str, str]
    reads: dict[str, dict[str, float]]


def described(model: nn.Module, example: Example) -> Described:
    """Sites of filters, neurons, conv groups and blocks, stages for drawing. Raises TraceError."""
    flow = provenance(trace(model, example), {}, {})
    calls = {site: ops for site, ops in layers(flow).items() if drawn(ops[0].module or flow.traced.module(ops[0].node))}
    order = [site.rpartition("/")[0] for site in calls]
    found = residuals(flow)
    blocks = {block.convs[0]: block for block in (*found, *ways(flow, found))}
    names = block_names(order, list(blocks.values()))
    sites, left = filters(flow, calls)
    for first, block in blocks.items():
        module = None if block.end == "" else flow.traced.root.get_submodule(block.end)
        if module is not None and scalable(module):
            last = block.convs[-1]
            sites[f"{last} block"] = Structure(f"{names[first]}/block", "block", block.end, 1, last)
    structures = [sites[key] for path in order for key in (path, f"{path} block") if key in sites]
    return Described(structures, drawing(flow, calls, order, blocks, names), left, readers(flow, calls))


def readers(flow: Flow, calls: dict[str, list[Op]]) -> dict[str, dict[str, float]]:
    """By layer, of what share of the channels that it reads another layer alone decides whether they live.

    Channels that several layers meet in, the network's input and the layer's own (a depthwise one's) belong to nobody.
    """
    labels = Labels()
    for op in flow.ops:
        follow(labels, op, [val for value in op.inputs for val in bases(value)])
    owners: dict[int, set[str]] = {}
    for site, ops in calls.items():
        for label in labels.of[ops[0].index].tolist():
            owners.setdefault(labels.root(label), set()).add(site.rpartition("/")[0])
    found = {}
    for site, ops in calls.items():
        path = site.rpartition("/")[0]
        vals = [val for op in ops for value in op.inputs for val in bases(value)]
        read = [owners.get(labels.root(label), set()) for val in vals for label in labels.take(val).tolist()]
        counts = Counter(next(iter(mine)) for mine in read if len(mine) == 1)
        found[path] = {other: count / len(read) for other, count in counts.items() if other != path}
    return found


def filters(flow: Flow, calls: dict[str, list[Op]]) -> tuple[dict[str, Structure], dict[str, str]]:
    """(sites by layer, why the others have none). A site's units must be summed with no other's: those die together or never."""
    labels, closed = summed(flow)
    norms = norms_behind(flow)
    units = {site: labels.roots(ops[0]) for site, ops in calls.items() if is_called_once(ops)}
    found, left = {}, {}
    for site, ops in calls.items():
        path, _, kind = site.rpartition("/")
        if ops[0].node.op != "call_module":
            left[path] = "its weights are a bare parameter"
            continue
        behind, layer = norms.get(site, []), flow.traced.root.get_submodule(path)
        module = flow.traced.root.get_submodule(behind[0]) if len(behind) == 1 else layer
        if site not in units:
            left[path] = ops[0].reason or "it is called more than once"
        elif meets(units[site], [closed]):
            left[path] = "it gives the network's output"
        elif meets(units[site], [other for name, other in units.items() if name != site]):
            left[path] = "its filters are added to those of other layers"
        elif len(behind) > 1 or not scalable(module):
            left[path] = f"no factor can sit in {type(module).__name__}"
        else:
            groups = int(getattr(layer, "groups", 1))
            whole = len(behind) == 1 and 1 < groups < len(units[site])
            made = (f"{path}/group", "group", groups) if whole else (site, kind, len(units[site]))
            found[path] = Structure(made[0], made[1], behind[0] if behind else path, made[2], path)  # type: ignore[arg-type]
    return found, left


def closed_sites(flow: Flow) -> set[str]:
    """The layers that give the network's output."""
    labels, ends = summed(flow)
    return {
        site for site, ops in layers(flow).items() if ops[0].index in labels.of and meets(labels.roots(ops[0]), [ends])
    }


class Sums(Labels):
    """Labels that only sums join."""

    def roots(self, op: Op) -> Tensor:
        """The label of each channel of an operation, (width,)."""
        return self.of[op.index].clone().apply_(self.root)


def summed(flow: Flow) -> tuple[Sums, Tensor]:
    """Labels that sums join, and those of the network's output."""
    labels = Sums()
    closed = []
    for op in flow.ops:
        vals = [val for value in op.inputs for val in bases(value)]
        if op.kind in ("pair", "layer"):
            labels.fresh(op)
        else:
            follow(labels, op, vals)
        if op.kind == "output":
            closed += [labels.take(val) for val in vals]
    ends = torch.cat(closed) if closed else torch.zeros(0, dtype=torch.long)
    return labels, ends.clone().apply_(labels.root)


def block_names(order: list[str], blocks: list[Residual]) -> dict[str, str]:
    """A path for every block, by its first layer: the module that holds its layers and no others, or its last layer."""
    names: dict[str, str] = {}
    for block in blocks:
        mine = {*block.convs, *([block.shortcut] if block.shortcut else [])}
        columns = zip(*(path.split(".") for path in block.convs), strict=False)
        home = ".".join(parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, columns))
        others = [path for path in order if path not in mine and f"{path}.".startswith(f"{home}.")]
        alone = home and not others and home not in block.convs and home not in names.values()
        names[block.convs[0]] = home if alone else block.convs[-1]
    return names


def drawing(
    flow: Flow, calls: dict[str, list[Op]], order: list[str], blocks: dict[str, Residual], names: dict[str, str]
) -> Outline:
    """Stem, stages of one side in pixels (a gate is of the stage that it multiplies; vectors: of one width), head.

    Layers outside blocks stand for themselves.
    """
    shapes = {site.rpartition("/")[0]: ops[0].shape for site, ops in calls.items()}
    inner = {path for block in blocks.values() for path in (*block.convs[1:], block.shortcut) if path}
    steps = [path for path in order if path not in inner]
    tail = len(steps)
    while tail and (len(shapes[steps[tail - 1]]) == 2 or tail == len(steps)) and steps[tail - 1] not in blocks:
        tail -= 1
    if tail == 0 and len(steps) > 1:
        tail = len(steps) - 1  # a perceptron: hidden layers are stages
    first = int(bool(blocks) and steps[0] not in blocks and tail > 1)
    stages: list[tuple[tuple[int, ...], list[BlockOutline]]] = []
    for path in steps[first:tail]:
        block = blocks.get(path)
        inside = [shapes[conv] for conv in (block.convs if block else (path,))]
        last = next(
            (shape for shape in reversed(inside) if len(shape) > 2), inside[-1]
        )  # a block may end in a gate's vector
        size = tuple(last[2:] or last[1:])
        made = (
            BlockOutline(names[path], block.skip, block.convs, block.shortcut)
            if block
            else BlockOutline(path, "none", (path,))
        )
        if not stages or (stages[-1][0] != size and made.skip != "gate"):
            stages.append((size, []))
        stages[-1][1].append(made)
    return Outline(
        tuple(steps[:first]),
        tuple((f"stage{i}", tuple(made)) for i, (_, made) in enumerate(stages, 1)),
        tuple(steps[tail:]),
    )

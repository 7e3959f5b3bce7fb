"""Channel and layer scheduling: which filters and blocks a level does without (Kim et al., CVPR 2018, sections 3.3 and 3.4).

A level has the leading channels of every layer and the first blocks of every stage; or the first in an order that was learned. The
class scores are nobody's to split, nor are the image's channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from core.errors import BadInput
from core.networks.describe import Outline
from core.structure.layers import num_groups
from core.structure.outlining import closed_sites
from core.structure.plan import Sites
from core.structure.planning import silent
from core.structure.provenance import provenance
from core.structure.sites import layers
from core.structure.trace import Traced
from core.structure.values import CONST, Flow


@dataclass(frozen=True)
class Schedule:
    """What a level keeps: `width`, the share of channels, and `depth`, the share of the blocks of each stage, both 0-1.

    `whole`: layers that every level has in full (the first convolution, in the paper's distillation setting). `order`: units by
    site, `blocks`: blocks by stage, in the order in which levels take them; as they stand where nothing is said.
    """

    width: float = 1.0
    depth: float = 1.0
    whole: tuple[str, ...] = ()
    order: Mapping[str, Tensor] = field(default_factory=dict)
    blocks: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("width", "depth"):
            if not 0 < getattr(self, name) <= 1:
                raise BadInput(f"{name} of a level must be above 0 and at most 1; got {getattr(self, name)}")


def absent(flow: Flow, outline: Outline, schedule: Schedule) -> Sites:
    """The units a level lacks, where they are to be masked: behind the norms that alone read them, else at once."""
    gone: Sites = {}
    closed = closed_sites(flow)
    for site, calls in layers(flow).items():
        path, total = site.rpartition("/")[0], calls[0].width
        if site in closed or path in schedule.whole or calls[0].kind != "layer" or calls[0].node.op != "call_module":
            continue  # a bare parameter is nobody's to split either
        kept = leading(total, schedule.width, calls[0].module)
        if kept < total:
            gone[site] = beyond(schedule.order.get(site), kept, total, calls[0].module)
    for last in dropped(outline, schedule):
        site = next(site for site in layers(flow) if site.rpartition("/")[0] == last)
        gone[site] = list(range(layers(flow)[site][0].width))
    return without_shifts(flow.traced, silent(flow, gone))


def without_shifts(traced: Traced, masked: Sites) -> Sites:
    """`masked`, with the channels of every norm that reads nothing but what is missing: a shift of nothing is not there either."""
    while True:
        flow = provenance(traced, masked, {})
        more = {
            f"{op.path}/norm": torch.nonzero((op.state == CONST) & (op.const != 0)).flatten().tolist()
            for op in flow.ops
            if op.kind == "norm"
        }
        more = {site: units for site, units in more.items() if units}
        if not more:
            return masked
        masked = {site: sorted({*masked.get(site, []), *more.get(site, [])}) for site in {**masked, **more}}


def leading(total: int, width: float, module: nn.Module | None) -> int:
    """How many of a layer's units a level has: whole conv groups, at least one."""
    groups = 1 if module is None else num_groups(module)
    unit = total // groups if 1 < groups < total else 1
    return max(1, math.ceil(round(width * total / unit, 9))) * unit


def beyond(order: Tensor | None, kept: int, total: int, module: nn.Module | None) -> list[int]:
    """The units that a level lacks, `kept` it has; of conv groups whole ones, by their first unit in the order."""
    if order is None:
        return list(range(kept, total))
    groups = 1 if module is None else num_groups(module)
    if 1 < groups < total:
        per = total // groups
        first = list(dict.fromkeys((order // per).tolist()))[kept // per :]
        return sorted(group * per + i for group in first for i in range(per))
    return sorted(order[kept:].tolist())


def dropped(outline: Outline, schedule: Schedule) -> list[str]:
    """The last layers of the branches that a level lacks: of each stage's blocks all but the first, rounded, at least one.

    Only blocks whose input goes on unchanged can be left out.
    """
    out = []
    for stage, blocks in outline.stages:
        kept = max(1, round(schedule.depth * len(blocks)))
        order = schedule.blocks.get(stage, range(len(blocks)))
        out += [blocks[i].convs[-1] for i in sorted(order[kept:]) if blocks[i].skip == "identity"]
    return out


def elements(tensor: torch.Tensor) -> torch.Tensor:
    """The number of every element of a tensor, in its shape: what a cut takes is seen from what it makes of these."""
    return torch.arange(tensor.numel(), dtype=torch.float64).view(tensor.shape)

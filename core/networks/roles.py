"""What each layer of a network is there for: which a method may thin out, and which it must leave as they are."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from core.networks.describe import outline_of


@dataclass(frozen=True)
class Role:
    """`first`: reads the image. `scores`: gives the class scores. `shortcut`: lies on a skip path. `branch`: beside one."""

    first: bool = False
    scores: bool = False
    shortcut: bool = False
    branch: bool = False


def roles(network: nn.Module) -> dict[str, Role]:
    """The role of every convolution and linear layer of a network, by path, in order."""
    outline = outline_of(network)
    shortcuts, branches = set[str](), set[str]()
    order = list(outline.stem)
    for _, blocks in outline.stages:
        for block in blocks:
            order += block.convs
            if block.skip not in ("none", "gate"):
                branches.update(block.convs)
            if block.shortcut is not None:
                order.append(block.shortcut)
                shortcuts.add(block.shortcut)
    order += outline.head
    return {
        path: Role(path == order[0], path == order[-1], path in shortcuts, path in branches)
        for path in dict.fromkeys(order)
    }

"""What residual networks share: a stem `conv`, stages `stage1`, `stage2`, ... of blocks that describe themselves, a head `fc`."""

from __future__ import annotations

from typing import Protocol, cast

from torch import nn

from core.networks.describe import BlockOutline, Outline, Structure


class DescribedBlock(Protocol):
    """A residual block that says where its structures live and how it is drawn."""

    def structures(self, path: str) -> list[Structure]:
        """Sites of the block at `path`."""

    def outline(self, path: str) -> BlockOutline:
        """The block at `path` by paths."""


class Staged(nn.Module):
    """A network of stages of residual blocks."""

    def structures(self) -> list[Structure]:
        """Where scaling factors may sit, in forward order."""
        return [s for name in self._stages() for path, block in self._blocks(name) for s in block.structures(path)]

    def outline(self) -> Outline:
        """The network by paths, for drawing."""
        stages = tuple(
            (name, tuple(block.outline(path) for path, block in self._blocks(name))) for name in self._stages()
        )
        return Outline(("conv",), stages, ("fc",))

    def _stages(self) -> list[str]:
        return [name for name, _ in self.named_children() if name.startswith("stage")]

    def _blocks(self, stage: str) -> list[tuple[str, DescribedBlock]]:
        children = enumerate(self.get_submodule(stage).children())
        return [(f"{stage}.{i}", cast(DescribedBlock, block)) for i, block in children]

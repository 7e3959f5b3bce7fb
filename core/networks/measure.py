"""The layout of a network: its outline with sizes, MACs and parameters, from one forward pass without weights."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from core.networks.construct import Described
from core.networks.describe import Block, BlockOutline, Conv, Layout, Stage, Structure


def layout(name: str, skeleton: nn.Module, in_channels: int, image_size: int) -> Layout:
    """What the screen draws of ``skeleton``, a network on the meta device."""
    network = cast(Described, skeleton)
    outline, sizes = network.outline(), _output_sizes(skeleton, in_channels, image_size)
    structures = network.structures()
    block_sites = {s.layer: s.site for s in structures if s.kind == "block"}
    groups = {s.layer: s for s in structures if s.kind == "group"}

    def conv(path: str, with_site: bool = True) -> Conv:
        return _conv(path, skeleton.get_submodule(path), sizes[path], with_site, groups.get(path))

    def block(seen: BlockOutline, label: str) -> Block:
        convs = [conv(path) for path in seen.convs]
        if seen.shortcut is not None:
            convs.append(conv(seen.shortcut, with_site=False))
        return Block(seen.path, label, seen.skip, block_sites.get(seen.convs[-1]), tuple(convs))

    stages = []
    for number, (path, seen) in enumerate(outline.stages, 1):
        blocks = tuple(block(one, f"{number}.{i}") for i, one in enumerate(seen, 1))
        last = conv(seen[-1].convs[-1])
        stages.append(Stage(f"Stage {number}", path, last.total, last.size, blocks))
    stem = tuple(conv(path) for path in outline.stem)
    head = tuple(conv(path, with_site=path != outline.head[-1]) for path in outline.head)
    convs = [*stem, *(c for stage in stages for b in stage.blocks for c in b.convs), *head]
    return Layout(name, stem, tuple(stages), head, sum(c.macs for c in convs), sum(c.params for c in convs))


def _output_sizes(skeleton: nn.Module, in_channels: int, image_size: int) -> dict[str, int]:
    """The side in pixels of what every convolution gives; 1 for linear layers."""
    sizes: dict[str, int] = {}

    def keep(path: str):
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            sizes[path] = output.shape[-1] if output.dim() == 4 else 1

        return hook

    handles = [
        module.register_forward_hook(keep(path))
        for path, module in skeleton.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    try:
        with torch.no_grad():
            skeleton.eval()(torch.empty(1, in_channels, image_size, image_size, device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    return sizes


def _conv(path: str, module: nn.Module, size: int, with_site: bool, groups: Structure | None) -> Conv:
    assert isinstance(module, nn.Conv2d | nn.Linear)
    total, weights = groups.total if groups else module.weight.shape[0], module.weight.numel()
    kind, kernel = ("filter", module.kernel_size[0]) if isinstance(module, nn.Conv2d) else ("neuron", 1)
    return Conv(
        path=path,
        site=groups.site if groups else f"{path}/{kind}" if with_site else None,
        label="shortcut" if "shortcut" in path.split(".") else path.split(".")[-1],
        total=total,
        inputs=module.weight.shape[1],
        kernel=kernel,
        size=size,
        macs=weights * size * size,
        params=sum(p.numel() for p in module.parameters()),
    )

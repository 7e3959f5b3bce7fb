"""The layout of a network: its outline with sizes, MACs and parameters, from one forward pass without weights."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn

from core.networks.describe import (
    Block,
    BlockOutline,
    Conv,
    Layout,
    Stage,
    Structure,
    input_shape_of,
    outline_of,
    own_description,
    structures_of,
)


def layout(name: str, network: nn.Module, in_channels: int, image_size: int) -> Layout:
    """What the screen draws of ``network``, which may be a skeleton on the meta device."""
    outline, outputs = outline_of(network), _outputs(network, in_channels, image_size)
    structures = structures_of(network)
    block_sites = {s.layer: s.site for s in structures if s.kind == "block"}
    groups = {s.layer: s for s in structures if s.kind == "group"}
    own = own_description(network)

    def conv(path: str, with_site: bool = True, label: str = "") -> Conv:
        made = _conv(path, network.get_submodule(path), outputs[path], groups.get(path))
        reads = own.reads.get(path, {}) if own else None
        return replace(made, site=made.site if with_site else None, label=label or made.label, reads=reads)

    def block(seen: BlockOutline, label: str) -> Block:
        convs = [conv(path) for path in seen.convs]
        if seen.shortcut is not None:
            convs.append(conv(seen.shortcut, with_site=False, label="shortcut"))
        return Block(seen.path, label, seen.skip, block_sites.get(seen.convs[-1]), tuple(convs))

    stages = []
    for number, (path, seen) in enumerate(outline.stages, 1):
        blocks = tuple(block(one, f"{number}.{i}") for i, one in enumerate(seen, 1))
        wide = [one for one, made in zip(seen, blocks, strict=True) if made.skip != "gate"] or list(seen)
        ends = [conv(one) for one in wide[-1].convs]
        last = next((one for one in reversed(ends) if one.size > 1), ends[-1])  # a block may end in a gate's vector
        channels = 0 if wide[-1].skip in ("concat", "way") else last.total
        stages.append(Stage(f"Stage {number}", path, channels, last.size, blocks))
    stem = tuple(conv(path) for path in outline.stem)
    head = tuple(conv(path, with_site=path != outline.head[-1]) for path in outline.head)
    convs = [*stem, *(c for stage in stages for b in stage.blocks for c in b.convs), *head]
    return Layout(name, stem, tuple(stages), head, sum(c.macs for c in convs), sum(c.params for c in convs))


def example_of(network: nn.Module) -> torch.Tensor:
    """(1, C, H, W): an image of zeros, of the type and on the device of the network's weights."""
    like = next(network.parameters())
    return torch.zeros(1, *input_shape_of(network), dtype=like.dtype, device=like.device)


class _Output(NamedTuple):
    """Of a layer: the side of its output in pixels, 1 for linear layers, and at how many places it works, all calls together."""

    size: int
    places: int


def _outputs(network: nn.Module, in_channels: int, image_size: int) -> dict[str, _Output]:
    found: dict[str, _Output] = {}

    def keep(path: str):
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            image = isinstance(module, nn.Conv2d)
            places = output[0, 0].numel() if image else output[0, ..., 0].numel()
            before = found[path].places if path in found else 0
            found[path] = _Output(output.shape[-1] if image else 1, before + places)

        return hook

    handles = [
        module.register_forward_hook(keep(path))
        for path, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    try:
        device = next(network.parameters()).device
        with torch.no_grad():
            network.eval()(torch.zeros(1, in_channels, image_size, image_size, device=device))
    finally:
        for handle in handles:
            handle.remove()
    return found


def _conv(path: str, module: nn.Module, output: _Output, groups: Structure | None) -> Conv:
    assert isinstance(module, nn.Conv2d | nn.Linear)
    total, weights = groups.total if groups else module.weight.shape[0], module.weight.numel()
    kind, kernel = ("filter", module.kernel_size[0]) if isinstance(module, nn.Conv2d) else ("neuron", 1)
    return Conv(
        path=path,
        site=groups.site if groups else f"{path}/{kind}",
        label=path.split(".")[-1],
        total=total,
        inputs=module.weight.shape[1],
        kernel=kernel,
        size=output.size,
        macs=weights * output.places,
        params=sum(p.numel() for p in module.parameters()),
    )

"""Parameter-free shortcuts elsewhere put half of their zero channels in front: the same network, its channels numbered otherwise.

He et al. (CVPR 2016, option A) do not say where the extra zero channels go. Here all stand behind the input's; much public
code puts half of them on each side (planes // 4 of a stage's planes). Renumbering the channels of each stage turns the one
into the other, exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.networks.resnet import BasicBlock


def has_padded_shortcuts(network: nn.Module) -> bool:
    """Whether some block's shortcut adds zero channels."""
    return any(isinstance(m, BasicBlock) and m.skip == "pad" for m in network.modules())


@torch.no_grad()
def renumber(network: nn.Module) -> None:
    """Weights learned with zero channels on both sides, as this network (zero channels behind) has to hold them; in place."""
    order = torch.arange(0)
    for block in (m for m in network.modules() if isinstance(m, BasicBlock)):
        before = order if len(order) else torch.arange(block.conv1.in_channels)
        extra = block.conv2.out_channels - len(before)
        front = extra // 2
        order = torch.cat([front + before, torch.arange(front), torch.arange(front + len(before), len(before) + extra)])
        block.conv1.weight.copy_(block.conv1.weight[:, before])
        block.conv2.weight.copy_(block.conv2.weight[order])
        for tensor in (block.bn2.weight, block.bn2.bias, block.bn2.running_mean, block.bn2.running_var):
            assert isinstance(tensor, Tensor)
            tensor.copy_(tensor[order])
    for module in network.children():
        if isinstance(module, nn.Linear):
            module.weight.copy_(module.weight[:, order])

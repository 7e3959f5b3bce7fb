"""Where a run stands: the tensors that a checkpoint holds, and how they are put back, so that training goes on bit-identically."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core import checkpoint
from core.compacting import Compacted
from core.config import RunConfig
from core.errors import BadInput
from core.methods.base import MethodRun
from core.own import put_weights


def tensors_of(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    method: MethodRun,
    average: list[Tensor],
    order: torch.Generator,
    compacted: Compacted | None,
) -> dict[str, Tensor]:
    """Weights, momenta, the method's own state, the average of weights and the order of images, by name; what a compact network carries."""
    momenta = [state["momentum_buffer"] for p in trained(optimizer) if (state := optimizer.state[p])]
    tensors = {f"weights/{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"momentum/{i:05d}": m for i, m in enumerate(momenta)}
    tensors |= {f"method/{k}": v for k, v in method.state_tensors().items()}
    tensors |= {f"average/{i:05d}": tensor for i, tensor in enumerate(average)}
    if compacted:
        tensors |= {f"compacted/{k}": v for k, v in compacted.state_tensors().items()}
    return tensors | {"order": order.get_state()}


def read(file: Path, config: RunConfig) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, facts) of a checkpoint to go on from; BadInput where it holds weights only, or is of other settings."""
    tensors, facts = checkpoint.load(file)
    if "order" not in tensors:
        raise BadInput(
            f"{file} must hold the whole state to train on; it holds weights only (an export); it can be asked and cut, not continued"
        )
    if RunConfig.model_validate(facts["config"]) != config:
        raise BadInput(f"{file} must be of the same settings as the run; they differ; start a new run instead")
    return tensors, facts


def put_back_network(tensors: dict[str, Tensor], network: nn.Module, method: MethodRun) -> None:
    """Weights and the method's own state, in place."""
    put_weights(network, part(tensors, "weights/"), "the checkpoint")
    method.load_state_tensors(part(tensors, "method/"))


def put_back(
    tensors: dict[str, Tensor], optimizer: torch.optim.Optimizer, average: list[Tensor], order: torch.Generator
) -> None:
    """Momenta, the average of weights and the order of images, in place."""
    momenta = part(tensors, "momentum/")
    if momenta:
        for parameter, momentum in zip(trained(optimizer), momenta.values(), strict=True):
            optimizer.state[parameter]["momentum_buffer"] = momentum.to(
                parameter.device, memory_format=torch.preserve_format
            )
    for tensor, kept in zip(average, part(tensors, "average/").values(), strict=True):
        tensor.copy_(kept)
    order.set_state(tensors["order"])


def trained(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The parameters of an optimizer, group by group."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, without the beginning."""
    return {name.removeprefix(prefix): tensor for name, tensor in sorted(tensors.items()) if name.startswith(prefix)}


def averaged(network: nn.Module) -> list[Tensor]:
    """What an average of weights is taken over: parameters and the norms' statistics."""
    buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    return [parameter.detach() for parameter in network.parameters()] + buffers

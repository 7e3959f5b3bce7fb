"""Cutting an optimizer along with its network: momentum and moments are cut as the weights are, so no zero revives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from core.errors import BadInput
from core.structure.build import Origin
from core.structure.plan import RemovalPlan
from core.structure.surgery import built, flow_of
from core.structure.trace import Example, trace


def apply_with_optimizer(
    plan: RemovalPlan, model: nn.Module, example: Example, optimizer: torch.optim.Optimizer
) -> tuple[fx.GraphModule, torch.optim.Optimizer]:
    """As `apply`, and an optimizer of the same class and settings for the compact network.

    State tensors shaped like their parameter are cut like it; other state (a step count) is copied. Carried constants are
    in no group. BadInput where the optimizer holds a parameter that is not the model's.
    """
    compact, origins = built(plan, flow_of(plan, trace(model, example)))
    names = {parameter: name for name, parameter in model.named_parameters()}
    settings = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter not in names:
                raise BadInput(
                    f"the optimizer must hold the model's own parameters; got one of shape {tuple(parameter.shape)} that "
                    "is not; make the optimizer from model.parameters()"
                )
            settings[names[parameter]] = (group, parameter)
    return compact, moved(optimizer, compact, origins, settings)


def moved(
    optimizer: torch.optim.Optimizer, compact: nn.Module, origins: dict[str, Origin], settings: dict[str, Any]
) -> torch.optim.Optimizer:
    """The new optimizer: groups in the old order, each with what is left of its parameters."""
    held: dict[int, list[Tensor]] = {id(group): [] for group in optimizer.param_groups}
    state: dict[Tensor, dict[str, Any]] = {}
    for name, parameter in compact.named_parameters():
        origin = origins.get(name)
        if origin is None or origin.source not in settings:
            continue
        group, old = settings[origin.source]
        held[id(group)].append(parameter)
        state[parameter] = {
            key: cut(value, old, origin, parameter) for key, value in optimizer.state.get(old, {}).items()
        }
    groups = [{**group, "params": held[id(group)]} for group in optimizer.param_groups if held[id(group)]]
    new = type(optimizer)(groups, **optimizer.defaults)
    new.state.update({parameter: values for parameter, values in state.items() if values})
    return new


def cut(value: Any, old: Tensor, origin: Origin, parameter: Tensor) -> Any:
    """One entry of a parameter's state."""
    if not isinstance(value, Tensor):
        return value
    if value.shape != old.shape or not old.dim():
        return value.clone()
    return origin.cut(value).reshape(parameter.shape).clone()

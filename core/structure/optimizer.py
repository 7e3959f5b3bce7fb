"""Cutting an optimizer along with its network: momentum and moments are cut as the weights are, so no zero revives."""

from __future__ import annotations

import inspect
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
    in no group; weights that pad conv groups to one size get no gradient. BadInput where the optimizer holds a parameter that
    is not the model's, or none that stays.
    """
    compact, origins = built(plan, flow_of(plan, trace(model, example)), trains=True)
    names: dict[Tensor, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):  # a tied weight has several names
        names.setdefault(parameter, []).append(name)
    settings: dict[str, tuple[dict[str, Any], Tensor]] = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter not in names:
                raise BadInput(
                    f"the optimizer must hold the model's own parameters; got one of shape {tuple(parameter.shape)} that "
                    "is not; make the optimizer from model.parameters()"
                )
            settings |= dict.fromkeys(names[parameter], (group, parameter))
    return compact, moved(optimizer, compact, origins, settings)


def moved(
    optimizer: torch.optim.Optimizer, compact: nn.Module, origins: dict[str, Origin], settings: dict[str, Any]
) -> torch.optim.Optimizer:
    """The new optimizer: groups in the old order, each with what is left of its parameters."""
    held: dict[int, list[Any]] = {id(group): [] for group in optimizer.param_groups}
    state: dict[Tensor, dict[str, Any]] = {}
    for name, parameter in compact.named_parameters():
        origin = origins.get(name)
        if origin is None or origin.source not in settings:
            continue
        group, old = settings[origin.source]
        held[id(group)].append((name, parameter) if "param_names" in group else parameter)
        state[parameter] = cut_state(optimizer.state.get(old, {}), old, origin, parameter)
    groups = [
        {key: value for key, value in group.items() if key != "param_names"} | {"params": held[id(group)]}
        for group in optimizer.param_groups
        if held[id(group)]
    ]
    if not groups:
        raise BadInput("the optimizer must hold a parameter that stays in the compact network; none does; use apply")
    new = type(optimizer)(groups, **taken(optimizer))
    new.defaults = dict(optimizer.defaults)
    new.state.update({parameter: values for parameter, values in state.items() if values})
    return new


def taken(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The defaults that the constructor takes; an optimizer may hold more (AdamW: that it is a decoupled Adam)."""
    parameters = inspect.signature(type(optimizer)).parameters
    every = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return {name: value for name, value in optimizer.defaults.items() if every or name in parameters}


def cut_state(state: dict[str, Any], old: Tensor, origin: Origin, parameter: Tensor) -> dict[str, Any]:
    """A parameter's state: tensors shaped like it are cut like it, numbers copied. BadInput for any other shape."""
    for name, value in state.items():
        if isinstance(value, Tensor) and value.numel() > 1 and value.shape != old.shape:
            raise BadInput(
                f"the optimizer's state must be numbers or tensors shaped like their parameter, {tuple(old.shape)}; got "
                f"{name} of shape {tuple(value.shape)}, as Adafactor keeps; make a new optimizer for the compact network"
            )
    return {key: cut(value, old, origin, parameter) for key, value in state.items()}


def cut(value: Any, old: Tensor, origin: Origin, parameter: Tensor) -> Any:
    """One entry of a parameter's state."""
    if not isinstance(value, Tensor):
        return value
    if value.shape != old.shape or not old.dim():
        return value.clone()
    return origin.cut(value).reshape(parameter.shape).clone()

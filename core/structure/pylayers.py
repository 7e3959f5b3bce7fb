"""The layers of a network as the statements that make them: `self.stage1[0].conv1 = nn.Conv2d(16, 12, 3, padding=1)`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from torch import Tensor, fx, nn

from core.errors import BadInput
from core.structure.graphjson import check_name, decode_module, encode_module, settings_of
from core.structure.pytext import Call, literal, statement

ONE_NUMBER = ("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size")  # (3, 3) is 3


def layer_lines(compact: fx.GraphModule) -> Iterator[str]:
    """The body of `__init__`, in the order of the state dict: a line for every group, layer, parameter and buffer."""
    called = {str(node.target) for node in compact.graph.nodes if node.op == "call_module"}
    top, tensors = "", bool(compact._parameters or compact._buffers)
    for path, module in compact.named_modules(remove_duplicate=False):
        if any(path.startswith(f"{layer}.") for layer in called):
            continue
        before, top = top, path.split(".")[0]
        if top != before and not {top, before} <= called and (before or tensors):
            yield ""
        if path not in called:
            yield from statement(8, f"{access(path)} = ", "Group()") if path else ()
            yield from tensor_lines(access(path), module, nn.Module())
            continue
        frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
        whole = bool(frozen) and len(frozen) == sum(1 for _ in module.parameters())
        yield from statement(8, f"{access(path)} = ", constructor(path, module), ".requires_grad_(False)" * whole)
        yield from tensor_lines(access(path), module, decode_module(encode_module(module)))
        yield from (f"        {access(f'{path}.{name}')}.requires_grad_(False)" for name in sorted(frozen) if not whole)


def tensor_lines(place: str, module: nn.Module, fresh: nn.Module) -> Iterator[str]:
    """Parameters and buffers of `module` that `fresh`, what its constructor makes, does not have."""
    for name, parameter in module._parameters.items():
        if parameter is not None and name not in fresh._parameters:
            check_name(name, BadInput, part=True)
            frozen = ("requires_grad=False",) * (not parameter.requires_grad)
            made = Call("nn.Parameter(", (empty(parameter), *frozen))
            if plain_attribute_name(name):
                yield from statement(8, f"{place}.{name} = ", made)
            else:
                yield from statement(8, "", Call(f"{place}.register_parameter(", (f'"{name}"', made)))
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in fresh._buffers:
            check_name(name, BadInput, part=True)
            yield from statement(8, "", Call(f"{place}.register_buffer(", (f'"{name}"', empty(buffer))))


def empty(tensor: Tensor) -> Call:
    """`torch.empty(3, 4)`; the type where it is no number with a point."""
    kind = () if tensor.is_floating_point() else (f"dtype={tensor.dtype}",)
    return Call("torch.empty(", (*(map(str, tensor.shape) if tensor.dim() else ["()"]), *kind))


def constructor(path: str, module: nn.Module) -> Call:
    """`nn.Conv2d(16, 12, 3, padding=1)`: what has no default by position, and what differs from its default by name."""
    settings = settings_of(module)
    if settings is None:
        raise BadInput(f"{path} must be a plain torch.nn layer to be written as source; got {type(module).__name__}")
    settings = {name: one(value) if name in ONE_NUMBER else value for name, value in settings.items()}
    items: list[str | Call] = []
    for name, parameter in inspect.signature(type(module).__init__).parameters.items():
        if name in settings and parameter.default is inspect.Parameter.empty:
            items.append(literal(settings[name]))
        elif name in settings and not is_default(name, settings, parameter.default):
            items.append(f"{name}={literal(settings[name])}")
    return Call(f"nn.{type(module).__name__}(", tuple(items))


def one(value: Any) -> Any:
    return value[0] if isinstance(value, tuple | list) and len(set(value)) == 1 else value


def is_default(name: str, settings: dict[str, Any], default: Any) -> bool:
    """Whether a setting need not be said: a pool's stride is its kernel's size, and no bias goes without affine."""
    if name == "bias" and not settings.get("affine", settings.get("elementwise_affine", True)):
        return True
    return settings[name] == default or (
        name == "stride" and default is None and settings[name] == settings["kernel_size"]
    )


def access(path: str) -> str:
    """`self.stage1[0].conv1`; `self["0_carry"]` where a name is no plain attribute."""
    text = "self"
    for part in path.split(".") if path else ():
        check_name(part, BadInput, part=True)
        key = part if part.isdigit() and str(int(part)) == part else f'"{part}"'
        text += f".{part}" if plain_attribute_name(part) else f"[{key}]"
    return text


def plain_attribute_name(name: str) -> bool:
    """Whether `self.name` reads what was put under that name: two underscores would be mangled inside a class."""
    return name.isidentifier() and not name.startswith("__")

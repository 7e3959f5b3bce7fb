"""Well-known networks, written here from their papers: each once, as a tiny network and at its full size.

Also how to give them weights under which the output depends on the input, and how to set some of their units to zero.
Nothing here uses the knife.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import zoo_branches as branches
import zoo_mobile as mobile
import zoo_other as other
import zoo_residual as residual
from torch import Tensor, fx, nn

torch.set_num_threads(1)  # test processes share the cores

Shape = tuple[int, ...]
LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
NORMS = (*BATCH_NORMS, nn.LayerNorm, nn.GroupNorm)
KINDS = ("all", "scale", "filter")
IMAGES = 4  # statistics are measured on at least so many
GAIN = 2.0  # unbounded gains behind squeezed images compound: outputs of 270, float32 noise 20 times larger


class Entry(NamedTuple):
    """A network of the zoo: how to make it in both sizes, and the inputs (with batch) that either takes."""

    small: Callable[[], nn.Module]
    full: Callable[[], nn.Module]
    example: Shape = (4, 3, 32, 32)
    second: Shape | None = (4, 3, 40, 24)
    full_shape: Shape = (1, 3, 224, 224)


ZOO = {
    "vgg": Entry(other.vgg_small, other.vgg_full, (4, 3, 16, 16), (4, 3, 24, 32)),
    "vgg11": Entry(other.vgg11_small, other.vgg11_full, (4, 3, 16, 16), (4, 3, 24, 32)),
    "resnet18": Entry(residual.resnet18_small, residual.resnet18_full),
    "resnet50": Entry(residual.resnet50_small, lambda: residual.ResNet(3, 64, residual.bottlenecks(64), 1000)),
    "preresnet": Entry(
        residual.preresnet_small, lambda: residual.PreResNet(64, residual.bottlenecks(64), 1000, large=True)
    ),
    "resnext50": Entry(residual.resnext50_small, lambda: residual.ResNet(3, 64, residual.bottlenecks(128, 32), 1000)),
    "wideresnet": Entry(
        residual.wideresnet_small, residual.wideresnet_full, (4, 3, 16, 16), (4, 3, 20, 12), (1, 3, 32, 32)
    ),
    "densenet": Entry(branches.densenet_small, branches.densenet_full),
    "googlenet": Entry(branches.googlenet_small, branches.googlenet_full),
    "mobilenet_v2": Entry(mobile.mobilenet_v2_small, mobile.mobilenet_v2_full),
    "mobilenet_v3": Entry(mobile.mobilenet_v3_small, mobile.mobilenet_v3_full),
    "efficientnet": Entry(mobile.efficientnet_small, mobile.efficientnet_full),
    "regnet": Entry(residual.regnet_small, residual.regnet_full),
    "shufflenet_v2": Entry(mobile.shufflenet_v2_small, mobile.shufflenet_v2_full),
    "squeezenet": Entry(branches.squeezenet_small, branches.squeezenet_full),
    "unet": Entry(branches.unet_small, branches.unet_full, (4, 3, 16, 16), (4, 3, 20, 12), (1, 3, 128, 128)),
    "vit": Entry(other.vit_small, other.vit_full, (4, 3, 16, 16), None),
    "convnext": Entry(other.convnext_small, other.convnext_full),
    "mlp_residual": Entry(
        lambda: residual.ResidualMLP(10, 12, (17, 15), 5),
        lambda: residual.ResidualMLP(32, 1024, (1024, 1024), 48),
        *((4, 10), None, (1, 32)),
    ),
    "net1d": Entry(residual.net1d_small, residual.net1d_full, (4, 4, 64), (4, 4, 50), (1, 12, 1000)),
    "net3d": Entry(
        *(residual.net3d_small, residual.net3d_full),
        *((4, 3, 6, 16, 16), (4, 3, 8, 12, 20), (1, 3, 16, 112, 112)),
    ),
    "lenet_flatten": Entry(other.lenet_flatten_small, other.lenet_flatten_full, (4, 3, 16, 16), None, (1, 1, 32, 32)),
}


def names() -> list[str]:
    """The networks of the zoo."""
    return list(ZOO)


def small(name: str) -> nn.Module:
    """The tiny network: a few blocks of 2 to 24 units, 5 classes."""
    return ZOO[name].small()


def full(name: str) -> nn.Module:
    """The network at the size people use, from the same definition as the tiny one."""
    return ZOO[name].full()


def example_shape(name: str) -> Shape:
    """An input of the tiny network, four images."""
    return ZOO[name].example


def second_shape(name: str) -> Shape | None:
    """An input of another size and form that the tiny network takes too; None where the size is fixed."""
    return ZOO[name].second


def full_shape(name: str) -> Shape:
    """An input of the full network, one image."""
    return ZOO[name].full_shape


def count_units(model: nn.Module) -> dict[str, int]:
    """Output channels of every convolution and output features of every linear layer, by module path."""
    return {path: units_of(m) for path, m in model.named_modules() if isinstance(m, LAYERS)}


def units_of(layer: nn.Module) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


@torch.no_grad()
def settle(model: nn.Module, shape: Shape, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Draw every weight, and set scales, offsets and statistics by what a batch makes of them; in place, eval mode.

    Weights drawn blindly make deep networks say the same to every image, and then any cut agrees. So each layer is
    rescaled towards outputs of mean square deviation 1 (by at most GAIN), and its bias, if any, puts each unit's mean at N(0, 0.5) deviations
    (Mishkin and Matas 2016); each BatchNorm gets the statistics that training mode would measure, its mean then moved
    by 0.2 deviations and its variance by a factor of 0.7 to 1.4. One pass: what follows is measured behind what was
    moved. gamma is 0.5 to 1.5, beta N(0, 0.5), raw parameters 0.5 to 1 with either sign. The batch is `shape`, but of
    at least 4 images.
    """
    g = torch.Generator().manual_seed(seed)
    model.to(dtype).eval()
    for module in model.modules():
        draw(module, g)
    hooks = [m.register_forward_hook(lambda m, x, y: rescale(m, x, y, g)) for m in model.modules() if is_layer(m)]
    hooks += [
        m.register_forward_pre_hook(lambda m, x: measure(m, x[0], g)) for m in model.modules() if is_batch_norm(m)
    ]
    images = torch.randn((max(shape[0], IMAGES), *shape[1:]), generator=g, dtype=torch.float64)
    try:
        model(images.to(next(model.parameters())))
    finally:
        for hook in hooks:
            hook.remove()
    return model


def is_layer(module: nn.Module) -> bool:
    return isinstance(module, LAYERS)


def is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, BATCH_NORMS)


def normal(size: Shape, g: torch.Generator) -> Tensor:
    return torch.randn(size, generator=g, dtype=torch.float64)


def uniform(size: Shape, g: torch.Generator) -> Tensor:
    return torch.rand(size, generator=g, dtype=torch.float64)


def draw(module: nn.Module, g: torch.Generator) -> None:
    """Set a module's own parameters."""
    for name, parameter in module.named_parameters(recurse=False):
        if name == "bias":
            parameter.copy_(0.5 * normal(parameter.shape, g))
        elif is_layer(module):
            parameter.copy_(normal(parameter.shape, g) * (2 / parameter[0].numel()) ** 0.5)
        elif isinstance(module, NORMS):
            parameter.copy_(0.5 + uniform(parameter.shape, g))
        else:
            parameter.copy_((0.5 + 0.5 * uniform(parameter.shape, g)) * normal(parameter.shape, g).sign())


def rescale(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, g: torch.Generator) -> Tensor:
    """Bring a layer's outputs to mean square deviation 1 and, by its bias, to small means; its new output."""
    var, mean = torch.var_mean(by_unit(output, -1 if isinstance(layer, nn.Linear) else 1), 1)
    gain = (1 / var.mean().sqrt()).clamp_max(GAIN)
    layer.weight.mul_(gain)
    if layer.bias is not None:
        offset = 0.5 * var.sqrt() * normal(var.shape, g).to(var)
        layer.bias.copy_(gain * (layer.bias - mean + offset))
    return type(layer).forward(layer, *inputs)


def measure(norm: nn.Module, x: Tensor, g: torch.Generator) -> None:
    """Set a BatchNorm's running statistics to those of its input, moved a little."""
    var, mean = torch.var_mean(by_unit(x, 1), 1)
    var = var.clamp_min(1e-3 * float(var.mean()))  # a channel that this batch leaves silent
    norm.running_mean.copy_(mean + 0.2 * var.sqrt() * normal(var.shape, g).to(var))
    norm.running_var.copy_(var * (0.7 + 0.7 * uniform(var.shape, g).to(var)))


def by_unit(values: Tensor, dim: int) -> Tensor:
    """(units, everything else)."""
    return values.movedim(dim, 0).flatten(1)


def followed(model: nn.Module) -> tuple[dict[str, str], str]:
    """The norm directly behind each layer that has one, by module path; and the path of the last layer.

    Directly behind: it takes what the layer returns and nothing else happens to that, an in-place write included; only
    a LayerNorm may stand behind a permutation too, which puts the channels last.
    """
    modules = dict(model.named_modules())
    behind, last = {}, ""
    for node in fx.Tracer().trace(model).nodes:
        if node.op == "call_module" and is_layer(modules[node.target]):
            last = str(node.target)
            norm = next((n for user in node.users if (n := norm_at(user, modules, units_of(modules[last])))), None)
            if norm:
                behind[last] = norm
    return behind, last


def norm_at(node: fx.Node, modules: dict[str, nn.Module], units: int) -> str | None:
    """The path of the norm that this reader of a layer's output is, or, behind a permutation, leads to."""
    if node.op == "call_module" and isinstance(modules[node.target], NORMS):
        norm = modules[node.target]
        fits = not isinstance(norm, nn.LayerNorm) or norm.normalized_shape == (units,)
        return str(node.target) if fits else None
    if node.op == "call_method" and node.target == "permute":
        behind = (u for u in node.users if u.op == "call_module" and isinstance(modules[u.target], nn.LayerNorm))
        return next((path for u in behind if (path := norm_at(u, modules, units))), None)
    return None


@torch.no_grad()
def zero(model: nn.Module, kind: str, seed: int, share: float = 0.4) -> dict[str, list[int]]:
    """Set random output units of every layer but the last to zero, in place; the units by module path.

    "all": a unit's filter, its bias, and gamma and beta of the norm directly behind. "scale": gamma alone, where there
    is such a norm. "filter": the filter alone. `share` of each layer's units, never all of them.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    g = torch.Generator().manual_seed(seed)
    behind, last = followed(model)
    zeroed = {}
    for path, units in count_units(model).items():
        chosen = torch.randperm(units, generator=g)[: min(round(share * units), units - 1)].sort().values.tolist()
        layer = model.get_submodule(path)
        norm = model.get_submodule(behind[path]) if path in behind else None
        if path == last or not chosen or (kind == "scale" and norm is None):
            continue
        if kind != "scale":
            filters(layer)[chosen] = 0
        if kind == "all" and layer.bias is not None:
            layer.bias[chosen] = 0
        if kind != "filter" and norm is not None:
            norm.weight[chosen] = 0
        if kind == "all" and norm is not None:
            norm.bias[chosen] = 0
        zeroed[path] = chosen
    return zeroed


def filters(layer: nn.Module) -> Tensor:
    """A layer's weight with its output units first, as a view."""
    if not isinstance(layer, TRANSPOSED):
        return layer.weight
    if layer.groups != 1:
        raise ValueError(f"a transposed convolution must have 1 conv group; got {layer.groups}")
    return layer.weight.transpose(0, 1)

"""What the knife is tested against: networks whose output depends on their input, dead parts, and plain comparisons.

Nothing here uses the knife.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

torch.set_num_threads(1)  # the networks are tiny, and test processes share the cores


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def settle(model: nn.Module, shape: tuple[int, ...], seed: int = 0) -> nn.Module:
    """Draw weights, measure BatchNorm statistics on a batch in training mode, then jitter them; float64, eval mode.

    Statistics drawn blindly make deep networks say the same to every image, and then any cut agrees.
    """
    g = generator(seed)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    model.double()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            fan = parameter[0].numel()
            parameter.copy_(torch.randn(parameter.shape, generator=g, dtype=torch.float64) * (2 / fan) ** 0.5)
        else:
            parameter.copy_(torch.randn(parameter.shape, generator=g, dtype=torch.float64) * 0.5)
    for norm in norms:
        if norm.weight is not None:
            norm.weight.copy_(torch.rand(norm.weight.shape, generator=g) + 0.5)
        norm.momentum = None
    model.train()(torch.randn(shape, generator=g, dtype=torch.float64))
    for norm in norms:
        norm.momentum = 0.1
        if norm.running_mean is not None:
            size = norm.running_mean.shape
            norm.running_mean += 0.2 * norm.running_var.sqrt() * torch.randn(size, generator=g)
            norm.running_var *= 0.7 + 0.7 * torch.rand(size, generator=g)
    return model.eval()


@torch.no_grad()
def kill(model: nn.Module, seed: int, share: float = 0.4, whole: float = 0.1) -> nn.Module:
    """Set random filters, neurons and gammas to zero, now and then a whole layer, now and then input columns too."""
    g = generator(seed)

    def drawn(count: int) -> Tensor:
        return torch.rand(count, generator=g) < (1.0 if float(torch.rand((), generator=g)) < whole else share)

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and torch.rand((), generator=g) < 0.6:
            module.weight[drawn(len(module.weight))] = 0
            if torch.rand((), generator=g) < 0.2:
                module.weight[:, drawn(module.weight.shape[1])] = 0
        elif (
            isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine and torch.rand((), generator=g) < 0.6
        ):
            dead = drawn(len(module.weight))
            module.weight[dead] = 0
            if torch.rand((), generator=g) < 0.3:
                module.bias[dead] = 0
    return model


def difference(a: Tensor, b: Tensor) -> float:
    """Largest |a - b| over the scale of a; shapes must agree."""
    assert a.shape == b.shape, f"{tuple(a.shape)} against {tuple(b.shape)}"
    return float((a - b).abs().max() / a.abs().max().clamp_min(1e-30))


def spread(a: Tensor) -> float:
    """How much the output depends on the input: max |a - mean over the batch| / max |a|."""
    return float((a - a.mean(0)).abs().max() / a.abs().max().clamp_min(1e-30))


@torch.no_grad()
def silenced(model: nn.Module, sites: dict[str, list[int]]) -> nn.Module:
    """A copy whose named units have zero weights and zero biases."""
    model = copy.deepcopy(model)
    for site, units in sites.items():
        layer = model.get_submodule(site.rsplit("/", 1)[0])
        layer.weight[units] = 0
        if layer.bias is not None:
            layer.bias[units] = 0
    return model


class BasicBlock(nn.Module):
    """relu(bn2(conv2(act(bn1(conv1 x)))) + shortcut x), with a parameter-free or a projection shortcut."""

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, act: type = nn.ReLU, projection: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1, self.act1 = nn.BatchNorm2d(outputs), act()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2, self.act2 = nn.BatchNorm2d(outputs), act()
        self.extra, self.stride = outputs - inputs, stride
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if projection else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        if self.shortcut is not None:
            return self.act2(y + self.shortcut(x))
        if self.stride == 2:
            x = x[:, :, ::2, ::2]
        half = self.extra // 2
        return self.act2(y + (F.pad(x, (0, 0, 0, 0, half, self.extra - half)) if self.extra else x))


class PreBlock(nn.Module):
    """x + conv2(act(bn2(conv1(act(bn1 x)))))."""

    def __init__(self, width: int, act: type = nn.ReLU) -> None:
        super().__init__()
        self.bn1, self.bn2, self.act = nn.BatchNorm2d(width), nn.BatchNorm2d(width + 2), act()
        self.conv1 = nn.Conv2d(width, width + 2, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width + 2, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.act(self.bn2(self.conv1(self.act(self.bn1(x))))))


def resnet(act: type = nn.ReLU, projection: bool = False) -> nn.Module:
    """Stem of 6, blocks of 6, 10 and 10 channels, 5 classes."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), act()),
        BasicBlock(6, 6, act=act),
        BasicBlock(6, 10, 2, act=act, projection=projection),
        BasicBlock(10, 10, act=act),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(10, 5),
    )


def preresnet(act: type = nn.ReLU) -> nn.Module:
    head = (nn.BatchNorm2d(7), act(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 5))
    return nn.Sequential(nn.Conv2d(3, 7, 3, padding=1), PreBlock(7, act), PreBlock(7, act), *head)


def vgg(act: type = nn.ReLU) -> nn.Module:
    """8x8 images only: a flatten of (N, 9, 2, 2) feeds the linear layers."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), act(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 9, 3, padding=1), nn.BatchNorm2d(9), act(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(36, 11), act(), nn.Linear(11, 5)),
    )


class RandomNet(nn.Module):
    """A random graph: each step takes one or two earlier values. `fixed`: it takes one image size only."""

    def __init__(self, seed: int, steps: int = 9) -> None:
        super().__init__()
        self.draw = generator(seed)
        self.plan: list[tuple[str, tuple[int, ...], str]] = []
        self.layers = nn.ModuleDict()
        self.fixed = self.chance(0.25)
        small, large = torch.zeros(1, 3, 9, 9), torch.zeros(1, 3, 12, 12)
        values = [(small, large)]
        for _ in range(steps):
            for _ in range(50):
                if self.grow(values):
                    break
        self.finish(values)
        del self.draw

    def chance(self, p: float) -> bool:
        return bool(torch.rand((), generator=self.draw) < p)

    def pick(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self.draw))

    def grow(self, values: list) -> bool:
        """One random step, if it fits the value it is tried on (recent values are likelier)."""
        at = max(self.pick(len(values)), self.pick(len(values)))
        width = values[at][0].shape[1]
        choice = self.pick(24)
        inputs: tuple[int, ...] = (at,)
        if choice < 7:
            step, layer = "layer", self.conv(width)
        elif choice < 11:
            step, layer = "layer", nn.BatchNorm2d(width)
        elif choice < 16:
            fresh = at > 0 and isinstance(self.layers_of(at), nn.Conv2d | nn.BatchNorm2d)
            options = (nn.ReLU(inplace=fresh), nn.Sigmoid(), nn.Softplus(), nn.SiLU(), nn.Dropout(0.3), nn.Tanh())
            step, layer = "layer", options[self.pick(len(options))]
        elif choice < 18:
            options = (nn.MaxPool2d(2), nn.AvgPool2d(3, 1, 1), nn.AvgPool2d(2, ceil_mode=True), nn.MaxPool2d(3, 2, 1))
            step, layer = "layer", options[self.pick(len(options))]
        elif choice < 21:
            step, layer, inputs = ("cat" if self.chance(0.2) else "add"), None, (at, self.pick(len(values)))
        else:
            step, layer = ("slice", "pad", "shift", "center", "mul", "depthwise", "iadd")[self.pick(7)], None
            if step == "depthwise":
                step, layer = "layer", nn.Conv2d(width, width, 3, padding=1, groups=width)
            if step in ("mul", "iadd"):
                inputs = (at, self.pick(len(values)))
        name = f"l{len(self.plan)}" if layer is not None else ""
        if layer is not None:
            self.layers[name] = layer
        try:
            with torch.no_grad():
                made = tuple(self.run(step, name, [values[i][s].clone() for i in inputs]) for s in (0, 1))
        except RuntimeError:
            return False
        pairs = len(inputs) == 2 and any(
            values[inputs[0]][s].shape[2:] != values[inputs[1]][s].shape[2:] for s in (0, 1)
        )
        if pairs or made[0].shape[2] < 3 or made[0].shape[1] > 24:
            return False
        if step in ("add", "iadd", "mul") and values[inputs[0]][0].shape != values[inputs[1]][0].shape:
            return False
        self.plan.append((step, inputs, name))
        values.append(made)
        return True

    def layers_of(self, at: int) -> nn.Module | None:
        name = self.plan[at - 1][2]
        return self.layers[name] if name else None

    def conv(self, width: int) -> nn.Module:
        kernel = (1, 3)[self.pick(2)]
        mode = ("zeros", "zeros", "zeros", "reflect", "circular", "replicate")[self.pick(6)]
        padding = (kernel // 2, 0, 1, "same")[self.pick(4)]
        stride = 2 if self.chance(0.2) and padding != "same" else 1
        return nn.Conv2d(width, 3 + self.pick(6), kernel, stride, padding, bias=self.chance(0.5), padding_mode=mode)

    def finish(self, values: list) -> None:
        small = values[-1][0]
        self.bare = self.chance(0.15)  # ends in a feature map
        features = small.shape[1] * (small[0, 0].numel() if self.fixed else 1)
        self.head = nn.Sequential(nn.Linear(features, 7), nn.ReLU() if self.chance(0.5) else nn.Tanh(), nn.Linear(7, 4))

    @staticmethod
    def tail(x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, 1)

    def run(self, step: str, name: str, xs: list[Tensor]) -> Tensor:
        x = xs[0]
        if step == "layer":
            return self.layers[name](x)
        if step == "add":
            return x + xs[1]
        if step == "iadd":
            return F.relu(x, inplace=False).add_(xs[1])
        if step == "mul":
            return x * xs[1]
        if step == "cat":
            return torch.cat([x, xs[1]], 1)
        if step == "slice":
            return x[:, :, ::2, 1:]
        if step == "pad":
            return F.pad(x, (0, 0, 0, 0, 1, 2))
        if step == "shift":
            return torch.sigmoid(x * 0.5 - 1)
        return x - x.mean(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for step, inputs, name in self.plan:
            values.append(self.run(step, name, [values[i] for i in inputs]))
        if self.bare:
            return values[-1]
        x = values[-1] if self.fixed else self.tail(values[-1])
        return self.head(torch.flatten(x, 1))

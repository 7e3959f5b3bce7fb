"""The network of a random case: steps that fit are added one by one, then parts of it die. No knife in here."""

from __future__ import annotations

import math
import operator
import warnings
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from oracles_structure import generator
from random_graphs import IMAGE_CHANNELS, OTHER_HEADS, PLANES, Case, Step
from torch import Tensor, nn

SMALL, LARGE = 3, 8  # batches
LARGEST_WIDTH, LARGEST_SAMPLE, LARGEST_NUMBER, LEAST_SPREAD = 24, 4000, 50.0, 1e-3
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d)
AFFINE = (*NORMS, nn.GroupNorm, nn.LayerNorm)
UNITS = (nn.Conv1d, nn.Conv2d, nn.Linear, nn.ConvTranspose2d)

# ---- blocks --------------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """One step: an expression of its parts `m` and the values `x`, `y`, `z`."""

    def __init__(self, step: Step, shapes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        shape = (*shapes[0], 1, 1)
        own = {"c": shape[1], "h": shape[2], "w": shape[3], "size": math.prod(shapes[0][1:]), "cy": shapes[-1][1]}
        names = {"torch": torch, "F": F, "nn": nn, "operator": operator, "p": parameter, **own}
        for name, part in step.parts.items():
            made = eval(part, names)
            if isinstance(made, Tensor) and not isinstance(made, nn.Parameter):
                self.register_buffer(name, made)
            else:
                setattr(self, name, made)
        self.text, self.seed = f"{step.text} {step.parts}", 0
        letters = [*"xyz", *(f"v{i}" for i in range(3, len(shapes)))][: len(shapes)]
        self.function: Callable[..., Any] = eval(f"lambda m, {', '.join(letters)}: {step.text}", names)

    def forward(self, *values: Tensor) -> Any:
        return self.function(self, *values)


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(shape))


@torch.no_grad()
def settle(block: nn.Module, inputs: Sequence[Tensor], g: torch.Generator) -> None:
    """Draw weights; measure the statistics of norms on these inputs in training mode, then jitter them (KNIFE.md, 6)."""
    block.double().eval()
    scales = {id(m.weight) for m in block.modules() if isinstance(m, AFFINE) and m.weight is not None}
    for weight in block.parameters():
        normal = torch.randn(weight.shape, generator=g, dtype=torch.float64)
        if id(weight) in scales:
            weight.copy_(torch.rand(weight.shape, generator=g) + 0.5)
        else:
            weight.copy_(normal * ((2 / weight[0].numel()) ** 0.5 if weight.dim() > 1 else 0.5))
    norms = [m for m in block.modules() if isinstance(m, NORMS) and m.running_mean is not None]
    for norm in norms:
        norm.momentum = None
        norm.train()
    if norms:
        block(*[x.clone() for x in inputs])
    for norm in norms:
        norm.momentum = 0.1
        norm.eval()
        mean, var = norm.running_mean, norm.running_var
        mean += 0.2 * var.sqrt() * torch.randn(mean.shape, generator=g)
        var.mul_(0.7 + 0.7 * torch.rand(var.shape, generator=g)).clamp_(min=0.05)


# ---- growth --------------------------------------------------------------------------------------------------------

Probed = tuple[Tensor, ...]  # one value at every probe


class RandomNet(nn.Module):
    """The network of a case: steps that fit, in order. `reached`: labels of the steps that the output reads."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case
        self.blocks = nn.ModuleList()
        self.order: list[tuple[int, tuple[int, ...]]] = []  # block and values of every step; value 0 is the image
        self.kept: list[str] = []
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what torch warns of does not fit
            self.grow_all()
        self.reached = [self.kept[i] for i in self.read_steps()]

    def forward(self, x: Tensor) -> Any:
        values = [x]
        for block, inputs in self.order:
            values.append(self.blocks[block](*[values[i] for i in inputs]))
        return values[-1]

    def grow_all(self) -> None:
        values = [probes(self.case)]
        for step in self.case.steps:
            made = self.grow(step, values)
            if made:
                self.kept.append(step.label)
                values.append(made)
        read = {i for _, inputs in self.order for i in inputs}
        unread = tuple(i for i in range(1, len(values)) if i not in read)
        if self.case.join and unread and self.grow(joined([values[i][0] for i in unread]), values, [unread]):
            self.kept.append("head: join")
            return
        for head in (self.case.head, *OTHER_HEADS):
            if self.grow(head, values):
                self.kept.append(head.label)
                break

    def grow(self, step: Step, values: list[Probed], where: list[tuple[int, ...]] | None = None) -> Probed | None:
        """Add the step on the first earlier values that it fits, in the order it prefers; None if it fits none."""
        for inputs in where or candidates(step, len(values)):
            xs = [values[i] for i in inputs]
            if step.kind.in_place and not writable(values, inputs[0]):
                continue
            try:
                number = self.earlier(step) if step.text == "again" else len(self.blocks)
                block = self.blocks[number] if number < len(self.blocks) else self.made(step, xs)
                made = tuple(
                    run(block, [x[s].clone() if step.kind.in_place else x[s] for x in xs]) for s in range(len(xs[0]))
                )
            except (
                RuntimeError,
                ValueError,
                TypeError,
                IndexError,
                AssertionError,
                NotImplementedError,
                ZeroDivisionError,
                Warning,
            ):
                continue  # the step does not fit these values
            if not all(fits(part, probe) for part, probe in zip(made, values[0], strict=True)) or not telling(made):
                continue
            if step.kind.in_place:
                made = tuple(run(block, [x[s] for x in xs]) for s in range(len(xs[0])))
            if number == len(self.blocks):
                self.blocks.append(block)
            self.order.append((number, inputs))
            return made
        return None

    def made(self, step: Step, xs: list[Probed]) -> Block:
        block = Block(step, [tuple(x[0].shape) for x in xs])
        same = sum(b.text == block.text for b in self.blocks)
        block.seed = zlib.crc32(f"{block.text} {same} {self.case.seed}".encode())  # whatever the other steps are
        settle(block, [x[0] for x in xs], generator(block.seed))
        return block

    def earlier(self, step: Step) -> int:
        """A block that has weights, and takes one value."""
        owners = [b for b, inputs in self.order if len(inputs) == 1 and any(True for _ in self.blocks[b].parameters())]
        if not owners:
            raise ValueError("no earlier block has weights")
        return owners[-1 - step.back[1] % len(owners)]

    def read_steps(self) -> list[int]:
        """Steps whose value the last one reads, directly or not."""
        wanted = {len(self.order)}
        for value in range(len(self.order), 0, -1):
            if value in wanted:
                wanted.update(self.order[value - 1][1])
        return sorted(value - 1 for value in wanted if value)


def joined(values: Sequence[Tensor]) -> Step:
    """A linear layer on the means of all these values."""
    letters = [*"xyz", *(f"v{i}" for i in range(3, len(values)))]
    means = {2: "", 3: ".mean(2)", 4: ".mean((2, 3))"}
    rows = ", ".join(letter + means[value.dim()] for letter, value in zip(letters, values, strict=False))
    return Step("head: join", f"m.f(torch.cat([{rows}], 1))", {"f": f"nn.Linear({sum(v.shape[1] for v in values)}, 5)"})


def probes(case: Case) -> Probed:
    """The image at two batches, and at another size unless the case is fixed; the small batch is a part of the large."""
    g, (small, large) = generator(case.seed + 1), PLANES[case.planes]
    first = torch.randn(LARGE, IMAGE_CHANNELS, *small, generator=g, dtype=torch.float64)
    other = torch.randn(SMALL, IMAGE_CHANNELS, *large, generator=g, dtype=torch.float64)
    return (first, first[:SMALL].clone()) if case.fixed else (first, first[:SMALL].clone(), other)


def candidates(step: Step, count: int) -> list[tuple[int, ...]]:
    """Tuples of values to try: the latest first, from the preferred one on; a further value is another one if it can be."""

    def order(back: int, without: int | None = None) -> list[int]:
        rest = [i for i in reversed(range(count)) if i != without]
        start = back % max(len(rest), 1)
        turned = rest[start:] + rest[:start]
        return turned if without is None else [*turned[:6], without]

    out: list[tuple[int, ...]] = [(i,) for i in order(step.back[0])]
    for more in range(1, step.kind.num_values):
        out = [(*head, i) for head in out[:24] for i in order(step.back[more], head[0])]
    return out


def writable(values: list[Probed], at: int) -> bool:
    """Not the image, and not a view of another value: a reader through a view is declared unsupported."""
    mine = values[at][0]
    if at == 0 or mine.untyped_storage().nbytes() != mine.numel() * mine.element_size():
        return False
    return all(
        other[0].untyped_storage().data_ptr() != mine.untyped_storage().data_ptr()
        for other in values
        if other[0] is not mine
    )


@torch.no_grad()
def run(block: nn.Module, xs: list[Tensor]) -> Any:
    return block(*xs)


def tensors(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else [part for part in value if isinstance(part, Tensor)]


def fits(value: Any, probe: Tensor) -> bool:
    """A batch of samples of moderate size and numbers."""
    return all(
        part.dim() in (2, 3, 4)
        and part.is_floating_point()
        and len(part) == len(probe)
        and 1 <= part.shape[1] <= LARGEST_WIDTH
        and 1 <= part[0].numel() <= LARGEST_SAMPLE
        and bool(torch.isfinite(part).all())
        and float(part.abs().max()) < LARGEST_NUMBER
        for part in tensors(value)
    )


def telling(made: Sequence[Any]) -> bool:
    """The value depends on the image, and on each sample's own image only."""
    for large, small in zip(tensors(made[0]), tensors(made[1]), strict=True):
        scale = float(large.abs().max())
        if large.shape[1:] != small.shape[1:] or not torch.allclose(large[:SMALL], small, rtol=1e-9, atol=1e-9 * scale):
            return False
        if float((large - large.mean(0)).abs().max()) < LEAST_SPREAD * scale:
            return False
    return True


# ---- zeros ---------------------------------------------------------------------------------------------------------


Drawn, Chance = Callable[[int], Tensor], Callable[[float], bool]


@torch.no_grad()
def kill(net: RandomNet) -> RandomNet:
    """Zero units: whole ones (filter, bias, and the norm's factors behind), only filters, only gammas, some columns."""
    gone: dict[int, Tensor | None] = {}  # value: units that died with all their parameters
    done: set[int] = set()
    for value, (number, inputs) in enumerate(net.order, start=1):
        if number not in done:
            gone[value] = kill_block(net.blocks[number], net.case, gone.get(inputs[0]))
            done.add(number)
    return net


def kill_block(block: Block, case: Case, last: Tensor | None) -> Tensor | None:
    """Zero parts of one block. `last`: mask of units in front that died with all their parameters, as is the result."""
    g = generator(block.seed + 1)

    def chance(probability: float) -> bool:
        return bool(torch.rand((), generator=g) < probability)

    def drawn(count: int) -> Tensor:
        return torch.rand(count, generator=g) < (1.0 if chance(case.whole) else case.share)

    for name, module in block.named_modules():
        if name.startswith("dead"):
            module.weight.zero_()
        elif isinstance(module, UNITS) and chance(0.6):
            last = kill_layer(module, drawn, chance)
        elif isinstance(module, AFFINE) and module.weight is not None:
            kill_factors(module, last, drawn, chance)
        elif isinstance(module, Block):
            for raw in module.parameters(recurse=False):
                if raw.numel() > 1 and chance(0.6):
                    axis = next(i for i, length in enumerate(raw.shape) if length > 1)
                    raw.index_fill_(axis, drawn(raw.shape[axis]).nonzero().flatten(), 0)
    return last


def kill_factors(norm: nn.Module, last: Tensor | None, drawn: Drawn, chance: Chance) -> None:
    """Zero factors of a norm: those of units that are dead in front, or any, with or without the offsets."""
    shape = norm.weight.shape
    if last is not None and last.shape == shape and chance(0.5):
        norm.weight[last], norm.bias[last] = 0, 0
    elif chance(0.6):
        dead = drawn(shape.numel()).view(shape)
        norm.weight[dead] = 0
        if chance(0.3):
            norm.bias[dead] = 0


def kill_layer(module: nn.Module, drawn: Drawn, chance: Chance) -> Tensor | None:
    """Zero filters or neurons, now and then input columns; the mask of units that lost their bias as well."""
    weight, whole = module.weight, chance(0.6)
    if isinstance(module, nn.ConvTranspose2d):
        dead = drawn(module.out_channels)
        rows = weight.unflatten(0, (module.groups, -1)).transpose(1, 2)  # (groups, out / groups, in / groups, ...)
        rows[dead.view(module.groups, -1)] = 0
    else:
        dead = drawn(len(weight))
        weight[dead] = 0
        if chance(0.2):
            weight[:, drawn(weight.shape[1])] = 0
    if whole and module.bias is not None:
        module.bias[dead] = 0
    return dead if whole else None


def build(case: Case) -> RandomNet:
    """The network of a case, settled and with its dead parts, in eval mode."""
    return kill(RandomNet(case)).eval()

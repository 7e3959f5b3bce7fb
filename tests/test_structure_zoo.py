"""Known networks with dead parts: the cut network says the same, and what should go is gone.

The oracle is the original network in float64: what it says, and which of its units vary with the image and matter.
"""

from __future__ import annotations

import copy
import functools
import re
from typing import Any, NamedTuple

import oracles_structure as oracles
import pytest
import torch
import zoo
from torch import Tensor, fx, nn

from core.structure import RemovalPlan, apply, explain, plan_zeros

KINDS = (*zoo.KINDS, "mixed")
EVERY = pytest.mark.parametrize("name", zoo.names())
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)

# "mixed": units of all three kinds, and beside them what dies whole. `rows` of a layer's weight, or `inputs` of it
# (columns), or `taps` of its window; `scale`s of a norm, whose shifts stay; `entries` of a parameter. None: all of them.
WHOLE: dict[str, tuple[tuple[str, str, Any], ...]] = {
    "vgg": (("rows", "features.7", range(8)), ("inputs", "classifier.0", range(5)), ("taps", "features.3", (0, 3, 6))),
    "vgg11": (("rows", "features.4", range(1, 9)), ("inputs", "classifier.3", (0, 7)), ("inputs", "features.8", (2,))),
    "resnet18": (("scale", "blocks.1.branch.1.1", None), ("rows", "blocks.3.branch.0.0", None), ("inputs", "fc", (2,))),
    "resnet50": (("rows", "blocks.1.branch.1.0", None), ("scale", "blocks.3.branch.2.1", None)),
    "preresnet": (("rows", "blocks.1.rest.2", None), ("scale", "blocks.3.norm", None)),
    "resnext50": (  # conv groups without filters, and one without inputs
        *(("rows", "blocks.0.branch.1.0", (3, 4, 5)), ("rows", "blocks.2.branch.1.0", range(3))),
        *(("rows", "blocks.3.branch.0.0", range(3)), ("scale", "blocks.1.branch.2.1", None)),
    ),
    "wideresnet": (("rows", "blocks.1.rest.2", None), ("scale", "blocks.3.rest.0.1", None)),
    "densenet": (("rows", "features.2.layers.1.conv2", None), ("scale", "features.7.layers.0.norm1", None)),
    "googlenet": (("scale", "features.5.five.1.1", None), ("rows", "features.6.pooled.1.0", None)),
    "mobilenet_v2": (("scale", "blocks.2.branch.2.1", None), ("rows", "blocks.1.branch.1.0", range(7, 13))),
    "mobilenet_v3": (
        *(("scale", "blocks.2.branch.2.1", None), ("rows", "blocks.1.branch.2.fc1", None)),
        *(("rows", "blocks.3.branch.2.fc2", None), ("rows", "blocks.4.branch.1.0", range(12))),
    ),
    "efficientnet": (("rows", "blocks.2.branch.1.0", None), ("rows", "blocks.1.branch.2.fc2", None)),
    "regnet": (
        *(("rows", "blocks.0.branch.2.fc2", None), ("rows", "blocks.2.branch.1.0", range(4, 8))),
        *(("rows", "blocks.2.branch.0.0", (0, 1)), ("scale", "blocks.1.branch.3.1", None)),
    ),
    "shufflenet_v2": (("scale", "units.1.worked.2.1", None), ("rows", "units.4.worked.1.0", None)),
    "squeezenet": (("rows", "features.4.three", None), ("inputs", "features.7.squeeze", range(9))),
    "unet": (("rows", "ups.0", None), ("scale", "down.2.0.1", range(10)), ("inputs", "up.1.0.0", range(6))),
    "vit": (("rows", "encoders.0.mlp.2", None), ("rows", "encoders.1.attention.out", None)),
    "convnext": (("entries", "features.2.scale", (0, 3)), ("rows", "features.3.linear1", None)),
    "mlp_residual": (("scale", "blocks.0.1.1", None), ("inputs", "fc", (0, 11))),
    "net1d": (("scale", "blocks.1.branch.1.1", None), ("rows", "blocks.3.branch.0.0", None)),
    "net3d": (("rows", "blocks.2.branch.0.0", None), ("taps", "blocks.0.branch.1.0", range(9))),
    "lenet_flatten": (("inputs", "fc1", range(5)), ("rows", "conv1", range(6))),
}


# Units set to zero, units that leave, fields that stay on a batch of 1; for each of KINDS. Counted by hand where that is
# possible: 40 % of each layer but the last (vgg: 2 + 3 + 4 + 4 + 4 + 3 + 7 + 5 = 32). Without conv groups what is zero
# leaves, and no more. A depthwise or grouped convolution takes those along whose other side is gone, and what it reads
# of a constant behind zero padding is a field. "scale" finds no norm in squeezenet, lenet_flatten and vit's layers; in
# "mixed" whole branches go with all that worked for them.
TABLE = {
    "vgg": ((32, 32, 0), (20, 20, 0), (32, 32, 0), (34, 35, 0)),
    "vgg11": ((25, 25, 0), (14, 14, 0), (25, 25, 0), (23, 25, 0)),
    "resnet18": ((48, 48, 0), (48, 48, 0), (48, 48, 0), (61, 65, 5)),
    "resnet50": ((97, 97, 0), (97, 97, 0), (97, 97, 0), (116, 136, 0)),
    "preresnet": ((65, 65, 0), (24, 24, 0), (65, 65, 0), (64, 77, 17)),
    "resnext50": ((71, 78, 0), (71, 74, 4), (71, 76, 2), (88, 102, 4)),
    "wideresnet": ((60, 60, 0), (24, 24, 0), (60, 60, 0), (61, 66, 8)),
    "densenet": ((35, 35, 0), (23, 23, 0), (35, 35, 0), (35, 47, 4)),
    "googlenet": ((45, 45, 0), (45, 45, 0), (45, 45, 0), (57, 58, 0)),
    "mobilenet_v2": ((62, 92, 0), (62, 84, 8), (62, 85, 7), (75, 111, 2)),
    "mobilenet_v3": ((114, 163, 0), (81, 99, 19), (114, 134, 17), (134, 194, 4)),
    "efficientnet": ((89, 130, 0), (63, 78, 15), (89, 104, 15), (102, 150, 4)),
    "regnet": ((83, 98, 0), (62, 72, 5), (83, 89, 5), (91, 130, 0)),
    "shufflenet_v2": ((74, 97, 0), (74, 89, 8), (74, 90, 7), (85, 136, 3)),
    "squeezenet": ((40, 40, 0), (0, 0, 0), (40, 40, 0), (34, 41, 0)),
    "unet": ((42, 42, 0), (37, 37, 0), (42, 42, 0), (52, 60, 0)),
    "vit": ((70, 70, 0), (0, 0, 0), (70, 70, 0), (65, 105, 0)),
    "convnext": ((77, 85, 0), (20, 0, 3), (77, 77, 5), (72, 84, 4)),
    "mlp_residual": ((28, 28, 0), (28, 28, 0), (28, 28, 0), (32, 44, 0)),
    "net1d": ((40, 40, 0), (40, 40, 0), (40, 40, 0), (53, 60, 6)),
    "net3d": ((27, 27, 0), (27, 27, 0), (27, 27, 0), (37, 37, 5)),
    "lenet_flatten": ((20, 20, 0), (0, 0, 0), (20, 20, 0), (18, 19, 0)),
}
# A scale of 0 in a LayerNorm is a constant behind it; the norm itself still needs the channel. One of the 20 is a field.
STILL_RUN = {("convnext", "scale"): 19, ("convnext", "mixed"): 5}
REFILLED = {  # everywhere else: nothing
    # the stem's norm, four blocks', one before each of the two later stages, the last
    "convnext": {"LayerNorm": 8},
    # the class token is joined to the patches along the tokens; two norms an encoder and the last; of each of the two
    # attentions q, k and v are taken apart, and the linear layer behind reads heads, not channels
    "vit": {
        **{"cat": 1, "LayerNorm": 5, "permute": 2, "getitem": 6, "scaled_dot_product_attention": 2, "Linear": 2},
    },
}
GROUPED = ("resnext50", "regnet")
BLIND = {"vit": "qkv"}  # layers that keep what nothing listens to, as an unknown operation reads it


class Case(NamedTuple):
    """A network with zeros, and what became of it. `before` and `after` the knife: the network; `most`: without padding.

    By default uneven conv groups are padded to one size; policy "most" runs no row that need not run.
    """

    model: nn.Module
    zeroed: dict[str, list[int]]
    plan: RemovalPlan
    compact: fx.GraphModule
    most: fx.GraphModule
    before: dict[str, Any]
    after: dict[str, Any]


@functools.cache
def kept(name: str) -> nn.Module:
    return zoo.settle(zoo.small(name), zoo.example_shape(name))


@torch.no_grad()
def damaged(name: str, kind: str) -> tuple[nn.Module, dict[str, list[int]]]:
    """A copy with zeros, and the units that were set to zero, by path."""
    model = copy.deepcopy(kept(name))
    if kind in zoo.KINDS:
        return model, zoo.zero(model, kind, seed=0)
    zeroed: dict[str, set[int]] = {}
    for seed, one in enumerate(zoo.KINDS):
        for path, units in zoo.zero(model, one, seed + 5, share=0.15).items():
            zeroed.setdefault(path, set()).update(units)
    layers = {norm: path for path, norm in zoo.followed(model)[0].items()}
    for what, path, chosen in WHOLE[name]:
        tensor = model.get_parameter(path if what == "entries" else f"{path}.weight")
        part = {"inputs": 1, "taps": 1}.get(what, 0)
        wide = tensor.flatten(2).transpose(1, 2) if what == "taps" else tensor
        if type(model.get_submodule(path.rpartition(".")[0] if what == "entries" else path)) in zoo.TRANSPOSED:
            wide = wide.transpose(0, 1)
        units = list(range(wide.shape[part]) if chosen is None else chosen)
        wide.index_fill_(part, torch.tensor(units), 0)
        if what in ("rows", "scale") and (what == "rows" or path in layers):
            zeroed.setdefault(path if what == "rows" else layers[path], set()).update(units)
    return model, {path: sorted(units) for path, units in zeroed.items()}


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Everything a caller could miss: numbers, modes, frozen parameters, hooks, attributes."""
    return {
        "numbers": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "modes": [module.training for module in model.modules()],
        "learnt": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
    }


@functools.cache
def case(name: str, kind: str) -> Case:
    model, zeroed = damaged(name, kind)
    model.train()
    list(model.children())[-1].eval()
    next(model.parameters()).requires_grad_(False)
    example = torch.zeros((1, *zoo.example_shape(name)[1:]), dtype=torch.float64)
    before = snapshot(model)
    plan = plan_zeros(model, example)
    compact = apply(plan, model, example)
    after = snapshot(model)
    most = apply(plan.model_copy(update={"policy": "most"}), model, example) if name in GROUPED else compact
    return Case(model, zeroed, plan, compact, most, before, after)


def cut(name: str, kind: str) -> Case:
    """The case with both networks in eval mode, as they are compared."""
    found = case(name, kind)
    for network in (found.model, found.compact, found.most):
        network.eval()
    return found


def images(shape: tuple[int, ...], seed: int = 9) -> Tensor:
    return torch.randn(shape, generator=oracles.generator(seed), dtype=torch.float64)


def shapes(name: str) -> list[tuple[int, ...]]:
    """Two sizes, where the network takes two, and batches of four, three and one."""
    first, second = zoo.example_shape(name), zoo.second_shape(name) or zoo.example_shape(name)
    return [first, (3, *second[1:]), (1, *second[1:])]


@EVERY_KIND
@EVERY
def test_the_caller_keeps_the_network_as_it_was(name, kind):
    found = case(name, kind)
    before, after = found.before, found.after
    assert before["numbers"].keys() == after["numbers"].keys()
    assert all(torch.equal(tensor, after["numbers"][key]) for key, tensor in before["numbers"].items())
    assert {**before, "numbers": None} == {**after, "numbers": None}
    owned = {parameter.data_ptr() for parameter in found.model.parameters()}
    assert not owned & {parameter.data_ptr() for parameter in found.compact.parameters()}


@EVERY_KIND
@EVERY
@torch.no_grad()
def test_the_cut_network_says_the_same(name, kind):
    found = cut(name, kind)
    for shape in shapes(name):
        x = images(shape)
        expected = found.model(x)
        scale = (expected - expected.mean(0)).abs().max() if len(x) > 1 else expected.abs().max()
        assert len(x) == 1 or scale >= 1e-4 * expected.abs().max()
        for compact in {found.compact, found.most}:
            got = compact(x)
            assert got.shape == expected.shape and (expected - got).abs().max() <= 1e-9 * scale


@EVERY_KIND
@EVERY
def test_gradients_to_the_image_are_the_same(name, kind):
    found, x = cut(name, kind), images(zoo.example_shape(name), seed=3).requires_grad_()
    first, second = found.model(x), found.compact(x)
    weights = images(first.shape, seed=4)
    (expected,) = torch.autograd.grad((first * weights).sum(), x)
    (got,) = torch.autograd.grad((second * weights).sum(), x)
    assert expected.abs().max() > 0 and (expected - got).abs().max() <= 1e-8 * expected.abs().max()


# ---- what goes and what stays ----------------------------------------------------------------------------------------


def site(plan: RemovalPlan, path: str) -> str:
    return next(site for site in plan.total if site.rpartition("/")[0] == path)


def gone(found: Case) -> dict[str, set[int]]:
    """The removed units of every layer."""
    return {path: set(found.plan.removed.get(site(found.plan, path), ())) for path in zoo.count_units(found.model)}


def units_first(layer: nn.Module, y: Tensor) -> Tensor:
    """(units, batch, positions)."""
    y = y.movedim(-1 if isinstance(layer, nn.Linear) else 1, 0)
    return y.reshape(*y.shape[:2], -1)


def run(model: nn.Module, x: Tensor, change: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """What the network and each of its layers say; `change` is added to what the layers say."""
    seen = {}

    def hook(path: str, y: Tensor) -> Tensor:
        seen[path] = y + change[path] if change and path in change else y
        return seen[path].clone()  # an activation in place must not write into it

    layers = [(path, m) for path, m in model.named_modules() if isinstance(m, zoo.LAYERS)]
    hooks = [m.register_forward_hook(lambda m, x, y, path=path: hook(path, y)) for path, m in layers]
    try:
        return model(x), seen
    finally:
        for handle in hooks:
            handle.remove()


class Seen(NamedTuple):
    """Of every unit, by path: does it depend on the image, does it differ by position, does a gradient reach it."""

    varies: dict[str, Tensor]
    spreads: dict[str, Tensor]
    read: dict[str, Tensor]


@functools.cache
@torch.enable_grad()
def seen(name: str, kind: str) -> Seen:
    """Measured on images from faint to glaring; then with noise on all that varied, as a ReLU may be silent by chance."""
    model, shape = cut(name, kind).model, zoo.example_shape(name)
    contrast = torch.logspace(-0.5, 1.5, 5, dtype=torch.float64)
    x = (images((5, *shape[1:])) * contrast.view(-1, *[1] * (len(shape) - 1))).requires_grad_()
    answer, said = run(model, x)
    slopes = torch.autograd.grad((answer * images(answer.shape)).sum(), list(said.values()), allow_unused=True)
    out = Seen({}, {}, {})
    for (path, y), slope in zip(said.items(), slopes, strict=True):
        y = units_first(model.get_submodule(path), y.detach())
        small = 1e-10 * y[:, 0].abs().max()
        out.varies[path] = (y - y[:, :1]).abs().flatten(1).amax(1) > small
        out.spreads[path] = y[:, 0].amax(1) - y[:, 0].amin(1) > small
        slope = torch.zeros_like(y) if slope is None else units_first(model.get_submodule(path), slope)
        out.read[path] = (slope != 0).flatten(1).any(1)
    for seed in range(2):
        units = [(path, int(u)) for path, v in out.varies.items() for u in v.nonzero()]
        for path, y in run(model, x, noise(model, said, units, 3.0, seed))[1].items():
            y = units_first(model.get_submodule(path), y.detach())
            out.varies[path] |= (y - y[:, :1]).abs().flatten(1).amax(1) > 1e-10 * y[:, 0].abs().max()
    return out


def noise(
    model: nn.Module,
    said: dict[str, Tensor],
    units: list[tuple[str, int]],
    size: float,
    seed: int = 0,
    each: bool = False,
) -> dict[str, Tensor]:
    """Noise on these units for all images; or, if `each`, on one of them for each image."""
    change = {path: torch.zeros_like(said[path]) for path, _ in units}
    for i, (path, unit) in enumerate(units):
        part = change[path].movedim(-1 if isinstance(model.get_submodule(path), nn.Linear) else 1, 0)[unit]
        if each:
            part[i] += size * images(part[i].shape, seed * 1000 + i).abs()
        else:
            part += size * images(part.shape, seed * 1000 + i)
    return change


@EVERY_KIND
@EVERY
@torch.no_grad()
def test_a_removed_unit_says_the_same_to_every_image_or_nothing_listens_to_it(name, kind):
    found, what = cut(name, kind), seen(name, kind)
    loud = [(p, u) for p, units in gone(found).items() for u in units if what.varies[p][u] or what.spreads[p][u]]
    x = images(shapes(name)[1])
    answer, said = run(found.model, x)
    for size in (3.0, 100.0):
        disturbed, _ = run(found.model, x, noise(found.model, said, loud, size))
        assert (answer - disturbed).abs().max() <= 1e-12 * answer.abs().max()


@EVERY_KIND
@EVERY
@torch.no_grad()
def test_a_unit_that_stays_is_no_constant_and_is_listened_to(name, kind):
    found, what = cut(name, kind), seen(name, kind)
    removed, counts = gone(found), zoo.count_units(found.model)
    stays = [(p, u) for p, n in counts.items() if not p.endswith(BLIND.get(name, "-")) for u in range(n)]
    stays = [(p, u) for p, u in stays if u not in removed[p]]
    assert not [(p, u) for p, u in stays if not what.varies[p][u] and not what.spreads[p][u]]
    silent = [(p, u) for p, u in stays if not what.read[p][u]]
    heard = torch.zeros(len(silent), dtype=torch.bool)
    for seed, size in enumerate((1.0, -1.0, 5.0, -5.0, 30.0, -30.0, 1000.0, -1000.0)):
        if heard.all():
            break
        x = images(shapes(name)[1], seed)[:1].expand(len(silent), *shapes(name)[1][1:])
        said = run(found.model, x)[1]
        around = noise(found.model, said, stays, 3.0, seed)  # so that what it meets on its way is not silent by chance
        more = noise(found.model, said, silent, size, seed, each=True)
        both = {p: around[p] + more.get(p, 0) for p in around}
        heard |= (run(found.model, x, around)[0] != run(found.model, x, both)[0]).flatten(1).any(1)
    assert heard.all(), [unit for unit, yes in zip(silent, heard.tolist(), strict=True) if not yes]


def per_image(found: Case, x: Tensor) -> dict[str, int]:
    """How many rows of each layer the cut network runs for every image; pieces of a layer stand at its path, `_2` and so on."""
    out = dict.fromkeys(zoo.count_units(found.model), 0)

    def count(layer: nn.Module, y: Tensor, path: str) -> None:
        if len(y) == len(x) and path in out:
            out[path] += zoo.units_of(layer)

    layers = [(re.sub(r"_+\d*$", "", path), m) for path, m in found.most.named_modules() if isinstance(m, zoo.LAYERS)]
    hooks = [m.register_forward_hook(lambda m, x, y, path=path: count(m, y, path)) for path, m in layers]
    found.most(x)
    for handle in hooks:
        handle.remove()
    return out


@EVERY_KIND
@EVERY
@torch.no_grad()
def test_the_counts_are_those_of_the_table_and_nothing_static_runs_for_every_image(name, kind):
    found, what = cut(name, kind), seen(name, kind)
    removed, rows = gone(found), per_image(found, images(shapes(name)[1]))
    static, runs = {}, {}
    for path, units in zoo.count_units(found.model).items():
        static[path] = {u for u in range(units) if u not in removed[path] and not what.varies[path][u]}
        runs[path] = set(found.zeroed.get(path, ())) - removed[path] - static[path]
        assert rows[path] == units - len(removed[path]) - len(static[path]), path
        fields = found.plan.verdicts[site(found.plan, path)]["field"]
        assert fields == len(static[path]) or (kind == "mixed" and fields > len(static[path])), path
    counts = (sum(map(len, part.values())) for part in (found.zeroed, removed, static))
    assert tuple(counts) == TABLE[name][KINDS.index(kind)]
    assert sum(map(len, runs.values())) == STILL_RUN.get((name, kind), 0)


@EVERY_KIND
@EVERY
def test_only_what_cannot_be_narrowed_is_refilled(name, kind):
    plan = case(name, kind).plan
    operations = [r.operation for r in plan.refilled]
    assert {operation: operations.count(operation) for operation in operations} == REFILLED.get(name, {})
    assert all(r.reason for r in plan.refilled) and not plan.untied


# ---- beside other tools ----------------------------------------------------------------------------------------------


@torch.no_grad()
def without_groups(name: str) -> tuple[nn.Module, dict[str, set[int]]]:
    """A network of which whole coupled groups are zero (filters, biases, norms behind them), and those units."""
    model, example = copy.deepcopy(kept(name)), torch.zeros((1, *zoo.example_shape(name)[1:]), dtype=torch.float64)
    behind, last = zoo.followed(model)
    found = explain(model, example)
    groups = [[(path(s), u) for s, units in g.units.items() for u in units] for g in found.groups if not g.closed]
    met = {unit for group in groups for unit in group}
    groups += [[(p, u)] for p, n in zoo.count_units(model).items() if p != last for u in range(n) if (p, u) not in met]
    closed = {(path(s), u) for g in found.groups if g.closed for s, units in g.units.items() for u in units}
    g, chosen = oracles.generator(1), {}
    for group in groups:
        if torch.rand((), generator=g) < 0.4 and not closed & set(group):
            for p, unit in group:
                chosen.setdefault(p, set()).add(unit)
    for p, units in chosen.items():
        layer, norm = model.get_submodule(p), model.get_submodule(behind[p]) if p in behind else None
        for tensor in (zoo.filters(layer), layer.bias, norm and norm.weight, norm and norm.bias):
            if tensor is not None:
                tensor[sorted(units)] = 0
    return model, chosen


def path(site: str) -> str:
    return site.rpartition("/")[0]


@torch.no_grad()
def parameters_without(model: nn.Module, chosen: dict[str, set[int]], x: Tensor) -> int:
    """How many parameters are left where these filters go, with every input that is 0 for all images."""
    model, live = copy.deepcopy(model), {}

    def note(p: str, layer: nn.Module, x: Tensor) -> None:
        live[p] = units_first(layer, x).flatten(1).any(1)

    for p, module in model.named_modules():
        if isinstance(module, zoo.LAYERS):
            module.register_forward_pre_hook(lambda m, x, p=p: note(p, m, x[0]))
    model(x)
    total = sum(parameter.numel() for parameter in model.parameters())
    for p, module in model.named_modules():
        if isinstance(module, zoo.LAYERS):
            groups = getattr(module, "groups", 1)
            taps, inputs = module.weight[0][0].numel(), live[p].view(groups, -1).sum(1).tolist()
            stays = [u for u in range(zoo.units_of(module)) if u not in chosen.get(p, ())]
            rows = sum(inputs[u * groups // zoo.units_of(module)] * taps + (module.bias is not None) for u in stays)
            total += rows - sum(parameter.numel() for parameter in module.parameters())
        elif isinstance(module, zoo.BATCH_NORMS):
            total -= 2 * int((module.weight == 0).sum())
    return total


@EVERY
@torch.no_grad()
def test_whole_coupled_groups_leave_nothing_behind(name, monkeypatch):
    """What tools remove that know zeros of whole groups only: here it goes too, and costs no more than there."""
    model, chosen = without_groups(name)
    shape = zoo.example_shape(name)
    example = torch.zeros((1, *shape[1:]), dtype=torch.float64)
    plan = plan_zeros(model, example, policy="most")
    assert sum(map(len, chosen.values())) >= 0.2 * sum(zoo.count_units(model).values())
    assert all(units <= set(plan.removed[site(plan, p)]) for p, units in chosen.items())
    compact = apply(plan, model, example)
    assert oracles.difference(model(images(shape)), compact(images(shape))) < 1e-11
    for activation in ("relu", "hardtanh", "hardswish"):  # 0 stays 0, and nothing else becomes 0 by chance
        monkeypatch.setattr(nn.functional, activation, lambda x, *_, **__: nn.functional.leaky_relu(x, 0.5))
    monkeypatch.setattr(nn.functional, "hardsigmoid", lambda x, *_: x.sigmoid())
    left, dense = (sum(parameter.numel() for parameter in m.parameters()) for m in (compact, model))
    least = parameters_without(model, chosen, images(shape))
    assert least < dense and (left <= least or "scaled_dot_product_attention" in REFILLED.get(name, {}))

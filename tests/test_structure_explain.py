"""What is said of every unit is what a person finds who runs the network on two batches and looks."""

from __future__ import annotations

import copy
from collections import Counter

import oracles_structure as oracles
import pytest
import torch
import zoo
import zoo_mobile
import zoo_parts
from torch import nn

from core.errors import TraceError
from core.structure import explain, plan_zeros

DOUBLE = torch.float64
EXAMPLE = torch.zeros(1, 3, 12, 12, dtype=DOUBLE)


def images(*shape, seed=0):
    return torch.randn(shape, dtype=DOUBLE, generator=oracles.generator(seed))


# ---- looking, without the knife --------------------------------------------------------------------------------------


@torch.no_grad()
def seen(network, shape, several=()):
    """What every layer, or the batch norm that alone reads it, gives: [(units, images, positions)] by path.

    One entry for each call and batch; two batches of unlike images. `several`: layers that more than a norm reads.
    """
    behind, _ = zoo.followed(network)
    at = {path: behind.get(path, path) for path in zoo.count_units(network)}
    at = {
        path: p if isinstance(network.get_submodule(p), zoo.BATCH_NORMS) and path not in several else path
        for path, p in at.items()
    }
    found = {path: [] for path in at}
    hooks = []
    for path, place in at.items():
        axis = -1 if isinstance(network.get_submodule(path), nn.Linear) else 1

        def look(module, inputs, y, path=path, axis=axis):
            found[path].append(y.clone().movedim(axis, 0).reshape(y.shape[axis], len(y), -1))

        hooks.append(network.get_submodule(place).register_forward_hook(look))
    try:
        for seed in (1, 2):
            network(3 ** (seed - 1) * images(6, *shape[1:], seed=seed))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def verdict(values):
    """Of one unit's values, (images, positions) for each call: its verdict and, where it is uniform, its value."""
    scale = max(float(v.abs().max()) for v in values)
    if scale == 0:
        return "zero", None
    if any(float((v - v[:1]).abs().max()) > 1e-11 * scale for v in values):
        return "alive", None
    first = values[0][0, 0]
    if all(float((v - first).abs().max()) <= 1e-11 * scale for v in values):
        return "uniform", float(first)
    return "field", None


def check(network, shape, told, several=()):
    """Every unit's verdict and value, against what is seen."""
    found, verdicts = seen(network, shape, several), Counter()
    assert {site.rpartition("/")[0] for site in told.sites} == set(found)
    for site, units in told.sites.items():
        values = found[site.rpartition("/")[0]]
        assert len(units) == len(values[0])
        for u, unit in enumerate(units):
            expected, value = verdict([v[u] for v in values])
            if unit.verdict == "field" and values[0].shape[2] == 1:
                expected, value = "field", None  # a plane of one position does not show it
            assert unit.verdict == expected, f"{site} {u}: {unit}, seen {expected} {value}"
            assert unit.value == (None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)), f"{site} {u}"
            verdicts[unit.verdict] += 1
    assert {name: count for name, count in told.units.items() if count} == verdicts
    assert list(told.units) == ["zero", "uniform", "field", "alive"]
    assert sum(told.units.values()) == sum(zoo.count_units(network).values())
    return verdicts


# ---- networks --------------------------------------------------------------------------------------------------------


class Varied(nn.Module):
    """All verdicts: norms and none, a depthwise convolution, squeeze-excite, a convolution read by more than a norm."""

    def __init__(self):
        super().__init__()
        self.a, self.an = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.depthwise, self.se = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), zoo_parts.SqueezeExcite(6, 3)
        self.b, self.bn = nn.Conv2d(6, 7, 3), nn.BatchNorm2d(7)
        self.up, self.c = nn.ConvTranspose2d(7, 5, 2, 2), nn.Conv2d(5, 5, 1, padding=1)
        self.d, self.dn, self.e = nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 4)

    def forward(self, x):
        x = self.se(self.depthwise(self.an(self.a(x)).sigmoid()))
        y = self.b(x)
        x = self.up((self.bn(y) + y).sigmoid())
        return self.e(self.dn(self.d(self.c(x).relu().mean((2, 3)))).sigmoid())


def varied():
    network = oracles.settle(Varied(), (16, 3, 12, 12))
    with torch.no_grad():
        network.a.weight[[0, 2]] = 0  # behind the norm: a number each, and a field behind the depthwise convolution
        network.an.weight[[4, 5]], network.an.bias[5] = 0, 0
        network.depthwise.weight[[1]] = 0
        network.b.weight[[3]], network.b.bias[3] = 0, 0
        network.b.weight[[6]] = 0
        network.up.weight[:, [2]], network.c.weight[[0, 4]], network.c.bias[4] = 0, 0, 0
        network.dn.weight[[1, 2]], network.dn.bias[2] = 0, 0
        network.e.weight[:, 5] = 0
    return network


def test_every_verdict_and_value_is_what_is_seen():
    network = varied()
    told = explain(network, EXAMPLE, source="varied")
    verdicts = check(network, (6, 3, 12, 12), told, several=["b"])
    assert all(verdicts[name] > 2 for name in ("zero", "uniform", "field", "alive")), verdicts
    assert [u.verdict for u in told.sites["a/filter"]] == ["uniform", "alive", "uniform", "alive", "uniform", "zero"]
    beta = network.an.bias.tolist()
    assert told.sites["a/filter"][4].value == pytest.approx(beta[4])


SMOOTH = {nn.ReLU: nn.SiLU, nn.ReLU6: nn.Softplus, nn.Hardswish: nn.SiLU, nn.Hardsigmoid: nn.Sigmoid}


def smooth(network):
    """In place: no activation is flat anywhere, so that what depends on the input is seen to."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) in SMOOTH:
                setattr(module, name, SMOOTH[type(child)]())
    return network


@pytest.mark.parametrize("kind", zoo.KINDS)
@pytest.mark.parametrize(
    "name", ["vgg11", "preresnet", "mobilenet_v3", "shufflenet_v2", "unet", "mlp_residual", "net1d"]
)
def test_verdicts_of_known_networks_are_what_is_seen(name, kind):
    shape = zoo.example_shape(name)
    network = zoo.settle(smooth(zoo.small(name)), shape)
    zeroed = zoo.zero(network, kind, seed=1)
    told = explain(network, torch.zeros(1, *shape[1:], dtype=DOUBLE))
    verdicts = check(network, shape, told)
    if name != "preresnet" or kind != "scale":
        assert verdicts.total() - verdicts["alive"] >= sum(map(len, zeroed.values())) > 0


class Twice(nn.Module):
    """A convolution that reads a constant in its first call, and life in its second."""

    def __init__(self):
        super().__init__()
        self.a, self.shared, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        y = self.shared(self.a(x).sigmoid()).sigmoid()
        return self.last(self.shared(y) + y)


@pytest.mark.parametrize("unit", [2, 3])
def test_a_unit_that_lives_in_one_call_of_several_is_alive(unit):
    network = oracles.settle(Twice(), (8, 3, 12, 12))
    with torch.no_grad():
        network.a.weight[1] = 0
        network.shared.weight[unit] = 0
        if unit == 2:
            network.shared.weight[unit, 1] = 1  # reads the dead channel, which is alive in the second call
    check(network, (6, 3, 12, 12), explain(network, EXAMPLE))


# ---- what can go -----------------------------------------------------------------------------------------------------


def test_what_is_removable_is_what_is_a_number_or_not_read():
    """A field that is read stays: it is computed once for a whole batch."""
    network = varied()
    told = explain(network, EXAMPLE)
    gone = {
        site: [i for i, unit in enumerate(units) if unit.verdict in ("zero", "uniform") or not unit.read]
        for site, units in told.sites.items()
    }
    assert told.plan == plan_zeros(network, EXAMPLE)
    assert told.plan.removed == {site: units for site, units in gone.items() if units}
    for kind in ("filter", "neuron"):
        assert told.removable[kind] == sum(len(units) for site, units in gone.items() if site.endswith(kind))
    assert told.removable["layer"] == 0 and told.removable["block"] == 0 and told.removable["shape"] == 0


def unread(told):
    return {(site, i) for site, units in told.sites.items() for i, unit in enumerate(units) if not unit.read}


def test_units_that_nobody_reads_are_said_to_live_and_not_to_be_read():
    network = varied()
    before = {("a/filter", 1), ("se.fc2/filter", 1), ("d/neuron", 5)}  # read by what is zero, or times zero
    assert unread(explain(network, EXAMPLE)) == before
    with torch.no_grad():
        network.c.weight[:, 1] = 0
        network.b.weight[:, 3] = 0
    told = explain(network, EXAMPLE)
    assert unread(told) == before | {("up/filter", 1), ("se.fc2/filter", 3)}, "squeezing still reads the depthwise one"
    assert told.plan.unread == {"depthwise/channel": [1], "b/channel": [3], "c/channel": [1], "e/channel": [5]}
    assert told.removable["channel"] == 4


def test_a_field_that_nobody_reads_is_said_not_to_be_read():
    network = varied()
    with torch.no_grad():
        network.se.fc1.weight[:, 0], network.b.weight[:, 0] = 0, 0
    told = explain(network, EXAMPLE)
    assert 0 in told.plan.removed["depthwise/filter"] and told.sites["depthwise/filter"][0].verdict == "field"
    assert ("depthwise/filter", 0) in unread(told)


def test_whole_layers_blocks_groups_and_shapes_are_counted():
    network = oracles.settle(oracles.resnet(), (16, 3, 12, 12))
    with torch.no_grad():
        network[2].bn2.weight.zero_()
        network[1].conv1.weight[:, :, 0] = 0
    removable = explain(network, EXAMPLE).removable
    assert removable == {"filter": 20, "shape": 18, "block": 1, "layer": 2}
    network = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=3), nn.ReLU(), nn.Conv2d(6, 4, 1))
    oracles.settle(network, (8, 3, 12, 12))
    with torch.no_grad():
        network[2].weight[[0, 1, 5]] = 0
    removable = explain(network, EXAMPLE).removable
    assert removable == {"filter": 5, "channel": 2, "group": 1, "shape": 0, "block": 0, "layer": 0}


class Refilling(nn.Module):
    """Three operations that need the whole width, each for its own reason."""

    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2d(3, 6, 1), nn.LayerNorm(6), nn.Conv2d(6, 6, 1)
        self.lrn, self.c = nn.LocalResponseNorm(3), nn.Conv2d(6, 4, 1)

    def forward(self, x):
        x = self.norm(self.a(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.c(self.lrn(self.b(x).cumsum(1)))


def test_what_is_refilled_is_named_with_its_reason():
    network = oracles.settle(Refilling(), (8, 3, 12, 12))
    with torch.no_grad():
        network.a.weight[[1, 3]] = 0
    told = explain(network, EXAMPLE)
    assert [(r.site, r.operation) for r in told.refilled] == [
        *(("norm", "LayerNorm"), ("cumsum", "cumsum"), ("lrn", "LocalResponseNorm")),
    ]
    assert told.refilled[0].reason == "its mean and variance run across all channels"
    assert told.refilled[1].reason == "the knife has no rule for this operation"
    assert "LocalResponseNorm" in told.refilled[2].reason
    assert told.removable["filter"] == 2 and [u.verdict for u in told.sites["a/filter"]].count("uniform") == 2
    check(network, (6, 3, 12, 12), told)


def test_a_layer_that_cannot_be_narrowed_is_alive_whatever_its_weights():
    network = oracles.settle(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3)), (8, 3, 12, 12))
    network[0].register_forward_hook(lambda module, args, out: out + 1)
    with torch.no_grad():
        network[0].weight[[0, 2]] = 0
    told = explain(network, EXAMPLE)
    assert told.units == {"zero": 0, "uniform": 0, "field": 0, "alive": 10} and told.plan.nothing_removed
    assert told.refilled[0].site == "0" and "forward hooks" in told.refilled[0].reason


@pytest.mark.parametrize("how", ["scale", "column"])
def test_a_unit_that_only_the_statistics_of_a_norm_need_is_said_to_be_kept_by_them(how):
    """ConvNeXt: the channel behind the norm is dead, or unread, and its filter cannot go."""
    network = zoo.settle(zoo.small("convnext"), zoo.example_shape("convnext"))
    path, block = next((p, m) for p, m in network.named_modules() if type(m).__name__ == "ConvNeXtBlock")
    with torch.no_grad():
        (block.norm.weight if how == "scale" else block.linear1.weight.T)[[1, 3]] = 0
    example = torch.zeros(1, *zoo.example_shape("convnext")[1:], dtype=DOUBLE)
    told = explain(network, example)
    kept = {(site, i) for site, units in told.sites.items() for i, unit in enumerate(units) if unit.kept_by}
    assert kept == {(f"{path}.depthwise/filter", 1), (f"{path}.depthwise/filter", 3)}
    assert told.sites[f"{path}.depthwise/filter"][1].kept_by == "the mean and variance of a norm across channels"
    assert not told.plan.removed and told.plan == plan_zeros(network, example)
    x = images(4, *example.shape[1:])
    with torch.no_grad():
        before = network(x)
        block.depthwise.weight[1] += 1
        assert oracles.difference(before, network(x)) > 1e-6, "it does matter"


# ---- groups, and the caller's model ----------------------------------------------------------------------------------


class Units(nn.Module):
    """A sum of two convolutions, each depthwise behind; dealt round; a third that nothing meets."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.alone = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1)
        self.depthwise, self.out = nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(3, 3, 3)

    def forward(self, x):
        y = zoo_mobile.shuffle(self.a(x) + self.b(x), 2)
        return self.out(x) + self.alone(self.depthwise(y))


def test_groups_are_the_units_that_meet_the_closed_ones_with_their_reason():
    told = explain(oracles.settle(Units(), (8, 3, 12, 12)), EXAMPLE)
    dealt = [0, 2, 1, 3]
    met = [{"a/filter": [dealt[c]], "b/filter": [dealt[c]], "depthwise/filter": [c]} for c in range(4)]
    closed = [{"out/filter": [c], "alone/filter": [c]} for c in range(3)]
    assert {str(g.units) for g in told.groups if not g.closed} == set(map(str, met))
    assert {str(g.units) for g in told.groups if g.closed} == set(map(str, closed))
    assert {g.closed for g in told.groups if g.closed} == {"it is the network's output"}


def test_explaining_changes_nothing():
    network = varied().train()
    network.bn.eval()
    network.c.weight.requires_grad_(False)
    network(images(4, 3, 12, 12)).sum().backward()
    before = copy.deepcopy((network.state_dict(), [p.grad for p in network.parameters()]))
    flags = [(m.training, [p.requires_grad for p in m.parameters()]) for m in network.modules()]
    drawn = torch.get_rng_state()
    told = explain(network, EXAMPLE)
    assert flags == [(m.training, [p.requires_grad for p in m.parameters()]) for m in network.modules()]
    assert torch.equal(drawn, torch.get_rng_state())
    assert all(torch.equal(value, before[0][key]) for key, value in network.state_dict().items())
    pairs = zip(network.parameters(), before[1], strict=True)
    assert all(p.grad is old or torch.equal(p.grad, old) for p, old in pairs)
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in network.modules())
    assert told == explain(network.eval(), EXAMPLE), "the mode does not matter: eval mode is what is explained"


def test_an_explanation_travels_as_json_and_its_units_are_named():
    told = explain(varied(), EXAMPLE)
    assert type(told).model_validate_json(told.model_dump_json()) == told


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_a_network_that_cannot_be_followed_is_an_error():
    with pytest.raises(TraceError, match="could not be followed"):
        explain(nn.Sequential(nn.Conv2d(3, 4, 1), Branching()), EXAMPLE.float())

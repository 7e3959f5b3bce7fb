"""An optimizer cut along with its network goes on as if nothing had happened: the same steps as in the whole network.

Oracle: the whole network trained on with its dead units held at zero, then cut.
"""

from __future__ import annotations

import copy

import oracles_structure as oracles
import pytest
import torch
from torch import nn
from torch.nn.functional import silu

from core.errors import BadInput
from core.structure import apply, apply_with_optimizer, plan_chosen, plan_zeros

DOUBLE = torch.float64
EXAMPLE = torch.zeros(1, 3, 12, 12, dtype=DOUBLE)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


# ---- networks and what is dead in them -------------------------------------------------------------------------------


class Grouped(nn.Module):
    """Conv groups of uneven remains, a depthwise convolution with two channels each, a norm behind a linear layer."""

    def __init__(self):
        super().__init__()
        self.a, self.an = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.b, self.bn = nn.Conv2d(6, 9, 3, padding=1, groups=3, bias=False), nn.BatchNorm2d(9)
        self.c, self.cn = nn.Conv2d(9, 18, 3, 2, groups=9), nn.BatchNorm2d(18)
        self.d, self.dn, self.e = nn.Linear(18, 7), nn.BatchNorm1d(7), nn.Linear(7, 4)
        self.slopes = nn.PReLU(9)

    def forward(self, x):
        x = self.slopes(self.bn(self.b(silu(self.an(self.a(x))))))
        return self.e(silu(self.dn(self.d(silu(self.cn(self.c(x))).mean((2, 3))))))


class Twice(nn.Module):
    """A convolution called twice that is cut in the same way both times, and a transposed one."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.up, self.last = nn.ConvTranspose2d(6, 8, 2, 2, groups=2), nn.Conv2d(8, 3, 1)

    def forward(self, x):
        return self.last(silu(self.up(silu(self.b(silu(self.b(silu(self.a(x)))))))))


class Shaped(nn.Module):
    """Convolutions that lose columns: one keeps a window, one gathers."""

    def __init__(self):
        super().__init__()
        self.window, self.gather = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 5, 3, padding=1)
        self.last = nn.Linear(5, 4)

    def forward(self, x):
        return self.last(silu(self.gather(silu(self.window(x)))).mean((2, 3)))


COLUMNS = {"window": [i * 9 + t for i in range(3) for t in (0, 1, 2)], "gather": [c for c in range(54) if c % 7 > 1]}
DEAD = {  # by network: units of layers, with the norm behind
    "resnet": {"0.0": [3], "1.conv1": [1, 5], "2.conv2": [0, 4, 9], "3.conv1": [2, 3, 4, 8]},
    "vgg": {"0": [2, 5], "4": [0, 1, 7], "10": [4, 9]},
    "grouped": {"a": [4], "b": [0, 3, 4, 5], "c": [0, 1, 3, *range(6, 12)], "d": [2]},
    "twice": {"a": [0, 2], "b": [0, 2], "up": [1, 4, 5]},
    "shaped": {"window": [2]},
}
BEHIND = {"0.0": "0.1", "1.conv1": "1.bn1", "2.conv2": "2.bn2", "3.conv1": "3.bn1", "0": "1", "4": "5"}
BEHIND |= {path: f"{path}n" for path in "abcd"}
MAKE = {
    "resnet": lambda: oracles.resnet(nn.SiLU),
    "vgg": lambda: oracles.vgg(nn.SiLU),
    "grouped": Grouped,
    "twice": Twice,
    "shaped": Shaped,
}
SIDE = {"vgg": 8}


def images(*shape, seed=0):
    return torch.randn(shape, dtype=DOUBLE, generator=oracles.generator(seed))


def example(name):
    return torch.zeros(1, 3, SIDE.get(name, 12), SIDE.get(name, 12), dtype=DOUBLE)


@torch.no_grad()
def hold(network, name):
    """Set everything of the dead units to zero: filter, bias, and the norm behind. SiLU keeps 0, and would revive it."""
    modules = dict(network.named_modules())
    for path, units in DEAD[name].items():
        layer, norm = modules[path], modules.get(BEHIND.get(path))
        if isinstance(layer, nn.ConvTranspose2d):
            per = layer.out_channels // layer.groups
            for unit in units:
                rows = slice(unit // per * layer.in_channels // layer.groups, None)
                layer.weight[rows][: layer.in_channels // layer.groups, unit % per] = 0
        else:
            layer.weight[units] = 0
        for tensor in (layer.bias, *((norm.weight, norm.bias) if norm is not None else ())):
            if tensor is not None:
                tensor[units] = 0
    for path, columns in COLUMNS.items() if name == "shaped" else ():
        modules[path].weight.view(len(modules[path].weight), -1)[:, columns] = 0


def dead(name):
    network = oracles.settle(MAKE[name](), (16, *example(name).shape[1:]))
    hold(network, name)
    return network


# ---- optimizers ------------------------------------------------------------------------------------------------------


def groups(network):
    """Three groups with settings of their own: weights, norms, biases of layers."""
    norms = [p for m in network.modules() if isinstance(m, NORMS) for p in m.parameters()]
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    rest = [m.weight for m in network.modules() if isinstance(m, nn.PReLU)]
    out = [
        {"params": [m.weight for m in layers], "lr": 0.03, "weight_decay": 0.02},
        {"params": norms + rest, "lr": 0.02, "weight_decay": 0.0},
        {"params": [m.bias for m in layers if m.bias is not None], "lr": 0.01, "weight_decay": 0.1},
    ]
    return [group for group in out if group["params"]]


OPTIMIZERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
    "SGD nesterov": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.8, nesterov=True),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01, betas=(0.8, 0.9), amsgrad=True),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
    "RMSprop": lambda parameters: torch.optim.RMSprop(parameters, lr=0.01, momentum=0.7, centered=True),
}


def train(network, optimizer, name, steps, first=0, keep=lambda: None):
    """Steps on images drawn by number; eval mode, so that statistics stay."""
    side = SIDE.get(name, 12)
    for step in range(first, first + steps):
        y = network(images(6, 3, side, side, seed=step))
        optimizer.zero_grad()
        (y.square().mean() + (y * images(*y.shape, seed=100 + step)).mean()).backward()
        optimizer.step()
        keep()


def warm(name, make, steps=2):
    """A network with dead units and its optimizer, after some steps."""
    network = dead(name)
    optimizer = make(groups(network))
    train(network, optimizer, name, steps, keep=lambda: hold(network, name))
    return network, optimizer


def agree(network, compact, plan, name):
    """The compact network is the cut of the whole one, parameter by parameter, and says the same."""
    expected = apply(plan, network, example(name)).state_dict()
    assert expected.keys() == compact.state_dict().keys()
    for key, value in compact.state_dict().items():
        assert oracles.difference(expected[key].double(), value.double()) < 1e-9, key
    x = images(4, *example(name).shape[1:], seed=77)
    with torch.no_grad():
        assert oracles.difference(network(x), compact(x)) < 1e-9


def copies(network, optimizer):
    return copy.deepcopy(
        (network.state_dict(), optimizer.state_dict()["state"], optimizer.state_dict()["param_groups"])
    )


def equal(a, b):
    """Nested dicts, lists, numbers and tensors, equal to the bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("which", OPTIMIZERS)
def test_training_goes_on_as_in_the_whole_network_with_its_dead_units_held_at_zero(which, name):
    network, optimizer = warm(name, OPTIMIZERS[which])
    before = copies(network, optimizer)
    plan = plan_zeros(network, example(name), policy="most")
    compact, new = apply_with_optimizer(plan, network, example(name), optimizer)
    assert equal(before, copies(network, optimizer)), "the caller's are not touched"
    assert plan.removed and not plan.untied
    assert type(new) is type(optimizer) and new.defaults == optimizer.defaults
    for parameter, state in new.state.items():
        assert all(not v.dim() or v.shape == parameter.shape for v in state.values() if isinstance(v, torch.Tensor))
    train(network, optimizer, name, 3, first=2, keep=lambda: hold(network, name))
    after = copies(network, optimizer)
    train(compact, new, name, 3, first=2)
    agree(network, compact, plan, name)
    assert equal(after, copies(network, optimizer)), "the new optimizer shares nothing with the old one"


@pytest.mark.parametrize("name", ["grouped", "twice"])
def test_conv_groups_padded_to_one_size_learn_nothing_that_the_whole_network_could_not(name):
    network, optimizer = warm(name, OPTIMIZERS["SGD"])
    plan = plan_zeros(network, example(name), policy="fast")
    compact, new = apply_with_optimizer(plan, network, example(name), optimizer)
    train(network, optimizer, name, 2, first=2, keep=lambda: hold(network, name))
    train(compact, new, name, 2, first=2)
    x = images(4, *example(name).shape[1:], seed=77)
    with torch.no_grad():
        assert oracles.difference(network(x), compact(x)) < 1e-9


@pytest.mark.parametrize("which", ["SGD", "Adam", "RMSprop"])
def test_without_the_old_state_training_would_go_elsewhere_and_without_holding_zeros_revive(which):
    network, optimizer = warm("resnet", OPTIMIZERS[which])
    plan = plan_zeros(network, EXAMPLE)
    compact, new = apply_with_optimizer(plan, network, EXAMPLE, optimizer)
    new.state.clear()
    train(compact, new, "resnet", 1, first=2)
    train(network, optimizer, "resnet", 1, first=2)
    assert network[1].bn1.bias[[1, 5]].abs().min() > 0, "the oracle holds units that would move"
    hold(network, "resnet")
    with pytest.raises(AssertionError):
        agree(network, compact, plan, "resnet")


def test_momentum_is_cut_like_its_weights_and_steps_are_copied():
    network, optimizer = warm("resnet", OPTIMIZERS["Adam"])
    compact, new = apply_with_optimizer(plan_zeros(network, EXAMPLE), network, EXAMPLE, optimizer)
    named, rows = dict(compact.named_parameters()), [0, 2, 3, 4]
    for key in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
        old = {name: optimizer.state[p][key] for name, p in network.named_parameters()}
        got = {name: new.state[p][key] for name, p in named.items()}
        assert torch.equal(got["1.conv1.weight"], old["1.conv1.weight"][rows][:, [0, 1, 2, 4, 5]])
        assert torch.equal(got["1.bn1.weight"], old["1.bn1.weight"][rows])
        assert torch.equal(got["1.conv2.weight"], old["1.conv2.weight"][:, rows])
        assert torch.equal(got["6.weight"], old["6.weight"])
    for parameter, state in new.state.items():
        assert state["step"] == 2 and state["step"].dtype == torch.float32, tuple(parameter.shape)
    new.state[named["6.weight"]]["step"] += 5
    assert optimizer.state[network[6].weight]["step"] == 2


def test_groups_keep_their_settings_members_and_order():
    network = dead("resnet")
    optimizer = OPTIMIZERS["SGD"](groups(network))
    torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    optimizer.param_groups[1]["lr"] = 0.7
    compact, new = apply_with_optimizer(plan_zeros(network, EXAMPLE), network, EXAMPLE, optimizer)
    named = {p: name for name, p in network.named_parameters()}
    small = {p: name for name, p in compact.named_parameters()}
    for old, got in zip(optimizer.param_groups, new.param_groups, strict=True):
        assert {k: v for k, v in old.items() if k != "params"} == {k: v for k, v in got.items() if k != "params"}
        assert {named[p] for p in old["params"]} == {small[p] for p in got["params"]}
    assert [group["lr"] for group in new.param_groups] == [0.03, 0.7, 0.01] and "initial_lr" in new.param_groups[0]
    assert set(small) == {p for group in new.param_groups for p in group["params"]}


@pytest.mark.parametrize("name", ["resnet", "grouped"])
def test_an_optimizer_that_has_not_stepped_yet_starts_afresh(name):
    network = dead(name)
    optimizer = OPTIMIZERS["Adam"](groups(network))
    plan = plan_zeros(network, example(name), policy="most")
    compact, new = apply_with_optimizer(plan, network, example(name), optimizer)
    assert not new.state
    train(network, optimizer, name, 2, keep=lambda: hold(network, name))
    train(compact, new, name, 2)
    agree(network, compact, plan, name)


def test_parameters_outside_the_optimizer_stay_outside():
    network = dead("resnet")
    network.requires_grad_(False)
    network[6].requires_grad_(True)
    network[3].conv1.weight.requires_grad_(True)
    optimizer = OPTIMIZERS["SGD"]([*network[6].parameters(), network[3].conv1.weight])
    train(network, optimizer, "resnet", 2, keep=lambda: hold(network, "resnet"))
    plan = plan_zeros(network, EXAMPLE)
    compact, new = apply_with_optimizer(plan, network, EXAMPLE, optimizer)
    held = {id(p) for group in new.param_groups for p in group["params"]}
    assert {n for n, p in compact.named_parameters() if id(p) in held} == {"6.weight", "6.bias", "3.conv1.weight"}
    assert {n for n, p in compact.named_parameters() if p.requires_grad} == {"6.weight", "6.bias", "3.conv1.weight"}
    train(network, optimizer, "resnet", 2, first=2, keep=lambda: hold(network, "resnet"))
    train(compact, new, "resnet", 2, first=2)
    agree(network, compact, plan, "resnet")


def test_carried_constants_are_in_no_group_and_stay_while_the_rest_trains_on():
    """A dead filter behind a norm says sigmoid(beta): held are that beta and the weights that read it."""
    network = nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.Sigmoid()),
        *(nn.Conv2d(6, 7, 3, padding=1), nn.SiLU(), nn.Conv2d(7, 5, 3, bias=False), nn.SiLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)),
    )
    oracles.settle(network, (16, 3, 12, 12))
    units, far = [1, 4], [2]
    with torch.no_grad():
        network[0].weight[units], network[1].weight[units], network[3].weight[far] = 0, 0, 0
    start = copy.deepcopy(network)

    @torch.no_grad()
    def keep():
        for i in (0, 1):
            network[i].weight[units] = start[i].weight[units]
        network[1].bias[units], network[3].bias[far] = start[1].bias[units], start[3].bias[far]
        network[3].weight[:, units], network[5].weight[:, far] = start[3].weight[:, units], start[5].weight[:, far]
        network[3].weight[far] = 0

    optimizer = OPTIMIZERS["SGD"](network.parameters())
    train(network, optimizer, "", 2, keep=keep)
    plan = plan_zeros(network, EXAMPLE)
    compact, new = apply_with_optimizer(plan, network, EXAMPLE, optimizer)
    held = {id(p) for group in new.param_groups for p in group["params"]}
    assert {n for n, p in compact.named_parameters() if id(p) not in held} == {"3_carry.weight", "5.bias"}
    assert not compact.get_submodule("3_carry").weight.requires_grad
    train(network, optimizer, "", 3, first=2, keep=keep)
    train(compact, new, "", 3, first=2)
    agree(network, compact, plan, "")


def test_a_chosen_cut_takes_its_momentum_along():
    """The third's input is read elsewhere, and is so little of the layer that its weights stay, as zeros."""
    network = oracles.settle(oracles.resnet(), (16, 3, 12, 12))
    optimizer = OPTIMIZERS["SGD"](network.parameters())
    train(network, optimizer, "resnet", 2)
    chosen = {"1.conv1/filter": [0], "1.conv2/channel": [3], "1.conv1/channel": [2]}
    compact, new = apply_with_optimizer(plan_chosen(network, EXAMPLE, chosen), network, EXAMPLE, optimizer)
    cut = {path: compact.get_submodule(path).weight for path in ("1.conv1", "1.conv2")}
    old = {path: optimizer.state[network.get_submodule(path).weight]["momentum_buffer"] for path in cut}
    assert torch.equal(new.state[cut["1.conv2"]]["momentum_buffer"], old["1.conv2"][:, [1, 2, 4, 5]])
    expected = old["1.conv1"][[1, 2, 4, 5]].index_fill(1, torch.tensor(2), 0)
    assert not cut["1.conv1"][:, 2].any() and torch.equal(new.state[cut["1.conv1"]]["momentum_buffer"], expected)


class Untied(nn.Module):
    """One convolution on two values of which different channels are dead."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.shared = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 3, padding=1)
        self.last = nn.Conv2d(5, 2, 1)

    def forward(self, x):
        return self.last(self.shared(self.a(x).relu()).relu() + self.shared(self.b(x).relu()).tanh())


def test_a_layer_that_becomes_several_leaves_each_its_part_of_the_momentum():
    network = oracles.settle(Untied(), (8, 3, 12, 12))
    optimizer = OPTIMIZERS["SGD"](network.parameters())
    train(network, optimizer, "", 2)
    with torch.no_grad():
        for layer, units in ((network.a, [0, 1]), (network.b, [3])):
            layer.weight[units], layer.bias[units] = 0, 0
    compact, new = apply_with_optimizer(plan_zeros(network, EXAMPLE), network, EXAMPLE, optimizer)
    old = optimizer.state[network.shared.weight]["momentum_buffer"]
    layers = [m for path, m in compact.named_modules() if path.startswith("shared")]
    found = {m.in_channels: new.state[m.weight]["momentum_buffer"] for m in layers}
    assert torch.equal(found[2], old[:, [2, 3]]) and torch.equal(found[3], old[:, [0, 1, 2]])
    assert all(new.state[m.bias]["momentum_buffer"].shape == (5,) for m in layers)
    held = {id(p) for group in new.param_groups for p in group["params"]}
    assert held == {id(p) for p in compact.parameters()}


@pytest.mark.parametrize("where", [0, 1])
def test_a_parameter_that_is_not_the_models_is_refused(where):
    network = dead("resnet")
    parameters = [network[6].weight]
    parameters.insert(where, nn.Parameter(torch.zeros(3, 2)))
    with pytest.raises(
        BadInput, match=r"own parameters; got one of shape \(3, 2\) that is not; make the optimizer from"
    ):
        apply_with_optimizer(plan_zeros(network, EXAMPLE), network, EXAMPLE, OPTIMIZERS["SGD"](parameters))


class Tied(nn.Module):
    """Two layers that hold one weight."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.c.weight = self.b.weight

    def forward(self, x):
        return self.c(self.b(self.a(x).relu()).relu())


def test_a_weight_that_two_layers_hold_is_still_trained_in_both():
    network = oracles.settle(Tied(), (8, 3, 12, 12))
    with torch.no_grad():
        network.a.weight[1], network.a.bias[1] = 0, 0
    optimizer = OPTIMIZERS["SGD"](network.parameters())
    compact, new = apply_with_optimizer(plan_zeros(network, EXAMPLE), network, EXAMPLE, optimizer)
    held = {id(p) for group in new.param_groups for p in group["params"]}
    assert held == {id(p) for p in compact.parameters()}


def test_an_optimizer_of_which_nothing_is_left_is_refused():
    network = dead("resnet")
    with torch.no_grad():
        network[6].weight.zero_()
    with pytest.raises(BadInput, match="must hold a parameter that stays in the compact network; none does; use apply"):
        apply_with_optimizer(plan_zeros(network, EXAMPLE), network, EXAMPLE, OPTIMIZERS["SGD"](network.parameters()))


def test_state_that_is_neither_a_number_nor_shaped_like_its_parameter_is_refused():
    network = dead("resnet")
    optimizer = torch.optim.Adafactor(network.parameters())
    train(network, optimizer, "resnet", 1)
    with pytest.raises(BadInput, match="Adafactor"):
        apply_with_optimizer(plan_zeros(network, EXAMPLE), network, EXAMPLE, optimizer)


def test_named_parameters_keep_their_names():
    network = dead("resnet")
    with torch.no_grad():
        network[3].conv1.weight.zero_()
    optimizer = torch.optim.SGD(network.named_parameters(), lr=0.1)
    compact, new = apply_with_optimizer(plan_zeros(network, EXAMPLE), network, EXAMPLE, optimizer)
    names = {id(p): name for name, p in compact.named_parameters()}
    group = new.param_groups[0]
    assert group["param_names"] == [names[id(p)] for p in group["params"]]

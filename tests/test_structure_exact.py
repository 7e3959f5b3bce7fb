"""Hand-made networks, each with one thing that goes wrong elsewhere; the oracle is the original network in float64."""

from __future__ import annotations

import copy

import oracles_structure as oracles
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.structure import apply, plan_zeros

DOUBLE = torch.float64


def cut(network, size=12):
    example = torch.zeros(1, 3, size, size, dtype=DOUBLE)
    plan = plan_zeros(network, example)
    return plan, apply(plan, network, example)


@torch.no_grad()
def same(network, compact, sizes=(12, 17), channels=3):
    """Equal at two sizes and two batches, and the answer depends on the input."""
    for batch, size in zip((9, 5), sizes, strict=False):
        x = torch.randn(batch, channels, size, size, dtype=DOUBLE, generator=oracles.generator(size))
        expected = network(x.clone())
        assert oracles.spread(expected) > 1e-4
        assert oracles.difference(expected, compact(x)) < 1e-11


def only_plain_torch(compact):
    for module in compact.modules():
        assert module is compact or type(module).__module__.startswith("torch.nn"), type(module)


ACTIVATIONS = (nn.ReLU, nn.Sigmoid, nn.Softplus, nn.SiLU, nn.Hardswish, nn.GELU)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("what", ["filter", "gamma", "gamma and beta"])
def test_a_dead_channel_leaves_its_constant_behind_a_zero_padded_convolution(act, what):
    network = oracles.settle(oracles.resnet(act), (16, 3, 12, 12))
    block = network[2]
    with torch.no_grad():
        if what == "filter":
            block.conv1.weight[[0, 4, 7]] = 0
        else:
            block.bn1.weight[[0, 4, 7]] = 0
        if what == "gamma and beta":
            block.bn1.bias[[0, 4, 7]] = 0
    plan, compact = cut(network)
    assert plan.removed == {"2.conv1/filter": [0, 4, 7]} and plan.total["2.conv1/filter"] == 10
    assert compact.get_submodule("2.conv1").out_channels == 7 and compact.get_submodule("2.conv2").in_channels == 7
    same(network, compact)
    only_plain_torch(compact)


@pytest.mark.parametrize("act", (nn.ReLU, nn.Softplus))
@pytest.mark.parametrize("projection", [False, True])
@pytest.mark.parametrize("block", [1, 2, 3])
@pytest.mark.parametrize("constant", [False, True])
def test_a_dead_residual_branch_disappears_and_leaves_its_constant(act, projection, block, constant):
    network = oracles.settle(oracles.resnet(act, projection), (16, 3, 12, 12))
    with torch.no_grad():
        network[block].bn2.weight.zero_()
        if not constant:
            network[block].bn2.bias.zero_()
    plan, compact = cut(network)
    assert plan.removed_layers == [f"{block}.conv1", f"{block}.conv2"]
    assert not any(name.startswith((f"{block}.conv", f"{block}.bn")) for name, _ in compact.named_modules())
    same(network, compact)


def test_a_dead_branch_of_zeros_leaves_no_sum_and_no_second_relu():
    network = oracles.settle(oracles.resnet(), (16, 3, 12, 12))
    with torch.no_grad():
        network[1].bn2.weight.zero_()
        network[1].bn2.bias.zero_()
    before = [str(node.target) for node in cut(oracles.settle(oracles.resnet(), (16, 3, 12, 12)))[1].graph.nodes]
    after = [str(node.target) for node in cut(network)[1].graph.nodes]
    assert len(before) - len(after) == 7, "two convolutions, two norms, one sum, and both ReLUs go"


def test_a_relu_behind_a_dead_branch_stays_where_its_input_can_be_negative():
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), oracles.BasicBlock(6, 6), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    oracles.settle(network, (16, 3, 12, 12))
    with torch.no_grad():
        network[1].bn2.weight.zero_()
        network[1].bn2.bias.zero_()
    _, compact = cut(network)
    assert any(type(m) is nn.ReLU for m in compact.modules())
    same(network, compact)


@pytest.mark.parametrize("act", (nn.ReLU, nn.Sigmoid))
def test_dead_gammas_and_a_dead_block_of_a_preactivation_network(act):
    network = oracles.settle(oracles.preresnet(act), (16, 3, 12, 12))
    with torch.no_grad():
        network[1].bn1.weight[[1, 2]] = 0
        network[1].bn2.weight[[0, 8]] = 0
        network[2].conv2.weight.zero_()
        network[2].conv2.bias = None
        network[3].weight[[3]] = 0
    plan, compact = cut(network)
    assert "2.conv1" in plan.removed_layers and "2.conv2" in plan.removed_layers
    same(network, compact)


@pytest.mark.parametrize("make", [oracles.resnet, oracles.preresnet])
def test_a_dead_stem_leaves_what_the_branches_still_say(make):
    network = oracles.settle(make(nn.Softplus), (16, 3, 12, 12))
    stem = network[0] if isinstance(network[0], nn.Conv2d) else network[0][0]
    with torch.no_grad():
        stem.weight[1:] = 0
    plan, compact = cut(network)
    assert [site for site in plan.removed if site.startswith("0")]
    same(network, compact)


@pytest.mark.parametrize("size", [12, 17])
@pytest.mark.parametrize("make", [oracles.resnet, oracles.preresnet])
def test_a_network_whose_stem_is_all_dead_says_its_constant_at_any_size_and_batch(make, size):
    network = oracles.settle(make(nn.Sigmoid), (16, 3, 12, 12))
    stem = network[0] if isinstance(network[0], nn.Conv2d) else network[0][0]
    with torch.no_grad():
        stem.weight.zero_()
    plan, compact = cut(network)
    assert plan.removed_layers
    x = torch.randn(7, 3, size, size, dtype=DOUBLE)
    with torch.no_grad():
        assert oracles.difference(network(x), compact(x)) < 1e-11


@pytest.mark.parametrize("path", ["4", "1", "8", "10", "12"])
@pytest.mark.parametrize("act", (nn.ReLU, nn.Softplus))
def test_vgg_layers_whole_or_in_part_with_a_flatten_before_the_linear_layers(path, act):
    network = oracles.settle(oracles.vgg(act), (16, 3, 8, 8))
    if path in ("8", "12"):
        path = "10"
    with torch.no_grad():
        network.get_submodule(path).weight[[0, 3, 6]] = 0
    _, compact = cut(network, 8)
    same(network, compact, sizes=(8,))
    with torch.no_grad():
        network.get_submodule(path).weight.zero_()
    plan, compact = cut(network, 8)
    x = torch.randn(7, 3, 8, 8, dtype=DOUBLE)
    with torch.no_grad():
        assert oracles.difference(network(x), compact(x)) < 1e-11
    assert plan.removed_layers


def test_a_convolution_that_reads_nothing_from_a_channel_lets_its_filter_go():
    network = oracles.settle(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)), (8, 3, 12, 12))
    with torch.no_grad():
        network[2].weight[:, [2, 5]] = 0
    plan, compact = cut(network)
    assert plan.removed == {"0/filter": [2, 5]}
    same(network, compact)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [0, 1, 2, "same", "valid", (0, 2)])
def test_the_constant_survives_every_kind_of_padding(mode, padding):
    conv = nn.Conv2d(8, 5, 3, padding=padding, dilation=2, padding_mode=mode)
    network = oracles.settle(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Softplus(), conv), (8, 3, 12, 12))
    with torch.no_grad():
        network[0].weight[[1, 6]] = 0
    _, compact = cut(network)
    same(network, compact)
    carried = any("carry" in name for name, _ in compact.named_modules())
    assert carried == (mode == "zeros" and padding not in (0, "valid")), "a bias where that is enough"


POOLS = (
    *(
        nn.MaxPool2d(2),
        nn.MaxPool2d(3, 2, 1),
        nn.AvgPool2d(2),
        nn.AvgPool2d(3, 1, 1),
        nn.AvgPool2d(3, 2, ceil_mode=True),
    ),
    *(nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.AvgPool2d(2, divisor_override=3), nn.AdaptiveAvgPool2d(3)),
    nn.AvgPool2d(3, 2, 1, ceil_mode=True, divisor_override=2),
)


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("last", [True, False])
def test_a_constant_passes_every_pool(pool, last):
    parts = [nn.Conv2d(3, 8, 3, padding=1), nn.Softplus(), copy.deepcopy(pool)]
    network = nn.Sequential(*parts) if last else nn.Sequential(*parts, nn.Conv2d(8, 4, 3, padding=1))
    oracles.settle(network, (8, 3, 12, 12))
    with torch.no_grad():
        network[0].weight[[1, 6]] = 0
    plan, compact = cut(network)
    assert plan.removed == {"0/filter": [1, 6]}
    same(network, compact)


class Twice(nn.Module):
    """One convolution called twice."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, x):
        return self.b(torch.sigmoid(self.b(torch.sigmoid(self.a(x)))))


def test_weights_used_twice_are_cut_for_each_use():
    network = oracles.settle(Twice(), (8, 3, 12, 12))
    with torch.no_grad():
        network.a.weight[[0, 2]] = 0
        network.b.weight[[1]] = 0
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [0, 2], "b/filter": [1]} and not plan.refilled
    same(network, compact)


def test_weights_used_twice_in_the_same_way_stay_one_module():
    network = oracles.settle(nn.Sequential(Twice(), nn.Sigmoid()), (8, 3, 12, 12))
    with torch.no_grad():
        for layer in (network[0].a, network[0].b):
            layer.weight[[0, 2]] = 0
            layer.bias[[0, 2]] = -1e6  # sigmoid: exactly 0
    plan, compact = cut(network)
    assert plan.removed == {"0.a/filter": [0, 2], "0.b/filter": [0, 2]}
    assert [path for path, module in compact.named_modules() if isinstance(module, nn.Conv2d)] == ["0.a", "0.b"]
    same(network, compact)


class Unknown(nn.Module):
    """Softmax over channels, a sort, a matrix product; beside them what is known: shape arithmetic, a raw parameter."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.kernel = nn.Parameter(torch.zeros(6, 6, 1, 1))
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)

    def forward(self, x):
        y = torch.sigmoid(self.a(x))
        z = F.conv2d(self.depthwise(y) * y, self.kernel)
        z = z + self.b(y).softmax(1)
        n, c, h, w = z.shape
        z = z.view(n, c, h * w)
        return torch.cat([(z @ z.transpose(1, 2)).mean(2), torch.cumsum(y, 1).permute(0, 2, 3, 1).mean((1, 2))], 1)


def test_unknown_operations_see_the_full_width_and_upstream_filters_still_go():
    network = oracles.settle(Unknown(), (8, 3, 12, 12))
    with torch.no_grad():
        network.a.weight[[0, 2]] = 0
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [0, 2]}
    operations = {r.operation for r in plan.refilled}
    assert operations == {"matmul", "cumsum", "softmax"}
    assert all(r.reason for r in plan.refilled)
    same(network, compact)


class MyNorm(nn.BatchNorm2d):
    """A subclass may compute anything."""

    def forward(self, x):
        return super().forward(x) + x.mean(1, keepdim=True)


def test_a_subclass_of_a_known_layer_is_unknown():
    network = nn.Sequential(nn.Conv2d(3, 6, 3), MyNorm(6), nn.ReLU(), nn.Conv2d(6, 4, 3))
    oracles.settle(network, (8, 3, 12, 12))
    with torch.no_grad():
        network[0].weight[[0, 2]] = 0
        network[1].weight[[1]] = 0
    plan, compact = cut(network)
    assert plan.removed == {"0/filter": [0, 2]} and plan.refilled[0].operation == "MyNorm"
    same(network, compact)


def test_a_layer_with_hooks_is_unknown():
    network = oracles.settle(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3)), (8, 3, 12, 12))
    network[0].register_forward_hook(lambda module, args, out: out + 1)
    with torch.no_grad():
        network[0].weight[[0, 2]] = 0
    plan, compact = cut(network)
    assert plan.nothing_removed and "hooks" in plan.refilled[0].reason
    same(network, compact)


class Sums(nn.Module):
    """Life on one branch and a constant or a field on the other, in every combination."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 3, padding=1)
        self.c = nn.Conv2d(8, 5, 3, padding=1)
        self.blur = nn.AvgPool2d(3, 1, 1)

    def forward(self, x):
        y = self.blur(torch.sigmoid(self.a(x))) + torch.sigmoid(self.b(x))
        y += F.pad(x, (0, 0, 0, 0, 2, 3), value=0.5)
        return self.c(F.silu(y)), y


@pytest.mark.parametrize("dead_a", [[], [0, 1, 6], list(range(8))])
@pytest.mark.parametrize("dead_b", [[], [1, 2, 7], list(range(8))])
def test_branches_of_a_sum_need_not_die_together(dead_a, dead_b):
    network = oracles.settle(Sums(), (8, 3, 12, 12))
    with torch.no_grad():
        network.a.weight[dead_a] = 0
        network.b.weight[dead_b] = 0
    plan, compact = cut(network)
    assert plan.removed.get("a/filter", []) == dead_a and plan.removed.get("b/filter", []) == dead_b
    x = torch.randn(7, 3, 15, 15, dtype=DOUBLE)
    with torch.no_grad():
        for expected, got in zip(network(x), compact(x), strict=True):
            assert oracles.difference(expected, got) < 1e-11


def test_gradients_to_the_input_agree():
    network = oracles.settle(oracles.resnet(nn.SiLU), (16, 3, 12, 12))
    oracles.kill(network, 3, whole=0.0)
    _, compact = cut(network)
    x = torch.randn(4, 3, 12, 12, dtype=DOUBLE, requires_grad=True)
    first = torch.autograd.grad(network(x).square().sum(), x)[0]
    second = torch.autograd.grad(compact(x).square().sum(), x)[0]
    assert oracles.difference(first, second) < 1e-11


def test_the_model_is_what_it_was_and_shares_nothing_with_the_new_one():
    network = oracles.settle(oracles.resnet(), (16, 3, 12, 12))
    oracles.kill(network, 1)
    network.train()
    network[1].eval()
    network[1].conv1.weight.requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    flags = [(m.training, [p.requires_grad for p in m.parameters(recurse=False)]) for m in network.modules()]
    seed = torch.get_rng_state()
    _, compact = cut(network)
    assert torch.equal(seed, torch.get_rng_state())
    with torch.no_grad():
        for parameter in compact.parameters():
            parameter.fill_(7)
        for buffer in compact.buffers():
            buffer.fill_(3)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert flags == [(m.training, [p.requires_grad for p in m.parameters(recurse=False)]) for m in network.modules()]
    assert all(not module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("training", [True, False])
def test_mode_type_and_frozen_parameters_are_kept(training):
    network = oracles.settle(oracles.resnet(), (16, 3, 12, 12)).to(torch.bfloat16).train(training)
    network[1].conv1.weight.requires_grad_(False)
    with torch.no_grad():
        network[1].conv1.weight[2] = 0
    example = torch.zeros(1, 3, 12, 12, dtype=torch.bfloat16)
    compact = apply(plan_zeros(network, example), network, example)
    assert all(module.training == training for module in compact.modules())
    assert {p.dtype for p in compact.parameters()} == {torch.bfloat16}
    frozen = {name for name, p in compact.named_parameters() if not p.requires_grad}
    assert frozen == {"1.conv1.weight", "1.conv2_carry.weight"}, "a carried constant is not learnt"


def test_channels_last_inputs_give_the_same():
    network = oracles.settle(oracles.resnet(), (16, 3, 12, 12))
    oracles.kill(network, 5, whole=0.0)
    network = network.to(memory_format=torch.channels_last)
    _, compact = cut(network)
    compact = compact.to(memory_format=torch.channels_last)
    x = torch.randn(5, 3, 12, 12, dtype=DOUBLE).to(memory_format=torch.channels_last)
    with torch.no_grad():
        assert oracles.difference(network(x), compact(x)) < 1e-11


def test_a_pool_that_looks_uniform_at_the_example_only_is_a_field():
    """A 3x3 average over one padded pixel is a constant; over two by two pixels it is another, and then a field."""
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Softplus(), nn.AvgPool2d(3, 1, 1), nn.Conv2d(8, 4, 1))
    oracles.settle(network, (8, 3, 4, 4))
    with torch.no_grad():
        network[0].weight[[1, 6]] = 0
    plan, compact = cut(network, 1)
    assert plan.removed == {"0/filter": [1, 6]}
    same(network, compact, sizes=(4, 7))


class Stacked(nn.Module):
    """A dead value and a living one, stacked and averaged."""

    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return torch.stack([self.norm(self.a(x).softmax(1)), self.b(x)], -1).mean(-1)


def test_a_dead_value_that_is_rebuilt_at_full_width_finds_its_size():
    network = oracles.settle(Stacked(), (8, 3, 12, 12))
    with torch.no_grad():
        network.norm.weight.zero_()
    _, compact = cut(network)
    same(network, compact)


@pytest.mark.parametrize(
    "norm", [lambda: nn.GroupNorm(5, 10), lambda: nn.InstanceNorm2d(10, affine=True), lambda: nn.PReLU(10)]
)
def test_layers_with_parameters_are_followed_in_a_network_of_float32(norm):
    network = nn.Sequential(nn.Conv2d(3, 10, 3), norm(), nn.Conv2d(10, 4, 3)).eval()
    with torch.no_grad():
        network[0].weight[:4], network[0].bias[:4] = 0.0, 0.5
        compact = apply(plan_zeros(network, torch.zeros(1, 3, 12, 12)), network, torch.zeros(1, 3, 12, 12))
        x = torch.randn(5, 3, 12, 12, generator=oracles.generator(0))
        assert compact.get_submodule("0").out_channels == 6
        assert oracles.difference(network(x), compact(x)) < 1e-5


class OntoAConcatenation(nn.Module):
    """z = relu(cat([b(x), a(x)])), z + c(z): `a` runs first and is joined last, so that channels lie in another order than they come."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 5, 3, padding=1)
        self.c = nn.Conv2d(9, 9, 3, padding=1)

    def forward(self, x):
        a = self.a(x)
        z = F.relu(torch.cat([self.b(x), a], 1))
        return (z + self.c(z)).mean((2, 3))


@pytest.mark.parametrize("layer", ["a", "b", "c"])
def test_a_sum_onto_values_joined_in_another_order_than_they_come(layer):
    network = OntoAConcatenation().double().eval()
    with torch.no_grad():
        conv = network.get_submodule(layer)
        conv.weight[-1] = conv.bias[-1] = 0
    _, compact = cut(network)
    same(network, compact)


class Softplus(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.a, self.b, self.act = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1), act

    def forward(self, x):
        h = self.a(x)
        return (h + self.b(F.relu(self.act(h)))).mean((2, 3))


@pytest.mark.parametrize(
    "act",
    [
        nn.Softplus(beta=-1),
        nn.Softplus(beta=2),
        lambda x: F.softplus(x, -1),
        lambda x: F.softplus(x, beta=-2.0),
        F.softplus,
    ],
)
def test_a_softplus_is_above_zero_only_where_its_beta_is(act):
    network = Softplus(act).double().eval()
    with torch.no_grad():
        network.a.weight[2] = network.a.bias[2] = 0
    _, compact = cut(network)
    same(network, compact)
    beta = getattr(act, "beta", 1)
    relus = [node for node in compact.graph.nodes if node.target is F.relu]
    if act is F.softplus or beta == 2:
        assert not relus
    else:
        assert len(relus) == 1


class VectorWeight(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.w = nn.Conv2d(3, 6, 3, padding=1), nn.Parameter(torch.randn(6))

    def forward(self, x):
        return F.linear(self.a(x).mean((2, 3)), self.w).unsqueeze(1)


class Empty(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 0), nn.Linear(6, 4)

    def forward(self, x):
        h = self.a(x).relu().mean((2, 3))
        return torch.cat([self.c(h), self.b(h)], 1)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("kind", [VectorWeight, Empty])
def test_a_weight_that_is_a_vector_and_a_layer_of_no_neurons_are_followed(kind):
    network = kind().double().eval()
    with torch.no_grad():
        network.a.weight[1] = network.a.bias[1] = 0
    _, compact = cut(network)
    same(network, compact)
